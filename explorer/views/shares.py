"""Soft absorption: which latents carry the concept on tokens that the probe finds, by token and by concept."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import panel as pn

from explorer.format import percent, visible
from explorer.model import records
from explorer.plots.shares import HEIGHT, PARTS, concept_shares_plot, known_shares, token_shares_plot
from explorer.theme import theme
from explorer.views.live_plot import LivePlot
from explorer.views.markup import Markup, render
from explorer.views.plot_table import PlotTable, Table
from explorer.views.view import View

if TYPE_CHECKING:
    import pandas as pd

    from explorer.model import ExplorerModel
    from explorer.plots.layers import Plot
    from explorer.state import Snapshot

#: The result that each plot draws.
PANELS = {"token-shares": "token_shares", "concept-shares": "concept_shares"}


class SharesView(View):
    """Shows the shares of split latents, absorbing latents and neither; a tap on a concept's bar selects it.

    Parameters
    ----------
    model : ExplorerModel
    when_none : str
        Text if there is nothing to show; if empty, the view is hidden then.
    """

    answers = ("token_shares", "concept_shares", "summary")
    follows = ("suite", "sae", "concept", "tau", "moved", "thresholds_of_suite", "dark")

    def __init__(self, model: ExplorerModel, when_none: str = "") -> None:
        super().__init__(model)
        self._when_none = when_none
        self._head = Markup("section")
        self._tokens = LivePlot(partial(self.drawing, "token-shares"), height=HEIGHT)
        self._concepts = LivePlot(partial(self.drawing, "concept-shares"), height=HEIGHT, on_tap=self._tap)
        self._plot_tables = PlotTable(), PlotTable()
        self._layout = pn.Column(
            *(self._head, self._tokens.pane, self._plot_tables[0], self._concepts.pane, self._plot_tables[1]),
            sizing_mode="stretch_width",
        )
        self._show()

    def drawing(self, name: str) -> partial[Plot]:
        """Return the call that draws the panel of that name for the state shown."""
        shown = self._model.shown
        colours = theme(dark=shown.dark, large=shown.present)
        if name == "token-shares":
            return partial(token_shares_plot, self._model.token_shares, theme=colours)
        return partial(concept_shares_plot, self._model.concept_shares, chosen=shown.concept, theme=colours)

    def _tap(self, x: float, _: float) -> None:
        bars, bar = known_shares(self._model.concept_shares), round(x) - 1
        if 0 <= bar < len(bars) and self._model.is_current:
            self._model.state.apply({"concept": bars["concept"].iloc[bar]})

    def _show(self) -> None:
        model, shown, listed = self._model, self._model.shown, self._model.concept_shares
        for plot in (self._tokens, self._concepts):
            plot.update()
        has_tokens, has_concepts = (not known_shares(rows).empty for rows in (model.token_shares, listed))
        self._tokens.pane.visible, self._concepts.pane.visible = has_tokens, has_concepts
        unanswered = model.unanswered("token_shares") or model.unanswered("concept_shares")
        # At the suite's own tau, a suite without projections has nothing to show.
        is_moved = "tau" in shown.moved and listed is not None and not listed.empty
        has_any = has_concepts or is_moved or bool(unanswered)
        self._layout.visible = has_any or bool(self._when_none)
        self._head.html = (
            shares_html(model, unanswered=unanswered)
            if has_any
            else render("empty", title="Shares unknown", why=self._when_none)
        )
        self._plot_tables[0].put(token_table(model.token_shares))
        self._plot_tables[1].put(concept_table(listed, shown))


def shares_html(model: ExplorerModel, *, unanswered: str = "") -> str:
    """Render the mean shares of the concept, and of the compared concepts."""
    shown, rows = model.shown, model.concept_shares
    of_concept = [] if rows is None else records(rows[rows["concept"] == shown.concept])
    known = known_shares(rows)
    return render(
        "shares_head",
        label=shown.label,
        noun=shown.noun,
        nouns=shown.nouns,
        parts=PARTS,
        found=of_concept[0] if of_concept else None,
        num_apart=_num_apart(of_concept),
        num_missing=_num_missing(of_concept, (model.summary or {}).get("num_probe_true_positives")),
        num_concepts=len(known),
        means={name: float(known[name].mean()) for name in PARTS},
        own_tau=shown.thresholds_of_suite.tau,
        unanswered=unanswered,
    )


def _num_apart(found: list[dict[str, Any]]) -> int:
    """Return the number of tokens whose projection on the probe is not positive."""
    return sum(row["num_tokens"] - row["num_shared"] - row["num_unknown"] for row in found)


def _num_missing(found: list[dict[str, Any]], num_positives: int | None) -> int:
    """Return the number of true positives without stored projections, if it is known."""
    return max((num_positives or 0) - sum(row["num_tokens"] for row in found), 0)


def token_table(rows: pd.DataFrame | None) -> Table | None:
    """Return the table of the shares of each token; None if no token has shares."""
    if rows is None or known_shares(rows).empty:
        return None

    def listed() -> list[list[object]]:
        return [[visible(row.token), *(percent(getattr(row, name)) for name in PARTS)] for row in rows.itertuples()]

    return Table("token-shares", "Tokens (table)", ["token", *PARTS.values()], listed)


def concept_table(rows: pd.DataFrame | None, shown: Snapshot) -> Table | None:
    """Return the table of the mean shares of each concept; None if no concept has shares."""
    if rows is None or known_shares(rows).empty:
        return None

    def listed() -> list[list[object]]:
        return [
            [row.label, *(percent(getattr(row, name)) for name in PARTS), row.num_shared] for row in rows.itertuples()
        ]

    columns = [shown.noun, *PARTS.values(), "tokens"]
    return Table("concept-shares", f"{shown.nouns.capitalize()} (table)", columns, listed)
