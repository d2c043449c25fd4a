"""A notebook's cell: what views stand on where there is no page of the explorer's own around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import panel as pn
import param
from panel.custom import JSComponent

from explorer.theme import FONT, MONO, css_roles, theme
from explorer.views.act import one_act
from explorer.views.export import Export
from explorer.views.markup import styles

if TYPE_CHECKING:
    from collections.abc import Callable

    from explorer.model import ExplorerModel

_CELL = {
    "--ax-font": FONT,
    "--ax-mono": MONO,
    "--ax-figure-focus": "0",
    "background": "var(--ax-paper)",
    "color": "var(--ax-ink)",
    "padding": "16px",
}


class Cell(pn.viewable.Viewer):
    """Brings colours, style sheet and the dialog for exports, and leaves the notebook's own style alone.

    Parameters
    ----------
    model : ExplorerModel
    *content : viewables
    on_dark : callable
        Takes whether the notebook is dark, when it is first known and whenever it changes.
    """

    def __init__(
        self,
        model: ExplorerModel,
        *content: pn.viewable.Viewable | pn.viewable.Viewer,
        on_dark: Callable[[bool], object],
    ) -> None:
        super().__init__()
        self._state = model.state
        # The sheet goes first, so that nothing is seen without it.
        self._layout = pn.Column(Notebook(on_dark), Export(model, shared=False), *content, sizing_mode="stretch_width")
        self._state.param.watch(self._dress, "dark")
        self._dress()

    def _dress(self, *_: param.parameterized.Event) -> None:
        # What the column declares, all that it holds inherits.
        which = theme(dark=self._state.dark)
        self._layout.styles = css_roles(which) | _CELL | {"color-scheme": which.name}

    def __panel__(self) -> pn.viewable.Viewable:
        return self._layout


class Notebook(JSComponent):
    """Hands the style sheet to the browser, and tells of the notebook's theme."""

    sheet = param.String(doc="The style sheet of all components.")

    _bundle: ClassVar[str] = "cell.js"

    def __init__(self, on_dark: Callable[[bool], object]) -> None:
        self._on_dark = on_dark
        super().__init__(sheet=styles(), width=0, height=0, margin=0)

    def _handle_msg(self, data: Any) -> None:
        with one_act():
            self._on_dark(bool(data))
