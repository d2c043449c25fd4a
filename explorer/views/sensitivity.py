"""The sensitivity plot: the absorption rate over one threshold; a tap sets the threshold."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import panel as pn

from explorer.format import number, percent
from explorer.plots.sensitivity import HEIGHT, LABELS, sensitivity_plot
from explorer.theme import theme
from explorer.views.live_plot import LivePlot
from explorer.views.markup import Markup, render
from explorer.views.plot_table import PlotTable, Table
from explorer.views.view import View

if TYPE_CHECKING:
    import pandas as pd

    from explorer.model import ExplorerModel
    from explorer.plots.layers import Plot

_SHORT = {"tau": "tau", "cosine_threshold": "cosine threshold", "effect_margin": "effect margin"}


class SensitivityView(View):
    """Shows how the absorption rate of this SAE, and the mean over all SAEs, depends on one of the thresholds.

    Parameters
    ----------
    model : ExplorerModel
    """

    answers = ("threshold_sensitivity",)
    follows = (
        *("sae", "family", "sensitivity_of", "sensitivity_low", "sensitivity_high", "tau"),
        *("cosine_threshold", "effect_margin", "thresholds_of_suite", "movable", "rate_label", "dark"),
    )

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._head = Markup("section", on=model.state.setters("sensitivity_of"))
        self._plot_table = PlotTable()
        self._plot = LivePlot(self.drawing, height=HEIGHT, on_tap=self._tap)
        self._layout = pn.Column(self._head, self._plot.pane, self._plot_table, sizing_mode="stretch_width")
        self._show()

    def drawing(self) -> partial[Plot]:
        """Return the call that draws the rates for the state shown."""
        shown = self._model.shown
        of = shown.sensitivity_of
        return partial(
            sensitivity_plot,
            self._model.threshold_sensitivity,
            of=of,
            span=(shown.sensitivity_low, shown.sensitivity_high),
            current=getattr(shown, of),
            published=getattr(shown.thresholds_of_suite, of),
            rate=shown.rate_label,
            theme=theme(dark=shown.dark, large=shown.present),
        )

    def _tap(self, x: float, _: float) -> None:
        state, of = self._model.state, self._model.shown.sensitivity_of
        if of in state.movable:
            step = state.param[of].step
            state.apply({of: round(round(x / step) * step, 3)})

    def _show(self) -> None:
        model, shown = self._model, self._model.shown
        rows = model.threshold_sensitivity
        of = shown.sensitivity_of
        own, current = getattr(shown.thresholds_of_suite, of), getattr(shown, of)
        empty = rows is None or rows.empty
        self._layout.visible = shown.sae is not None
        self._plot.update()
        self._plot.pane.visible = not empty
        self._head.html = render(
            "sensitivity_head",
            rate=shown.rate_label,
            empty=empty,
            unanswered=model.unanswered("threshold_sensitivity"),
            of=of,
            options=_SHORT,
            fixed=of not in shown.movable,
            lone=rows is not None and set(rows.dropna(subset="suite_absorption_rate")["value"]) <= {own, current},
            own=number(own),
            current=number(current),
        )
        self._plot_table.put(None if empty or rows is None else _table(rows, of))


def _table(sensitivity: pd.DataFrame, of: str) -> Table:
    """Return the table of the rates at each value of the threshold."""

    def rows() -> list[list[object]]:
        return [
            [number(row.value), percent(row.absorption_rate), percent(row.suite_absorption_rate), row.num_absorbed]
            for row in sensitivity.itertuples()
        ]

    columns = [LABELS[of], "this SAE", "mean over SAEs", "absorbed on this SAE"]
    return Table("threshold-sensitivity", "Show as table", columns, rows)
