"""Handling of user events: values are checked against the handler's annotation; one event causes one message."""

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
        The message as received.
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
    """Return the validator for the annotated type of a handler's parameter."""
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

    In a notebook each cell is a separate document, and an event in one cell changes others. None of them may be the
    current document then, because Panel would assign that document's style sheets to the new models of all documents,
    which Bokeh rejects.
    """
    doc = pn.state.curdoc
    if doc is None or doc.session_context:
        with _models_recomputed_once(doc), pn.io.hold():
            yield
        return
    pn.state.curdoc = None  # type: ignore[assignment]
    try:
        yield
    finally:
        pn.state.curdoc = doc


@contextmanager
def _models_recomputed_once(doc: Document | None) -> Iterator[None]:
    """Make Bokeh collect the models of the document once at the end, and only if some were added or removed.

    For this, Bokeh traverses the whole page, which takes longer than handling most events, and HoloViews triggers it
    after each plot.
    """
    if doc is None or "recompute" in vars(doc.models):  # a nested event
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
