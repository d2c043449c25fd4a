"""One of several parts is shown; each is built when it is first opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panel as pn

from explorer.views.sight import IN_SIGHT, OUT_OF_SIGHT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import param

    from explorer.state import ExplorerState


class Switch(pn.viewable.Viewer):
    """Shows the part that a parameter of the state names, keeps the others as they were left.

    Parameters
    ----------
    state : ExplorerState
    parameter : str
    build : mapping of str to callable
        By value of the parameter, what makes the part.
    """

    def __init__(
        self, state: ExplorerState, parameter: str, build: Mapping[str, Callable[[], pn.viewable.Viewable]]
    ) -> None:
        super().__init__()
        self._state, self._parameter, self._build = state, parameter, build
        self._built: dict[str, pn.viewable.Viewable] = {}
        self._layout = pn.Column(sizing_mode="stretch_width")
        state.param.watch(self._show, parameter)
        self._show()

    def _show(self, *_: param.parameterized.Event) -> None:
        wanted = getattr(self._state, self._parameter)
        if wanted not in self._built:
            self._built[wanted] = pn.Column(self._build[wanted](), sizing_mode="stretch_width")
            self._layout.append(self._built[wanted])
        for name, content in self._built.items():
            content.styles = IN_SIGHT if name == wanted else OUT_OF_SIGHT

    def __panel__(self) -> pn.viewable.Viewable:
        return self._layout
