"""The output of a notebook cell, with the colours, style sheet and dialogs that the page provides elsewhere."""

from __future__ import annotations

from secrets import token_hex
from typing import TYPE_CHECKING, Any, ClassVar

import panel as pn
import param
from panel.custom import JSComponent

from explorer.picture import picture_html
from explorer.theme import FONT, MONO, css_roles, theme
from explorer.views.act import one_act
from explorer.views.cite import Cite
from explorer.views.export import Export
from explorer.views.markup import styles

if TYPE_CHECKING:
    from collections.abc import Callable

    from explorer.model import ExplorerModel
    from explorer.state import Snapshot

_CELL = {
    "--ax-font": FONT,
    "--ax-mono": MONO,
    "--ax-figure-focus": "0",
    "background": "var(--ax-paper)",
    "color": "var(--ax-ink)",
    "padding": "16px",
}


class Cell(pn.viewable.Viewer):
    """Provides colours, style sheet and dialogs of the page without changing the notebook's own style.

    Parameters
    ----------
    model : ExplorerModel
    *content : viewables
    on_dark : callable
        Called with whether the notebook is dark, initially and after each change.
    again : callable
        Creates a copy of the view in its current state, for a picture of it.
    """

    def __init__(
        self,
        model: ExplorerModel,
        *content: pn.viewable.Viewable | pn.viewable.Viewer,
        on_dark: Callable[[bool], object],
        again: Callable[[], pn.viewable.Viewable],
    ) -> None:
        super().__init__()
        self._state = model.state
        picture = f"ax-picture-{token_hex(8)}"
        dialogs = Export(model, shared=False), Cite(model, has_address=False)
        # The style sheet first, so that nothing appears without it.
        self._layout = _Output(Notebook(on_dark, picture), *dialogs, *content, sizing_mode="stretch_width")
        self._layout.show_picture = lambda: _show_picture(again(), picture, model.shown)
        self._state.param.watch(self._apply_theme, "dark")
        self._apply_theme()

    def _apply_theme(self, *_: param.parameterized.Event) -> None:
        # All elements in the column inherit its CSS variables.
        which = theme(dark=self._state.dark)
        self._layout.styles = css_roles(which) | _CELL | {"color-scheme": which.name}

    def __panel__(self) -> pn.viewable.Viewable:
        return self._layout


class _Output(pn.Column):
    """The column of a cell, with a picture as second output for reading the notebook without Python."""

    show_picture: Callable[[], None]

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        self.show_picture()
        return super()._repr_mimebundle_(include, exclude)


def _show_picture(content: pn.viewable.Viewable, name: str, shown: Snapshot) -> None:
    from IPython.display import display  # noqa: PLC0415 - optional, installed in notebooks

    sae = f", {shown.chosen_sae.label}" if shown.chosen_sae else ""
    picture = picture_html(content, name, f"Absorption Explorer: {shown.noun} {shown.label}{sae}")
    if picture:
        display(picture, raw=True)


class Notebook(JSComponent):
    """Loads the style sheet in the browser, reports the notebook's theme, and hides the picture of a live view."""

    sheet = param.String(doc="The style sheet of all components.")
    picture = param.String(doc="The class of the picture.")

    _bundle: ClassVar[str] = "cell.js"

    def __init__(self, on_dark: Callable[[bool], object], picture: str) -> None:
        self._on_dark = on_dark
        super().__init__(sheet=styles(), picture=picture, width=0, height=0, margin=0)

    def _handle_msg(self, data: Any) -> None:
        with one_act():
            self._on_dark(bool(data))
