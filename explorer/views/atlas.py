"""The page Atlas: three plots, a heat map and a table of all SAEs, with linked selections."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
import panel as pn

from explorer.format import metric_label
from explorer.model import records
from explorer.plots.absorption import PANELS, X_AXES, absorption_plot, extents, saes_with_values
from explorer.plots.sae_style import distinguishing_attribute, sae_keys, styles_of
from explorer.plots.sweeps import have_seeds
from explorer.saes import ATTRIBUTES, TITLES, axis_attributes, distinguishing_attributes
from explorer.theme import theme
from explorer.views.heat_map import HeatMapView, current_sae, open_sae
from explorer.views.live_plot import LivePlot
from explorer.views.markup import Markup, render
from explorer.views.view import View

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from explorer.model import ExplorerModel
    from explorer.plots.layers import Plot
    from explorer.state import Snapshot

#: The parameter of the state that sets each plot's x-axis, with its quantity.
_PLOTS = {"rate_x": "absorption", "other_x": "absorption", "splits_x": "splits"}
#: Attributes for the x-axis of the second plot; the default is the first in which the SAEs differ.
_OTHER_X = ("layer", "variance_explained", "loss_recovered", "width", "dead_fraction", "l0")
_SHORT_X = {name: label.partition(",")[0] for name, label in X_AXES.items()}
_REACH = 0.06


class Atlas(View):
    """Shows absorption and splitting of all SAEs; a selection in one plot filters the others and the table.

    Parameters
    ----------
    model : ExplorerModel
    only : str
        Parameter of the state that sets the x-axis of one plot; only that plot is shown then.
    """

    answers = ("sae_means",)
    follows = (
        *("suite", "sae", "family", "metric", "brushed", "scope", "mean_policy", "dark", "touch"),
        *("rate_x", "other_x", "splits_x", "told_by"),
    )
    parts = (HeatMapView,)

    def __init__(self, model: ExplorerModel, *, only: str = "") -> None:
        super().__init__(model)
        state = model.state
        self._head = Markup(
            "page-head",
            on={**state.setters("mean_policy", "scope", "told_by", "family"), "clear": self._clear},
        )
        self._table = Markup("atlas-table", on={"go": self._go, "clear": self._clear, "sort": self._sort})
        self._sorted_by, self._is_falling, self._is_alone = "", False, bool(only)
        self._heads = {name: Markup("panel-head", on=state.setters(name)) for name in _PLOTS}
        self._plots = {name: self._plot(name) for name in _PLOTS if only in ("", name)}
        self._columns = {
            name: pn.Column(
                self._heads[name],
                plot.pane,
                sizing_mode="stretch_width",
                styles={"flex": "1 1 280px", "min-width": "260px"},
            )
            for name, plot in self._plots.items()
        }
        self._panels = pn.Row(
            *self._columns.values(),
            sizing_mode="stretch_width",
            styles={"flex-wrap": "wrap", "gap": "16px"},
        )
        self._map = pn.Column(*([] if only else [HeatMapView(model)]), sizing_mode="stretch_width")
        beside = [] if only else [self._map, self._table]
        self._layout = pn.Column(self._head, self._panels, *beside, sizing_mode="stretch_width")
        self._show()

    def _plot(self, name: str) -> LivePlot:
        return LivePlot(
            lambda: self.drawing(self._panel(name)),
            height=280,
            on_tap=lambda x, y: self._tap(name, x, y),
            on_brush=(hv.streams.BoundsXY, lambda bounds: self._brush(name, bounds)),
        )

    def _panel(self, name: str) -> str:
        """Return the name of the figure in a plot."""
        return panel_of(self._model, name)

    def drawing(self, panel: str) -> partial[Plot]:
        """Return the call that draws the panel of that name for the state shown."""
        return panel_drawing(self._model, panel)

    def _brush(self, name: str, bounds: tuple[float, float, float, float] | None) -> None:
        means = self._model.sae_means
        if bounds is None or means is None:
            return
        panel = self._panel(name)
        placed = saes_with_values(means, panel)
        (x, y), (left, bottom, right, top) = PANELS[panel], bounds
        chosen = placed[placed[x].between(left, right) & placed[y].between(bottom, top)]
        self._model.state.brushed = sae_keys(chosen)

    def _tap(self, name: str, x: float, y: float) -> None:
        panel = self._panel(name)
        placed = saes_with_values(self._model.sae_means, panel)
        if placed.empty:
            return
        across, up = PANELS[panel]
        (left, right), (bottom, top) = extents(placed, panel)
        distance = np.hypot((placed[across] - x) / (right - left), (placed[up] - y) / (top - bottom)).to_numpy(float)
        nearest = int(np.argmin(distance))
        if distance[nearest] <= _REACH:
            open_sae(self._model.state, sae_keys(placed)[nearest])

    def _go(self, place: int) -> None:
        means = self._model.sae_means
        if means is not None and 0 <= place < len(means):
            open_sae(self._model.state, sae_keys(means)[place])

    def _clear(self, _: object) -> None:
        self._model.state.brushed = []

    def _sort(self, column: str) -> None:
        """Sort the table by a column, or reverse the order if it is sorted by it; unknown values come last."""
        self._is_falling = not self._is_falling if column == self._sorted_by else column not in ("label", *ATTRIBUTES)
        self._sorted_by = column
        self._show_table()

    def _show(self) -> None:
        model, means = self._model, self._model.sae_means
        titles = panel_titles(model)
        drawable = {name: self._has_data(name) for name in self._plots}
        for name, plot in self._plots.items():
            plot.update()
            self._columns[name].visible = drawable[name]
            self._heads[name].html = render(
                "panel_head",
                name=name,
                title=titles[_PLOTS[name]],
                options={
                    x: title for x, title in _SHORT_X.items() if x in _offered(means) or x == _x_of(self._panel(name))
                },
                chosen=_x_of(self._panel(name)),
            )
        num_saes = 0 if means is None else len(means)
        self._panels.visible, self._map.visible = any(drawable.values()), num_saes > 0
        self._head.html = head_html(model, panels=self._plots, brushes=True, alone=self._is_alone)
        self._show_table()

    def _has_data(self, name: str) -> bool:
        """Return whether a panel has points.

        The second is not shown on an axis that nobody chose and that distinguishes no SAEs, unless the first is empty.
        """
        means, panel = self._model.sae_means, self._panel(name)
        is_second = name == "other_x" and not self._is_alone and self._model.shown.other_x is None
        if is_second and _x_of(panel) not in _offered(means) and self._has_data("rate_x"):
            return False
        return not saes_with_values(means, panel).empty

    def _show_table(self) -> None:
        self._table.html = means_html(self._model, self._sorted_by, is_falling=self._is_falling)


def told_by(model: ExplorerModel) -> str:
    """Return the attribute shown by colour and marker."""
    return model.shown.told_by or distinguishing_attribute(model.sae_means)


def panel_titles(model: ExplorerModel) -> dict[str, str]:
    """Return the titles of the panels, by the first word of their figures' names."""
    return {
        "absorption": model.shown.rate_label.capitalize(),
        "splits": f"Split latents per {model.shown.noun}",
    }


def panel_of(model: ExplorerModel, name: str) -> str:
    """Return the name of a panel's figure; `name` is the parameter of its x-axis (rate_x, other_x or splits_x)."""
    x = getattr(model.shown, name) or other_x(model.sae_means, model.shown)
    return f"{_PLOTS[name]}-vs-{x.replace('_', '-')}"


def panel_drawing(model: ExplorerModel, panel: str) -> partial[Plot]:
    """Return the call that draws a panel for the state shown."""
    shown = model.shown
    return partial(
        absorption_plot,
        model.sae_means,
        panel,
        saes=model.saes,
        by=told_by(model),
        noun=shown.noun,
        rate=shown.rate_label,
        brushed=set(shown.brushed),
        current=current_sae(shown),
        theme=theme(dark=shown.dark, large=shown.present),
        touch=shown.touch,
    )


def head_html(
    model: ExplorerModel, *, panels: Iterable[str] = tuple(_PLOTS), brushes: bool, alone: bool = False
) -> str:
    """Render the head of Atlas with its switches and, unless it is embedded (`alone`), instructions."""
    shown, means = model.shown, model.sae_means
    num_saes = 0 if means is None else len(means)
    suites = model.store.suites if shown.scope == "all" else {shown.suite: model.store.suites[shown.suite]}
    others = sorted(model.suite_titles[name] for name in suites if shown.metric not in model.state.metrics_of(name))
    distinguishing = [] if means is None else distinguishing_attributes([model.saes[key] for key in sae_keys(means)])
    by = told_by(model)
    return render(
        "atlas_head",
        alone=alone,
        brushes=brushes,
        num_saes=num_saes,
        num_shown=len(listed(model)),
        num_unknown=0 if means is None else int(means["l0"].isna().sum()),
        has_rates=means is not None and bool(means["absorption_rate"].notna().any()),
        metric=metric_label(shown.metric),
        rate=shown.rate_label,
        others=others,
        several=len(model.store.suites) > 1,
        scope=shown.scope,
        policies={
            "with_candidates": f"{shown.nouns} with candidates (as in the paper)",
            "all_concepts": f"all {shown.nouns}, without candidates = 0",
        },
        policy=shown.mean_policy,
        nouns=shown.nouns,
        told_by={name: TITLES[name] for name in ATTRIBUTES if name in (*distinguishing, by)},
        by=by,
        families={name: family.title for name, family in shown.families.items()},
        family=shown.family,
        figures=" ".join(dict.fromkeys(panel_of(model, name) for name in panels)),
        legend=[] if means is None else list(styles_of(means[by], by, theme(dark=shown.dark)).values()),
        seeds=have_seeds(means),
    )


def listed(model: ExplorerModel) -> list[dict[str, Any]]:
    """Return the rows of the table: all SAEs or the selected ones, with names and row numbers."""
    means, brushed = model.sae_means, set(model.shown.brushed)
    if means is None:
        return []
    rows, titles = zip(sae_keys(means), records(means), strict=True), model.suite_titles
    return [
        row
        | {
            "place": place,
            "label": model.saes[key].label,
            "l0": model.saes[key].l0,
            "suite_title": titles[key[0]],
        }
        for place, (key, row) in enumerate(rows)
        if not brushed or key in brushed
    ]


def means_html(model: ExplorerModel, sorted_by: str = "", *, is_falling: bool = False) -> str:
    """Render the table of SAEs, sorted by a column if one is given; unknown values come last."""
    shown, rows = model.shown, listed(model)
    if sorted_by and rows and sorted_by in rows[0]:
        known = [row for row in rows if row[sorted_by] is not None]
        unknown = [row for row in rows if row[sorted_by] is None]
        rows = sorted(known, key=lambda row: row[sorted_by], reverse=is_falling) + unknown
    return render(
        "atlas_table",
        rows=rows,
        columns=axis_attributes([model.saes[row["suite"], row["sae"]] for row in rows]),
        titles=TITLES,
        nouns=shown.nouns,
        noun=shown.noun,
        rate=shown.rate_label,
        unanswered=model.unanswered("sae_means"),
        seeds=any((row["num_seeds"] or 0) > 1 for row in rows),
        has={name: any(row[name] is not None for row in rows) for name in (*_OTHER_X, "random_rate")},
        brushed=bool(shown.brushed),
        current=current_sae(shown),
        several=shown.scope == "all",
        sorted_by=sorted_by,
        is_falling=is_falling,
    )


def _x_of(panel: str) -> str:
    return PANELS[panel][0]


def _offered(means: pd.DataFrame | None) -> set[str]:
    """Return the numeric attributes with more than one value among the SAEs."""
    return set() if means is None else {name for name in X_AXES if len(set(means[name].dropna())) > 1}


def other_x(means: pd.DataFrame | None, shown: Snapshot) -> str:
    """Return the default x-axis of the second plot: the first numeric attribute in which the SAEs differ."""
    offered = _offered(means) - {shown.rate_x}
    return next((name for name in _OTHER_X if name in offered), "layer" if shown.rate_x != "layer" else "l0")
