"""One of several parts is shown; each is built when it is first opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panel as pn

from explorer.views.on_change import on_change
from explorer.views.sight import IN_SIGHT, OUT_OF_SIGHT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from explorer.model import ExplorerModel


class Switch(pn.viewable.Viewer):
    """Shows the part that the state names, once its answers are there; the others stay as they were left.

    Parameters
    ----------
    model : ExplorerModel
    parameter : str
    build : mapping of str to callable
        By value of the parameter, what makes the part.
    """

    def __init__(
        self, model: ExplorerModel, parameter: str, build: Mapping[str, Callable[[], pn.viewable.Viewable]]
    ) -> None:
        super().__init__()
        self._model, self._parameter, self._build = model, parameter, build
        self._built: dict[str, pn.viewable.Viewable] = {}
        self._layout = pn.Column(sizing_mode="stretch_width")
        on_change(model, self._show, shown=[parameter], shown_with="letters")
        self._show()

    def _show(self) -> None:
        wanted = getattr(self._model.shown, self._parameter)
        if wanted not in self._built:
            self._built[wanted] = pn.Column(self._build[wanted](), sizing_mode="stretch_width")
            self._layout.append(self._built[wanted])
        for name, content in self._built.items():
            content.styles = IN_SIGHT if name == wanted else OUT_OF_SIGHT

    def __panel__(self) -> pn.viewable.Viewable:
        return self._layout
