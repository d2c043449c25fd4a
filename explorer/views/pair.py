"""Comparison of two SAEs, also from two suites: their rates by concept, and tokens absorbed on only one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import panel as pn

from explorer.plots.dumbbell import MOST_ROWS, concept_at, dumbbell_plot, height_of, rows_of
from explorer.saes import suggest_other
from explorer.statistics import Difference, mean_difference
from explorer.theme import theme
from explorer.views.live_plot import LivePlot
from explorer.views.markup import Markup, render
from explorer.views.view import View

if TYPE_CHECKING:
    import pandas as pd

    from explorer.model import ExplorerModel
    from explorer.plots.layers import Plot


class PairView(View):
    """Compares the SAE shown with another one.

    Parameters
    ----------
    model : ExplorerModel
    """

    answers = ("pair_concepts", "pair_tokens", "pair_rates")
    follows = (
        "suite",
        "sae",
        "other_sae",
        "compared_sae",
        "compared_suite",
        "concept",
        "mean_policy",
        "rate_label",
        "dark",
    )

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        state = model.state
        self._head = Markup(
            "pair",
            on={
                "other": lambda sae: state.apply({"other_sae": sae}),
                "other_suite": lambda suite: state.apply({"other_suite": suite}),
                "suggested": lambda _: state.apply({"other_sae": None}),
                "swap": self._swap,
            },
        )
        self._plot = LivePlot(self.drawing, height=height_of(0), on_tap=self._tap)
        self._tables = Markup("pair", on={"concept": lambda concept: state.apply({"concept": concept})})
        self._layout = pn.Column(self._head, self._plot.pane, self._tables, sizing_mode="stretch_width")
        self._show()

    def _swap(self, _: object) -> None:
        state = self._model.state
        if state.compared_sae is not None and state.chosen_sae is not None:
            there = {"suite": state.compared_suite, "sae": state.compared_sae.id}
            state.apply(there | {"other_suite": state.suite, "other_sae": state.sae})

    def _tap(self, _: float, y: float) -> None:
        concept = concept_at(self._model.pair_concepts, y)
        if concept is not None and self._model.is_current:
            self._model.state.apply({"concept": concept})

    def drawing(self) -> partial[Plot]:
        """Return the call that draws the rates of both SAEs."""
        return pair_drawing(self._model)

    def _show(self) -> None:
        number = len(rows_of(self._model.pair_concepts))
        self._plot.update()
        self._plot.pane.visible = bool(number)
        self._plot.height = height_of(number)
        self._head.html = pair_head_html(self._model)
        self._tables.html = pair_tables_html(self._model)


def pair_drawing(model: ExplorerModel) -> partial[Plot]:
    """Return the call that draws the rates of both SAEs."""
    shown = model.shown
    return partial(
        dumbbell_plot,
        model.pair_concepts,
        concept=shown.concept,
        rate=shown.rate_label,
        theme=theme(dark=shown.dark, large=shown.present),
    )


def pair_head_html(model: ExplorerModel) -> str:
    """Render which two SAEs are compared, and the difference of their mean rates with its interval."""
    shown, pairs = model.shown, model.pair_concepts
    sae, other = shown.chosen_sae, shown.compared_sae
    suites = model.suite_titles
    if sae is None or other is None or pairs is None:
        return nothing_html(len(suites))
    is_other_suite = shown.compared_suite != shown.suite
    choices = [one for one in model.state.saes_of(shown.compared_suite) if is_other_suite or one.id != shown.sae]
    return render(
        "pair_head",
        name=sae.label,
        other=other.id,
        choices=choices,
        suites=suites,
        other_suite=shown.compared_suite,
        is_other_suite=is_other_suite,
        suggested=shown.other_sae is None or other == suggest_other(choices, sae, in_layer=not is_other_suite),
        difference=difference_of(model.pair_rates),
        rate=shown.rate_label,
        nouns=shown.nouns,
        policy=shown.mean_policy,
        num_gained=_sum(pairs["num_gained"]),
        num_lost=_sum(pairs["num_lost"]),
        colours=theme(dark=shown.dark).categories[:2],
        num_drawn=len(rows_of(pairs)),
        most_rows=MOST_ROWS,
    )


def pair_tables_html(model: ExplorerModel) -> str:
    """Render the results of both SAEs by concept, and the tokens of the concept absorbed on one or both."""
    shown, pairs, tokens = model.shown, model.pair_concepts, model.pair_tokens
    if shown.chosen_sae is None or shown.compared_sae is None or pairs is None:
        return ""
    rows = [] if tokens is None else tokens.to_dict("records")
    mine = pairs.loc[pairs["concept"] == shown.concept, "num_gained"]
    return render(
        "pair",
        rows=pairs.to_dict("records"),
        chosen=shown.concept,
        label=shown.label,
        noun=shown.noun,
        rate=shown.rate_label,
        are_known=mine.notna().all(),
        moved={
            "gained": [row for row in rows if _missing(row["latent"])],
            "lost": [row for row in rows if _missing(row["other_latent"])],
            "both": [row for row in rows if not _missing(row["latent"]) and not _missing(row["other_latent"])],
        },
    )


def nothing_html(num_suites: int) -> str:
    """Render the message that there is no other SAE."""
    elsewhere = ", or another suite." if num_suites > 1 else "."
    why = f"Every SAE of this layer is this one. Choose a layer with several{elsewhere}"
    return render("empty", title="Nothing to compare with", why=why)


def difference_of(rates: pd.DataFrame | None) -> Difference | None:
    """Return the difference of the mean rates of two SAEs over the concepts that count on both, with all their seeds.

    Parameters
    ----------
    rates : DataFrame or None
        Answer of the query `pair_rates`.
    """
    if rates is None or rates["is_other"].nunique() < len(("this", "other")):
        return None
    # One row per seed, one column per concept.
    table = rates.pivot_table(index=["is_other", "sae"], columns="concept", values="rate")
    this, other = (table.loc[is_other].to_numpy(float) for is_other in (False, True))
    return mean_difference(this, other)


def _sum(counts: pd.Series) -> int | None:
    """Return the sum of counts, ignoring unknown ones; None if all are unknown."""
    return None if counts.isna().all() else int(counts.sum())


def _missing(value: Any) -> bool:
    return value is None or value != value  # noqa: PLR0124 - NaN
