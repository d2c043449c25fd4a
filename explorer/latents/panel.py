"""All that is known of the selected latent, built when the first one is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panel as pn

from explorer.latents.card import LatentCard
from explorer.latents.neuronpedia import NeuronpediaEmbed
from explorer.latents.original import OriginalPage
from explorer.latents.tester import WordTester
from explorer.views.markup import Markup, render
from explorer.views.on_change import on_change

if TYPE_CHECKING:
    from explorer.model import ExplorerModel


class LatentPanel(pn.viewable.Viewer):
    """Shows card, word tester, Neuronpedia's embed and the imported page of the selected latent.

    Parameters
    ----------
    model : ExplorerModel
    when_none : str
        Shown as long as no latent is selected; without it the panel is not there.
    """

    def __init__(self, model: ExplorerModel, when_none: str = "") -> None:
        super().__init__()
        self._model = model
        self._missing = Markup("missing")
        self._none = Markup("message", html=when_none and render("empty", title="No latent is selected", why=when_none))
        self._known = pn.Column(sizing_mode="stretch_width", visible=False)
        self._layout = pn.Column(self._none, self._known, sizing_mode="stretch_width") if when_none else self._known
        on_change(model, self._show, answers=["latent_roles", "latent_contexts", "latent_dashboard"], shown=["latent"])
        self._show()

    def _show(self) -> None:
        selected = self._model.shown.latent is not None
        if selected and not len(self._known):
            self._known[:] = [
                LatentCard(self._model),
                self._missing,
                WordTester(self._model),
                NeuronpediaEmbed(self._model),
                OriginalPage(self._model),
            ]
        self._known.visible, self._none.visible = selected, not selected
        if selected:
            self._missing.html = self._say_what_is_missing()

    def _say_what_is_missing(self) -> str:
        """Name what no source has on this latent, and where it was looked for; empty where something was found."""
        model = self._model
        record = model.sae_record or {}
        known = model.latent_contexts is not None and len(model.latent_contexts)
        if known or record.get("canonical") or model.latent_dashboard is not None:
            return ""
        looked = "contexts and dashboards of this suite, and Neuronpedia, which does not host this SAE"
        return render("empty", title=f"No dashboard for latent {model.shown.latent}", why=f"Looked for in: {looked}.")

    def __panel__(self) -> pn.viewable.Viewable:
        return self._layout
