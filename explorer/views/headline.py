"""The headline sentence and the figures of main latent and linear probe below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panel as pn

from explorer.headline import headline
from explorer.views.markup import Markup, render

if TYPE_CHECKING:
    import param

    from explorer.model import ExplorerModel


class Headline(pn.viewable.Viewer):
    """Says in words and figures what the state shows.

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
        model.param.watch(self._show, "summary")
        model.state.param.watch(self._show_unmeasured, ["suite", "layer", "width", "l0", "letter"])
        self._show()

    def _reset(self, _: object) -> None:
        self._model.state.apply(self._model.state.thresholds_of_suite._asdict())

    def _show_unmeasured(self, *_: param.parameterized.Event) -> None:
        # From one letter without data to the next the summary stays None, which is no change, but the letter is.
        if self._model.summary is None:
            self._show()

    def _show(self, *_: param.parameterized.Event) -> None:
        state, summary = self._model.state, self._model.summary
        self._sentence.html = render(
            "headline",
            letter=state.letter,
            sae=state.sae,
            name=(self._model.sae_record or {}).get("sae"),
            sentence=headline(summary, state.letter, has_sae=state.sae is not None),
            changed=state.differs_from_paper,
        )
        scores = (
            [
                (title, term, summary[f"main_{term}"], summary[f"probe_{term}"])
                for title, term in (("Precision", "precision"), ("Recall", "recall"), ("F1", "f1"))
            ]
            if summary
            else []
        )
        self._figures.html = render("figures", summary=summary, scores=scores, letter=state.letter, sae=state.sae)

    def __panel__(self) -> pn.viewable.Viewable:
        return self._layout
