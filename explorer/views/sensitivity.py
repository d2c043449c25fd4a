"""The sensitivity plot: the absorption rate by one threshold; a tap moves the threshold there."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import panel as pn

from explorer.format import number, percent
from explorer.plots.sensitivity import HEIGHT, LABELS, sensitivity_plot
from explorer.theme import theme
from explorer.views.live_plot import live_plot
from explorer.views.markup import Markup, render
from explorer.views.on_change import on_change

if TYPE_CHECKING:
    import holoviews as hv

    from explorer.model import ExplorerModel

_SHORT = {"tau": "tau", "cosine_threshold": "cosine threshold", "effect_margin": "effect margin"}


class SensitivityView(pn.viewable.Viewer):
    """Shows how the absorption rate of this SAE, and of all, depends on one of the thresholds.

    Parameters
    ----------
    model : ExplorerModel
    """

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__()
        self._model = model
        self._head = Markup("section", on=model.state.setters("sensitivity_of"))
        self._twin = Markup("twins")
        self._plot = live_plot(
            self.draw,
            follows=partial(on_change, model, answers=["threshold_sensitivity"], shown=["dark"]),
            height=HEIGHT,
            on_tap=self._tap,
        )
        self._layout = pn.Column(self._head, self._plot, self._twin, sizing_mode="stretch_width")
        on_change(model, self._show, answers=["threshold_sensitivity"])
        self._show()

    def draw(self) -> hv.Overlay:
        """Draw what is shown."""
        shown = self._model.shown
        of = shown.sensitivity_of
        return sensitivity_plot(
            self._model.threshold_sensitivity,
            of=of,
            span=(shown.sensitivity_low, shown.sensitivity_high),
            current=getattr(shown, of),
            published=getattr(shown.thresholds_of_suite, of),
            theme=theme(dark=shown.dark),
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
        empty = rows is None or rows.empty
        self._layout.visible = shown.sae is not None
        self._plot.visible = not empty
        self._head.html = render(
            "sensitivity_head",
            empty=empty,
            unanswered=model.unanswered("threshold_sensitivity"),
            of=of,
            options=_SHORT,
            fixed=of not in shown.movable,
            own=number(getattr(shown.thresholds_of_suite, of)),
            current=number(getattr(shown, of)),
        )
        self._twin.html = (
            ""
            if empty or rows is None
            else render(
                "twin",
                name="threshold-sensitivity",
                summary="The same as a table",
                columns=[LABELS[of], "this SAE", "mean of all SAEs", "absorbed on this SAE"],
                rows=[
                    [
                        number(row.value),
                        percent(row.absorption_rate),
                        percent(row.suite_absorption_rate),
                        row.num_absorbed,
                    ]
                    for row in rows.itertuples()
                ],
            )
        )

    def __panel__(self) -> pn.viewable.Viewable:
        return self._layout
