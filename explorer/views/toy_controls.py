"""The sliders of the toy on the page Learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panel as pn

from explorer.learn.toy import Toy
from explorer.views.markup import Markup, render
from explorer.views.view import View
from explorer.views.widgets import Slider

if TYPE_CHECKING:
    from explorer.model import ExplorerModel
    from explorer.state import ExplorerState, Snapshot

#: Parameters of the state that define the toy.
TOY = ("toy_parent", "toy_child", "toy_alone", "toy_sparsity")
_PLACES = ("absorption", "hedging")
#: Labels of the sliders.
_SLIDERS = {
    "absorption": "absorption α: from none to absorbed",
    "hedging": "hedging h: how much of the child latent 1 writes",
    "toy_parent": "P(parent)",
    "toy_child": "P(child | parent)",
    "toy_alone": "P(child | no parent): 0 if the child implies the parent",
    "toy_sparsity": "sparsity weight λ",
}
#: The steps in which each slider is shown; the last step does not use the toy.
_STEPS = {name: (1, 3, 4) if name in _PLACES else (1, 2, 3, 4) for name in _SLIDERS} | {"toy_sparsity": (1, 2)}


class ToyControls(View):
    """Shows the sliders of the toy on which the current step depends.

    Parameters
    ----------
    model : ExplorerModel
    """

    follows = ("learn_step", "learn_latents")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        state = model.state
        self._head = Markup("toy-head", on={"learn_latents": self._choose})
        self._sliders = {name: Slider.of(state.param[name], words, format="0.00") for name, words in _SLIDERS.items()}
        for slider in self._sliders.values():
            slider.styles = {"flex": "1 1 220px"}
        flow = {"flex-wrap": "wrap", "gap": "0 32px"}
        self._layout = pn.Column(
            self._head,
            pn.Row(*self._sliders.values(), sizing_mode="stretch_width", styles=flow),
            sizing_mode="stretch_width",
        )
        self._show()

    def _choose(self, latents: str) -> None:
        self._model.state.apply({"learn_latents": latents})

    def _show(self) -> None:
        shown = self._model.shown
        place = _PLACES[shown.learn_latents == 1 and shown.learn_step == 1]
        for name, slider in self._sliders.items():
            slider.visible = shown.learn_step in _STEPS[name] and (name not in _PLACES or name == place)
        self._head.html = render("toy_head", step=shown.learn_step, num_latents=shown.learn_latents)
        self._layout.visible = any(shown.learn_step in steps for steps in _STEPS.values())


def toy_of(at: Snapshot | ExplorerState) -> Toy:
    """Return the toy of a state."""
    return Toy(*(getattr(at, name) for name in TOY))
