"""The headline sentence and the figures of main latent and linear probe below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panel as pn

from explorer.headline import headline
from explorer.views.markup import Markup, render
from explorer.views.on_change import on_change

if TYPE_CHECKING:
    from explorer.model import ExplorerModel


class Headline(pn.viewable.Viewer):
    """Says in words and figures what is shown.

    Parameters
    ----------
    model : ExplorerModel
    """

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__()
        self._model = model
        self._sentence = Markup("headline", on={"reset-thresholds": self._reset})
        self._figures = Markup("figures")
        self._layout = pn.Column(self._sentence, self._figures, sizing_mode="stretch_width")
        on_change(model, self._show, answers=["summary"], shown=["moved"])
        place = ["suite", "layer", "width", "l0", "letter"]
        on_change(model, self._show_unmeasured, shown=place, shown_with="summary")
        self._show()

    def _reset(self, _: object) -> None:
        self._model.state.apply(self._model.state.thresholds_of_suite._asdict())

    def _show_unmeasured(self) -> None:
        # From one letter without data to the next the summary stays None, which is no change, but the letter is.
        if self._model.summary is None:
            self._show()

    def _show(self) -> None:
        self._sentence.html = sentence_html(self._model, changed=bool(self._model.shown.moved))
        self._figures.html = figures_html(self._model)

    def __panel__(self) -> pn.viewable.Viewable:
        return self._layout


def sentence_html(model: ExplorerModel, *, changed: bool) -> str:
    """Write the headline; `changed` offers to take the thresholds back."""
    shown, summary = model.shown, model.summary
    return render(
        "headline",
        letter=shown.letter,
        sae=shown.sae,
        name=(model.sae_record or {}).get("title"),
        sentence=model.unanswered("summary") or headline(summary, shown.letter, has_sae=shown.sae is not None),
        changed=changed,
    )


def figures_html(model: ExplorerModel) -> str:
    """Write the figures of main latent and linear probe."""
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
        scores=scores,
        letter=shown.letter,
        sae=shown.sae,
        unanswered=model.unanswered("summary"),
    )
