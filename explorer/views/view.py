"""Base class of views: they show results and the state to which these belong, and are updated once per event."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import panel as pn

if TYPE_CHECKING:
    from collections.abc import Iterator

    import param

    from explorer.model import ExplorerModel
    from explorer.state import Snapshot


class View(pn.viewable.Viewer):
    """Shows results of the model and the state for which they were computed.

    A subclass declares what it shows, builds `_layout` and calls `_show`, which is then called once per event that
    changes any of it. A hidden view is updated when it becomes visible.

    Parameters
    ----------
    model : ExplorerModel
    """

    #: The results that it shows, parameters of the model; queried while the view is visible.
    answers: ClassVar[tuple[str, ...]] = ()
    #: The attributes of `model.shown` that it uses.
    follows: ClassVar[tuple[str, ...]] = ()
    #: Its subviews, which are visible whenever it is.
    parts: ClassVar[tuple[type[View], ...]] = ()

    _layout: pn.viewable.Viewable

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__()
        self._model = model
        self._is_stale = False
        model.param.watch(self._follow, [*self.answers, "shown"])

    @classmethod
    def on_show(cls, at: Snapshot) -> Iterator[type[View]]:
        """List the views that are visible when this one is: itself, its parts, and their parts."""
        yield cls
        for part in cls.parts:
            yield from part.on_show(at)

    def _follow(self, *events: param.parameterized.Event) -> None:
        for event in events:
            self._is_stale |= event.name != "shown" or any(
                getattr(event.old, name) != getattr(event.new, name) for name in (*self.follows, "present")
            )
        if self._is_stale and self._model.shows(type(self)):
            self._is_stale = False
            self._show()

    def _show(self) -> None:
        """Update the view."""

    def _make(self, part: type[View]) -> View:
        """Create a view that is a part of this one."""
        return part(self._model)

    def __panel__(self) -> pn.viewable.Viewable:
        return self._layout
