"""Precision and recall of all SAEs of the suite; a tap selects an SAE."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import panel as pn

from explorer.format import l0_label, number
from explorer.plots.sae_scores import PANELS, sae_scores_plot, with_known_l0
from explorer.plots.sae_style import distinguishing_attribute, sae_keys, styles_of
from explorer.theme import theme
from explorer.views.live_plot import LivePlot
from explorer.views.markup import Markup, render
from explorer.views.plot_table import PlotTable, Table
from explorer.views.view import View

if TYPE_CHECKING:
    import pandas as pd

    from explorer.model import ExplorerModel
    from explorer.plots.layers import Plot

_CHOICES = {"encoder": "by encoder cosine", "k_sparse": "by k-sparse probing"}
_REACH = 0.06


class SaeScoresView(View):
    """Shows three panels over all SAEs, the current one ringed.

    Parameters
    ----------
    model : ExplorerModel
    """

    answers = ("sae_scores",)
    follows = ("suite", "sae", "family", "main_latent_by", "dark")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        state = model.state
        self._head = Markup("section", on=state.setters("main_latent_by"))
        self._plot_table = PlotTable()
        self._plots = [self._plot(name) for name in PANELS]
        self._panels = pn.Row(
            *(plot.pane for plot in self._plots),
            sizing_mode="stretch_width",
            styles={"flex-wrap": "wrap", "gap": "16px"},
        )
        self._layout = pn.Column(self._head, self._panels, self._plot_table, sizing_mode="stretch_width")
        self._show()

    def _plot(self, name: str) -> LivePlot:
        return LivePlot(
            partial(self.drawing, name),
            height=280,
            on_tap=lambda x, y: self._tap(name, x, y),
            styles={"flex": "1 1 280px", "min-width": "260px"},
        )

    def drawing(self, name: str) -> partial[Plot]:
        """Return the call that draws the panel of that name for the state shown."""
        shown = self._model.shown
        return partial(
            sae_scores_plot,
            self._model.sae_scores,
            name,
            saes=self._model.saes,
            current=(shown.suite, shown.sae),
            theme=theme(dark=shown.dark, large=shown.present),
        )

    def _tap(self, name: str, x: float, y: float) -> None:
        scores = self._model.sae_scores
        if scores is None or (scores := with_known_l0(scores)).empty:
            return
        across, up = PANELS[name]
        extent = 1.0 if across == "recall" else float(scores["l0"].max())
        distance = np.hypot((scores[across] - x) / extent, scores[up] - y).to_numpy(float)
        distance = np.nan_to_num(distance, nan=np.inf)  # an SAE without scores has no position
        nearest = int(np.argmin(distance))
        if distance[nearest] <= _REACH:
            self._model.state.apply({"sae": scores["sae"].iloc[nearest]})

    def _show(self) -> None:
        shown, scores = self._model.shown, self._model.sae_scores
        empty = scores is None or scores.empty
        for plot in self._plots:
            plot.update()
        self._panels.visible = not empty
        by = distinguishing_attribute(scores)
        self._head.html = render(
            "sae_scores_head",
            choices=_CHOICES,
            choice=shown.main_latent_by,
            empty=empty,
            unanswered=self._model.unanswered("sae_scores"),
            num_unknown=0 if scores is None else int(scores["l0"].isna().sum()),
            sae=shown.chosen_sae,
            nouns=shown.nouns,
            legend=[] if scores is None else list(styles_of(scores[by], by, theme(dark=shown.dark)).values()),
        )
        self._plot_table.put(None if empty or scores is None else self._table(scores))

    def _table(self, scores: pd.DataFrame) -> Table:
        """Return the table of the scores of all SAEs."""

        def rows() -> list[list[object]]:
            return [
                [
                    self._model.saes[key].label,
                    l0_label(row.l0),
                    number(row.precision),
                    number(row.recall),
                    row.num_concepts,
                ]
                for key, row in zip(sae_keys(scores), scores.itertuples(), strict=True)
            ]

        columns = ["SAE", "L0", "precision", "recall", self._model.shown.nouns]
        return Table("sae-scores", "Show as table", columns, rows)
