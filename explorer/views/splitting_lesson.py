"""Step 4 of the page Learn: k-sparse probes on the toy and, below them, on the suite."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
import panel as pn

from explorer.format import number
from explorer.learn.probing import k_sparse, num_split
from explorer.learn.toy import Toy, absorbing_sae
from explorer.plots.k_sparse import k_sparse_plot
from explorer.plots.toy import HEIGHT
from explorer.theme import theme
from explorer.views.k_sparse import KSparseView
from explorer.views.live_plot import LivePlot
from explorer.views.markup import Markup, render
from explorer.views.plot_table import PlotTable, Table
from explorer.views.toy_controls import TOY, toy_of
from explorer.views.view import View

if TYPE_CHECKING:
    from explorer.model import ExplorerModel
    from explorer.plots.layers import Plot
    from explorer.theme import Theme


class SuiteKSparse(KSparseView):
    """The k-sparse probes of the suite; its figure has another name than that of Explore, which stays on the page."""

    figure = "suite-k-sparse"


class SplittingLesson(View):
    """Shows which latents count as split latents: on the toy and, if the suite stores the probes, on the SAE shown.

    Parameters
    ----------
    model : ExplorerModel
    """

    follows = (*TOY, "absorption", "tau", "dark")
    parts = (SuiteKSparse,)

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._head = Markup("section")
        self._plot = LivePlot(self.drawing, height=HEIGHT)
        self._table = PlotTable()
        self._layout = pn.Column(
            self._head, self._plot.pane, self._table, *map(self._make, self.parts), sizing_mode="stretch_width"
        )
        self._show()

    def drawing(self) -> partial[Plot]:
        """Return the call that draws the toy's probes."""
        shown = self._model.shown
        return partial(toy_k_sparse_plot, toy_of(shown), shown.absorption, shown.tau, theme=theme(dark=shown.dark))

    def _show(self) -> None:
        shown = self._model.shown
        rows = toy_k_sparse(toy_of(shown), shown.absorption, shown.tau)
        self._plot.update()
        self._head.html = render(
            "splitting_head",
            split=rows.loc[rows["is_split"], "latent"].tolist(),
            rise=float(rows["f1"].iloc[1] - rows["f1"].iloc[0]),
            added=int(rows["latent"].iloc[1]),
            tau=shown.tau,
        )
        self._table.put(_tabled(rows))


def toy_k_sparse(toy: Toy, absorption: float, tau: float) -> pd.DataFrame:
    """Return the k-sparse probes of the toy with the columns of the query `k_sparse` that the plot needs."""
    probes = k_sparse(toy, absorbing_sae(absorption))
    frame = pd.DataFrame(probes, columns=["k", "latent", "f1"])
    return frame.assign(latent=frame["latent"] + 1, is_split=frame["k"] <= num_split(probes, tau))


def toy_k_sparse_plot(toy: Toy, absorption: float, tau: float, *, theme: Theme) -> Plot:
    """Draw the k-sparse probes of the toy, whose linear probe has an F1 of 1."""
    rows = toy_k_sparse(toy, absorption, tau)
    plot = k_sparse_plot(rows, score="f1", probe=1.0, selected=None, theme=theme, figure="toy-k-sparse")
    return plot._replace(y=(0.0, 1.05), options={**plot.options, "height": HEIGHT, "ylabel": "F1"})


def _tabled(rows: pd.DataFrame) -> Table:
    def written() -> list[list[object]]:
        return [[row.k, row.latent, "yes" if row.is_split else "no", number(row.f1)] for row in rows.itertuples()]

    return Table("toy-k-sparse", "The toy's k-sparse probes as a table", ["k", "latent added", "split", "F1"], written)
