"""What all views have in common: they show answers and the state that these belong to, and are updated once an act."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import panel as pn

if TYPE_CHECKING:
    from collections.abc import Iterator

    import param

    from explorer.model import ExplorerModel
    from explorer.state import Snapshot


class View(pn.viewable.Viewer):
    """Shows some answers of the model's, and the state that they were asked with.

    A subclass names what it shows, builds `_layout` and calls `_show`, which from then on is called once an act that
    changes any of it. While the view is not on show, that waits until it is.

    Parameters
    ----------
    model : ExplorerModel
    """

    #: The answers that it shows, parameters of the model; asked as long as the view is on show.
    answers: ClassVar[tuple[str, ...]] = ()
    #: The attributes of `model.shown` that it shows.
    follows: ClassVar[tuple[str, ...]] = ()
    #: The views that it consists of, on show when it is.
    parts: ClassVar[tuple[type[View], ...]] = ()

    _layout: pn.viewable.Viewable

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__()
        self._model = model
        self._is_stale = False
        model.param.watch(self._follow, [*self.answers, "shown"])

    @classmethod
    def on_show(cls, at: Snapshot) -> Iterator[type[View]]:
        """List what is on show when this view is: itself, its parts, and theirs."""
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
        """Bring the view up to date."""

    def _make(self, part: type[View]) -> View:
        """Make a view that this one consists of."""
        return part(self._model)

    def __panel__(self) -> pn.viewable.Viewable:
        return self._layout
