"""What Compare shows, in words, and the switch between its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panel as pn

from explorer.views.markup import Markup, render

if TYPE_CHECKING:
    import param

    from explorer.state import ExplorerState

_PARTS = {"l0": "every L0 of every width", "letter": "letters of one SAE", "pair": "two SAEs"}


class CompareHead(pn.viewable.Viewer):
    """Names and switches what is compared.

    Parameters
    ----------
    state : ExplorerState
    """

    def __init__(self, state: ExplorerState) -> None:
        super().__init__()
        self._state = state
        self._head = Markup("page-head", on={"compare_by": lambda part: state.apply({"compare_by": part})})
        state.param.watch(self._show, ["layer", "width", "l0", "letter", "compare_by"])
        self._show()

    def _show(self, *_: param.parameterized.Event) -> None:
        state = self._state
        self._head.html = render(
            "compare_head", parts=_PARTS, part=state.compare_by, letter=state.letter, layer=state.layer, sae=state.sae
        )

    def __panel__(self) -> pn.viewable.Viewable:
        return self._head
