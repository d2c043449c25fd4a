"""Everything about the selected latent; built when the first latent is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panel as pn

from explorer.latents.card import LatentCard
from explorer.latents.neuronpedia import NeuronpediaEmbed
from explorer.latents.original import OriginalPage
from explorer.latents.tester import WordTester
from explorer.latents.words import LatentWords
from explorer.views.markup import Markup, render
from explorer.views.view import View
from explorer.views.visibility import HIDDEN, VISIBLE

if TYPE_CHECKING:
    from explorer.model import ExplorerModel


class LatentPanel(View):
    """Shows card, false alarms and misses, word tester, Neuronpedia's embed and imported page of the selected latent.

    Parameters
    ----------
    model : ExplorerModel
    when_none : str
        Text shown while no latent is selected; if empty, the panel is hidden then.
    """

    answers = ("latent_contexts",)
    follows = ("latent",)
    parts = (LatentCard, LatentWords, WordTester, NeuronpediaEmbed, OriginalPage)

    def __init__(self, model: ExplorerModel, when_none: str = "") -> None:
        super().__init__(model)
        self._initial_latent = model.shown.latent
        self._parts: dict[str, pn.viewable.Viewer] = {}
        self._order: list[pn.viewable.Viewer] = []
        self._placeholder = Markup(
            "message", html=when_none and render("empty", title="No latent is selected", why=when_none)
        )
        self._panel = pn.Column(sizing_mode="stretch_width", styles=HIDDEN)
        self._layout = (
            pn.Column(self._placeholder, self._panel, sizing_mode="stretch_width") if when_none else self._panel
        )
        self._show()

    def _show(self) -> None:
        selected = self._model.shown.latent is not None
        if selected and not self._parts:
            self._parts = {
                "card": LatentCard(self._model, self._initial_latent),
                "words": LatentWords(self._model),
                "tester": WordTester(self._model),
                "neuronpedia": NeuronpediaEmbed(self._model),
                "original": OriginalPage(self._model),
            }
        if selected and self._order != (order := self._ordered):
            self._order = self._panel[:] = order
        self._placeholder.visible = not selected
        # A style, because a change of Bokeh's property `visible` makes it lay out the whole page.
        self._panel.styles = VISIBLE if selected else HIDDEN

    @property
    def _ordered(self) -> list[pn.viewable.Viewer]:
        """The parts in order; for a latent without data in the suite, Neuronpedia's embed precedes words and tester."""
        contexts = self._model.latent_contexts
        own = [self._parts["words"], self._parts["tester"]]
        external = [self._parts["neuronpedia"], self._parts["original"]]
        has_own = contexts is not None and len(contexts) > 0
        return [self._parts["card"], *(own + external if has_own else external + own)]
