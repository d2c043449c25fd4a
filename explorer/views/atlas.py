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
from explorer.views.live_plot import LivePlot
from explorer.views.markup import Markup, render
from explorer.views.view import View

if TYPE_CHECKING:
    from explorer.model import ExplorerModel

_POLICIES = {
    "with_candidates": "letters with candidates (as the paper)",
    "all_letters": "all letters, without candidates = 0",
}
_REACH = 0.06


class Atlas(View):
    """Shows absorption and splitting over all SAEs; brushing in one plot filters the others and the table.

    Parameters
    ----------
    model : ExplorerModel
    """

    answers = ("sae_means",)
    follows = ("suite", "layer", "width", "l0", "brushed", "scope", "mean_policy", "dark", "touch")
    parts = (HeatMapView,)

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        state = model.state
        self._head = Markup("page-head", on={**state.setters("mean_policy", "scope"), "clear": self._clear})
        self._table = Markup("atlas-table", on={"go": self._go, "clear": self._clear})
        self._plots = [self._plot(name) for name in PANELS]
        self._panels = pn.Row(
            *(plot.pane for plot in self._plots),
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
        self._show()

    def _plot(self, name: str) -> LivePlot:
        return LivePlot(
            partial(self.drawing, name),
            height=280,
            on_tap=lambda x, y: self._tap(name, x, y),
            on_brush=(hv.streams.BoundsXY, lambda bounds: self._brush(name, bounds)),
            styles={"flex": "1 1 280px", "min-width": "260px"},
        )

    def drawing(self, name: str) -> partial[hv.Overlay]:
        """Make the call that draws the panel of that name with what is shown."""
        shown = self._model.shown
        return partial(
            absorption_plot,
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
        for name, plot in zip(PANELS, self._plots, strict=True):
            plot.update()
            plot.pane.visible = drawable[name]
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
