"""The head of the page Learn: its title and its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.views.markup import Markup, render
from explorer.views.view import View

if TYPE_CHECKING:
    from explorer.model import ExplorerModel

STEPS = {
    1: "A toy SAE",
    2: "Train it",
    3: "What a probe sees",
    4: "Split or absorbed?",
    5: "A token's verdict",
}


class LearnHead(View):
    """Lists the steps, as navigation.

    Parameters
    ----------
    model : ExplorerModel
    """

    follows = ("learn_step",)

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._layout = self._head = Markup("page-head", on=model.state.setters("learn_step"))
        self._show()

    def _show(self) -> None:
        self._head.html = render("learn_head", steps=STEPS, step=self._model.shown.learn_step)
