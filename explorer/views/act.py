"""Handling of user events: values are checked against the handler's annotation; one event gives one message."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from functools import cache
from inspect import get_annotations
from typing import TYPE_CHECKING, Any

import panel as pn
from pydantic import TypeAdapter, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bokeh.document import Document

    Handlers = Mapping[str, Callable[[Any], object]]

_LOG = logging.getLogger("explorer")


def take(handlers: Handlers, message: object) -> None:
    """Pass a browser's message {action, value} to the handler of that action.

    Messages are untrusted: one in another format, or whose value does not have the type of the handler's parameter,
    is ignored.

    Parameters
    ----------
    handlers : mapping of str to callable
        Handlers by action, called with the value.
    message : object
        What was sent.
    """
    action = message.get("action") if isinstance(message, dict) else None
    handler = handlers.get(action) if isinstance(action, str) else None
    if handler is None or not isinstance(message, dict):
        return
    try:
        value = _form(handler).validate_python(_whole(message.get("value")))
    except ValidationError:
        _LOG.warning("a browser sent a value that %r does not take", action)
        return
    with one_act():
        handler(value)


def _form(handler: Callable[[Any], object]) -> TypeAdapter[Any]:
    """Return the annotated type of a handler's parameter."""
    named = {name: kind for name, kind in get_annotations(handler, eval_str=True).items() if name != "return"}
    return _adapter(next(iter(named.values()), Any))


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _whole(value: Any) -> Any:
    """Replace lone surrogates, which a field of limited length can leave, so that the text encodes as UTF-8."""
    match value:
        case str():
            return value.encode("utf-8", "replace").decode("utf-8")
        case dict():
            return {name: _whole(part) if isinstance(part, str) else part for name, part in value.items()}
    return value


@contextmanager
def one_act() -> Iterator[None]:
    """Send all changes of the page after one user event in one message.

    In a notebook each cell is a document of its own, and an act in one changes others: there none of them may be the
    current one, for Panel would give its style sheets to the new models of all, and Bokeh refuse them.
    """
    doc = pn.state.curdoc
    if doc is None or doc.session_context:
        with _models_looked_for_once(doc), pn.io.hold():
            yield
        return
    pn.state.curdoc = None  # type: ignore[assignment]
    try:
        yield
    finally:
        pn.state.curdoc = doc


@contextmanager
def _models_looked_for_once(doc: Document | None) -> Iterator[None]:
    """Have Bokeh look for models that came or went at the end, and only where some did.

    It goes through all of a page, which takes longer than most acts, and HoloViews has it do so after each plot.
    """
    if doc is None or "recompute" in vars(doc.models):  # an act within an act
        yield
        return
    models, roots, wanted = doc.models, doc.roots, []
    models.recompute = lambda: None  # type: ignore[method-assign]
    models.invalidate = lambda: wanted.append(True)  # type: ignore[method-assign]
    try:
        yield
    finally:
        del models.recompute, models.invalidate
        if wanted or doc.roots != roots:
            models.recompute()
