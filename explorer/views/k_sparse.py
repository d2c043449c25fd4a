"""The k-sparse plot with a slider for tau, which updates the split latents on all pages."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

import panel as pn

from explorer.format import number
from explorer.plots.k_sparse import SCORES, k_sparse_plot
from explorer.theme import theme
from explorer.views.live_plot import LivePlot
from explorer.views.markup import Markup, render
from explorer.views.plot_table import PlotTable, Table
from explorer.views.view import View
from explorer.views.widgets import Slider

if TYPE_CHECKING:
    import pandas as pd

    from explorer.model import ExplorerModel
    from explorer.plots.layers import Plot


class KSparseView(View):
    """Shows the scores of the k-sparse probes; a tap on a bar selects the latent added at that k.

    Parameters
    ----------
    model : ExplorerModel
    """

    #: The name of its figure.
    figure: ClassVar[str] = "k-sparse"
    answers = ("k_sparse", "summary")
    follows = ("suite", "sae", "concept", "latent", "k_sparse_score", "tau", "thresholds_of_suite", "dark")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        state = model.state
        self._head = Markup("section", on=state.setters("k_sparse_score"))
        self._plot_table = PlotTable()
        self._tau = Slider.of(
            state.param.tau,
            "tau, the minimum F1 gain per split latent",
            format="0.000",
            drives="",  # names are unique, and the slider in the sidebar is named tau
        )
        self._plot = LivePlot(self.drawing, height=300, on_tap=self._tap)
        self._layout = pn.Column(self._head, self._plot.pane, self._tau, self._plot_table, sizing_mode="stretch_width")
        self._show()

    def drawing(self) -> partial[Plot]:
        """Return the call that draws the probes for the state shown."""
        shown, summary = self._model.shown, self._model.summary or {}
        return partial(
            k_sparse_plot,
            self._model.k_sparse,
            score=shown.k_sparse_score,
            probe=summary.get(f"probe_{shown.k_sparse_score}"),
            selected=shown.latent,
            theme=theme(dark=shown.dark, large=shown.present),
            figure=self.figure,
        )

    def _tap(self, x: float, _: float) -> None:
        k_sparse = self._model.k_sparse
        bar = round(x) - 1
        if k_sparse is not None and 0 <= bar < len(k_sparse) and k_sparse["latent"].notna().iloc[bar]:
            self._model.select(int(k_sparse["latent"].iloc[bar]))
            self._model.act = "tap-k-sparse"

    def _show(self) -> None:
        shown, k_sparse = self._model.shown, self._model.k_sparse
        empty = k_sparse is None or k_sparse.empty
        self._plot.update()
        self._plot.pane.visible = self._tau.visible = not empty
        self._head.html = render(
            "k_sparse_head",
            figure=self.figure,
            label=shown.label,
            scores=SCORES,
            score=shown.k_sparse_score,
            empty=empty,
            unanswered=self._model.unanswered("k_sparse"),
            sae=shown.chosen_sae,
            suite_tau=shown.thresholds_of_suite.tau,
            tau=shown.tau,
        )
        self._plot_table.put(scores(k_sparse, "Show as table"))


def scores(k_sparse: pd.DataFrame | None, summary: str) -> Table | None:
    """Return the table of all scores of the k-sparse probes."""
    if k_sparse is None or k_sparse.empty:
        return None

    def rows() -> list[list[object]]:
        return [
            [
                f"{row.k}",
                "–" if row.latent != row.latent else f"{row.latent:.0f}",
                "yes" if row.is_split else "no",
                *(number(getattr(row, score)) for score in SCORES),
            ]
            for row in k_sparse.itertuples()
        ]

    return Table("k-sparse", summary, ["k", "latent", "split", *SCORES.values()], rows)
