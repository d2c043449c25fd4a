"""All SAEs at once: three plots, a heat map and a table, linked by brushing."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import holoviews as hv
import numpy as np
import panel as pn

from explorer.plots.absorption import PANELS, absorption_plot, drawn, extents, sae_keys
from explorer.plots.sae_scores import width_legend
from explorer.theme import theme
from explorer.views.heat_map import HeatMapView, current_sae, open_sae
from explorer.views.live_plot import live_plot
from explorer.views.markup import Markup, render
from explorer.views.on_change import on_change

if TYPE_CHECKING:
    from explorer.model import ExplorerModel

_POLICIES = {
    "with_candidates": "letters with candidates (as the paper)",
    "all_letters": "all letters, without candidates = 0",
}
_REACH = 0.06
_SHOWN = ["brushed", "dark", "layer", "width", "l0"]


class Atlas(pn.viewable.Viewer):
    """Shows absorption and splitting over all SAEs; brushing in one plot filters the others and the table.

    Parameters
    ----------
    model : ExplorerModel
    """

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__()
        self._model = model
        state = model.state
        self._head = Markup("page-head", on={**state.setters("mean_policy", "scope"), "clear": self._clear})
        self._table = Markup("atlas-table", on={"go": self._go, "clear": self._clear})
        self._panels = pn.Row(
            *(self._panel(name) for name in PANELS),
            sizing_mode="stretch_width",
            styles={"flex-wrap": "wrap", "gap": "16px"},
        )
        self._map = pn.Column(
            HeatMapView(model), sizing_mode="stretch_width", styles={"flex": "99 1 420px", "min-width": "280px"}
        )
        below = pn.Row(
            self._map,
            pn.Column(self._table, sizing_mode="stretch_width", styles={"flex": "1 1 540px", "min-width": "280px"}),
            sizing_mode="stretch_width",
            styles={"flex-wrap": "wrap", "gap": "24px"},
        )
        self._layout = pn.Column(self._head, self._panels, below, sizing_mode="stretch_width")
        on_change(model, self._show, answers=["sae_means"], shown=_SHOWN)
        self._show()

    def _panel(self, name: str) -> pn.pane.HoloViews:
        return live_plot(
            lambda: self.draw(name),
            follows=partial(on_change, self._model, answers=["sae_means"], shown=[*_SHOWN, "touch"]),
            height=280,
            on_tap=lambda x, y: self._tap(name, x, y),
            on_brush=(hv.streams.BoundsXY, lambda bounds: self._brush(name, bounds)),
            styles={"flex": "1 1 280px", "min-width": "260px"},
        )

    def draw(self, name: str) -> hv.Overlay:
        """Draw the panel of that name with what is shown."""
        shown = self._model.shown
        return absorption_plot(
            self._model.sae_means,
            name,
            brushed=set(shown.brushed),
            current=current_sae(shown),
            theme=theme(dark=shown.dark),
            touch=shown.touch,
        )

    def _brush(self, panel: str, bounds: tuple[float, float, float, float] | None) -> None:
        means = self._model.sae_means
        if bounds is None or means is None:
            return
        means = drawn(means, panel)
        (x, y), (left, bottom, right, top) = PANELS[panel], bounds
        self._model.state.brushed = sae_keys(means[means[x].between(left, right) & means[y].between(bottom, top)])

    def _tap(self, panel: str, x: float, y: float) -> None:
        means = self._model.sae_means
        if means is None or (means := drawn(means, panel)).empty:
            return
        across, up = PANELS[panel]
        (left, right), (bottom, top) = extents(means, panel)
        distance = np.hypot((means[across] - x) / (right - left), (means[up] - y) / (top - bottom)).to_numpy(float)
        distance = np.nan_to_num(distance, nan=np.inf)
        nearest = int(np.argmin(distance))
        if distance[nearest] <= _REACH:
            open_sae(self._model.state, sae_keys(means)[nearest])

    def _go(self, place: int) -> None:
        means = self._model.sae_means
        if means is not None and 0 <= place < len(means):
            open_sae(self._model.state, sae_keys(means)[place])

    def _clear(self, _: object) -> None:
        self._model.state.brushed = []

    def _show(self) -> None:
        model, shown = self._model, self._model.shown
        means = model.sae_means
        rows = [] if means is None else [row | {"place": place} for place, row in enumerate(means.to_dict("records"))]
        drawable = {name: means is not None and not drawn(means, name).empty for name in PANELS}
        for name, panel in zip(PANELS, self._panels, strict=True):
            panel.visible = drawable[name]
        self._panels.visible, self._map.visible = any(drawable.values()), bool(rows)
        brushed = set(shown.brushed)
        keys = [] if means is None else sae_keys(means)
        listed = [row for row, key in zip(rows, keys, strict=True) if not brushed or key in brushed]
        widths = sorted({row["width"] for row in rows})
        suites = model.store.suites if shown.scope == "all" else {shown.suite: model.store.suites[shown.suite]}
        metrics = sorted({suite.manifest.method.metric for suite in suites.values()})
        self._head.html = render(
            "atlas_head",
            num_saes=len(rows),
            num_shown=len(listed),
            num_unknown=sum(row["l0"] < 0 for row in rows),
            has_rates=drawable["absorption-vs-layer"],
            metrics=metrics,
            several=len(model.store.suites) > 1,
            scope=shown.scope,
            policies=_POLICIES,
            policy=shown.mean_policy,
            legend=width_legend(widths, theme(dark=shown.dark)),
        )
        self._table.html = render(
            "atlas_table",
            rows=listed,
            unanswered=model.unanswered("sae_means"),
            seeds=any(row["num_seeds"] > 1 for row in listed),
            brushed=bool(brushed),
            current=current_sae(shown),
            several=shown.scope == "all",
        )

    def __panel__(self) -> pn.viewable.Viewable:
        return self._layout
