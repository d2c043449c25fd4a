"""What Compare shows, in words, and the switch between its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.views.markup import Markup, render
from explorer.views.view import View

if TYPE_CHECKING:
    from explorer.model import ExplorerModel

_PARTS = {"l0": "every L0 of every width", "letter": "letters of one SAE", "pair": "two SAEs"}


class CompareHead(View):
    """Names and switches what is compared.

    Parameters
    ----------
    model : ExplorerModel
    """

    follows = ("layer", "sae", "letter", "compare_by")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._layout = self._head = Markup("page-head", on=model.state.setters("compare_by"))
        self._show()

    def _show(self) -> None:
        shown = self._model.shown
        self._head.html = render(
            "compare_head", parts=_PARTS, part=shown.compare_by, letter=shown.letter, layer=shown.layer, sae=shown.sae
        )
