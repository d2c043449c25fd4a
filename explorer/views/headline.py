"""The headline sentence and, below it, the scores of main latent and linear probe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panel as pn

from explorer.headline import headline
from explorer.views.markup import Markup, render
from explorer.views.view import View
from queries.schema import FRACTIONS

if TYPE_CHECKING:
    from explorer.model import ExplorerModel


class Headline(View):
    """Summarizes the state shown in a sentence and a table of numbers.

    Parameters
    ----------
    model : ExplorerModel
    """

    answers = ("summary",)
    follows = ("suite", "sae", "concept", "metric", "moved")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._sentence = Markup("headline", on={"reset-thresholds": self._reset, "concept": self._choose})
        self._figures = Markup("figures")
        self._layout = pn.Column(self._sentence, self._figures, sizing_mode="stretch_width")
        self._show()

    def _reset(self, _: object) -> None:
        self._model.state.apply(self._model.state.thresholds_of_suite._asdict())

    def _choose(self, concept: str) -> None:
        self._model.state.apply({"concept": concept})

    def _show(self) -> None:
        self._sentence.html = sentence_html(self._model, live=True)
        self._figures.html = figures_html(self._model)


def sentence_html(model: ExplorerModel, *, live: bool) -> str:
    """Render the headline; a `live` one links to the concept's parent and offers to reset the thresholds."""
    shown, summary = model.shown, model.summary
    return render(
        "headline",
        label=shown.label,
        noun=shown.noun,
        sae=shown.chosen_sae,
        name=shown.chosen_sae.title if shown.chosen_sae else None,
        sentence=model.unanswered("summary")
        or headline(summary, shown.label, shown.noun, metric=shown.metric, has_sae=shown.sae is not None),
        parent=shown.parent,
        live=live,
        changed=live and bool(shown.moved),
    )


def figures_html(model: ExplorerModel) -> str:
    """Render the scores of main latent and linear probe."""
    shown, summary = model.shown, model.summary
    scores = (
        [
            (title, term, summary[f"main_{term}"], summary[f"probe_{term}"])
            for title, term in (("Precision", "precision"), ("Recall", "recall"), ("F1", "f1"))
        ]
        if summary
        else []
    )
    return render(
        "figures",
        summary=summary,
        rate=shown.rate_label,
        of_fraction=shown.metric in FRACTIONS,
        scores=scores,
        label=shown.label,
        noun=shown.noun,
        nouns=shown.nouns,
        sae=shown.chosen_sae,
        unanswered=model.unanswered("summary"),
    )
