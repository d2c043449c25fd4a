"""What Compare shows, in words, and the switch between its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panel as pn

from explorer.views.markup import Markup, render
from explorer.views.on_change import on_change

if TYPE_CHECKING:
    from explorer.model import ExplorerModel

_PARTS = {"l0": "every L0 of every width", "letter": "letters of one SAE", "pair": "two SAEs"}


class CompareHead(pn.viewable.Viewer):
    """Names and switches what is compared.

    Parameters
    ----------
    model : ExplorerModel
    """

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__()
        self._model = model
        self._head = Markup("page-head", on=model.state.setters("compare_by"))
        # "letters" is kept up to date on every page, so the head is, too, whichever part is shown.
        on_change(model, self._show, shown=["layer", "width", "l0", "letter", "compare_by"], shown_with="letters")
        self._show()

    def _show(self) -> None:
        shown = self._model.shown
        self._head.html = render(
            "compare_head", parts=_PARTS, part=shown.compare_by, letter=shown.letter, layer=shown.layer, sae=shown.sae
        )

    def __panel__(self) -> pn.viewable.Viewable:
        return self._head
