"""Hooks into methods of library classes: functions that are called before them or that wrap them.

Under ``panel serve``, no code of the explorer runs before the first page is requested, when the server is already
running. So only the classes of the server work for both ways of starting it. This can be removed if ``panel serve``
lets an application add handlers and options.
"""

from __future__ import annotations

from functools import wraps
from importlib.metadata import version
from inspect import isawaitable, iscoroutinefunction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class MissingPartError(RuntimeError):
    """A library no longer has a part that the explorer relies on; the message names both."""

    def __init__(self, kind: type[Any], name: str) -> None:
        library = kind.__module__.partition(".")[0]
        super().__init__(
            f"{library} {version(library)} no longer has {kind.__name__}.{name}, on which the explorer relies:"
            f" install the version of {library} in constraints.txt"
        )


def wrap_method(kind: type[Any], method: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replace a method by the result of `make(method)`.

    Raises
    ------
    MissingPartError
        If the class has no such method.
    """
    own = getattr(kind, method, None)
    if own is None:
        raise MissingPartError(kind, method)
    setattr(kind, method, wraps(own)(make(own)))


def call_before(kind: type[Any], method: str, act: Callable[[Any], Any]) -> None:
    """Call `act` with the handler before its method; if that is a coroutine, `act` may be one, too."""
    own = vars(kind).get(method)

    def call(handler: Any, *args: Any, **kwargs: Any) -> Any:
        # Inherited methods are looked up at call time, because they may be replaced later.
        return own(handler, *args, **kwargs) if own else getattr(super(kind, handler), method)(*args, **kwargs)

    def after_act(handler: Any, *args: Any, **kwargs: Any) -> Any:
        act(handler)
        return call(handler, *args, **kwargs)

    async def after_act_async(handler: Any, *args: Any, **kwargs: Any) -> Any:
        if isawaitable(done := act(handler)):
            await done
        return await call(handler, *args, **kwargs)

    wrap_method(kind, method, lambda found: after_act_async if iscoroutinefunction(found) else after_act)
