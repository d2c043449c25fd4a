"""How the explorer gets into the libraries' classes: its own acts before their methods, or around them.

Under ``panel serve`` nothing of the explorer runs before the first page is asked for, when the server stands already:
its classes are the one place that serves both ways of starting it. To be removed, ``panel serve`` would have to let an
application bring handlers and options of its own.
"""

from __future__ import annotations

from functools import wraps
from importlib.metadata import version
from inspect import isawaitable, iscoroutinefunction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class MissingPartError(RuntimeError):
    """A library has no longer what the explorer relies on; the message names both."""

    def __init__(self, kind: type[Any], name: str) -> None:
        library = kind.__module__.partition(".")[0]
        super().__init__(
            f"{library} {version(library)} has no {kind.__name__}.{name} any more, on which the explorer relies:"
            f" install the version of {library} in constraints.txt"
        )


def around(kind: type[Any], method: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replace a method by what `make` makes of it.

    Raises
    ------
    MissingPartError
        Where there is none.
    """
    own = getattr(kind, method, None)
    if own is None:
        raise MissingPartError(kind, method)
    setattr(kind, method, wraps(own)(make(own)))


def before(kind: type[Any], method: str, act: Callable[[Any], Any]) -> None:
    """Have `act` done with a handler of that kind before its method runs; before a coroutine, it may be one itself."""
    own = vars(kind).get(method)

    def call(handler: Any, *args: Any, **kwargs: Any) -> Any:
        # What the kind inherits is looked up when it is called: it may be replaced later.
        return own(handler, *args, **kwargs) if own else getattr(super(kind, handler), method)(*args, **kwargs)

    def acted(handler: Any, *args: Any, **kwargs: Any) -> Any:
        act(handler)
        return call(handler, *args, **kwargs)

    async def acted_and_awaited(handler: Any, *args: Any, **kwargs: Any) -> Any:
        if isawaitable(done := act(handler)):
            await done
        return await call(handler, *args, **kwargs)

    around(kind, method, lambda found: acted_and_awaited if iscoroutinefunction(found) else acted)
