"""Layer, width and L0 of the SAE, the badge that says whether it is canonical, and the pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panel as pn

from explorer.format import width_label
from explorer.state import PAGES
from explorer.views.markup import Markup, render
from explorer.views.widgets import Choice

if TYPE_CHECKING:
    import param

    from explorer.state import ExplorerState

PAGE_TITLES = {name: name.capitalize() for name in PAGES}
TITLES = {"layer": "Layer", "width": "Width", "l0": "L0"}


class Selectors(pn.viewable.Viewer):
    """Chooses page and SAE; each of layer, width and L0 narrows the next.

    Parameters
    ----------
    state : ExplorerState
    """

    def __init__(self, state: ExplorerState) -> None:
        super().__init__()
        self._state = state
        self._widgets = {
            "layer": Choice.of(state, "layer", TITLES["layer"]),
            "width": Choice.of(state, "width", TITLES["width"], width_label),
            "l0": Choice.of(state, "l0", TITLES["l0"], self._l0_label),
        }
        self._nav = Markup("page", on={"page": self._go})
        self._badge = Markup("badge")
        rows = [
            pn.Column(
                Markup("label", html=render("label", name=name, title=TITLES[name])),
                widget,
                margin=(0, 0, 8, 0),
                sizing_mode="stretch_width",
            )
            for name, widget in self._widgets.items()
        ]
        self._rows = pn.Column(*rows, sizing_mode="stretch_width")
        self._layout = pn.Column(
            *([self._nav] if len(PAGES) > 1 else []), self._rows, self._badge, sizing_mode="stretch_width"
        )
        state.param.watch(self._show, ["suite", "layer", "width", "l0", "page"])
        self._show()

    def _l0_label(self, l0: int) -> str:
        """Write an L0, shortly where it is unknown, the canonical SAE's with a mark."""
        here = (self._state.layer, self._state.width, l0)
        return (str(l0) if l0 >= 0 else f"?{-l0}") + "*" * any(
            sae.canonical and sae.key == here for sae in self._state.saes
        )

    def _go(self, page: str) -> None:
        self._state.apply({"page": page})

    def _show(self, *_: param.parameterized.Event) -> None:
        state = self._state
        self._rows.visible = state.sae is not None
        any_canonical = any(sae.canonical for sae in state.saes)
        self._badge.html = render("badge", sae=state.sae, any_canonical=any_canonical)
        self._nav.html = render("nav", pages=PAGE_TITLES, page=state.page)

    def __panel__(self) -> pn.viewable.Viewable:
        return self._layout
