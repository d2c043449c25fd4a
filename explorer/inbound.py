"""The list of websocket messages that a page may send; all others are rejected before Bokeh reads them.

Bokeh's server applies any patch to any property of any model: it opens the file path of an icon, and allocates an array
of any given size. So each message is parsed here, once, and passed to Bokeh only if a page could have sent it. A
rejected message is logged by the kind of its fault, and its connection is closed. Notebooks do not use this path.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from bokeh.core.types import ID
from bokeh.models import Plot, Range1d, Slider
from bokeh.protocol.messages.patch_doc import patch_doc
from bokeh.protocol.messages.pull_doc_req import pull_doc_req
from bokeh.server.session import ServerSession
from panel.io.server import WSHandler
from panel.models.esm import ReactiveESM

from explorer.upstream.hooks import wrap_method

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bokeh.document import Document
    from bokeh.document.json import PatchJson
    from bokeh.model import Model
    from bokeh.protocol.message import Message
    from bokeh.server.connection import ServerConnection

    Form = Callable[[Any], bool]

_LOG = logging.getLogger("explorer")

#: A message has some 500 bytes; one with a model that is new in the browser also contains the model, such as a table.
MESSAGE_BYTES = 2**20
_MOST_EVENTS, _MOST_PARTS = 8, 16
_TEXT_CHARACTERS, _HEADER_CHARACTERS = 8_192, 256
_LARGEST, _MOST_PIXELS, _MOST_DIGITS = 1e100, 10**6, 32
#: How BokehJS encodes numbers that JSON cannot represent.
_NO_NUMBERS = [{"type": "number", "value": value} for value in ("nan", "+inf", "-inf")]
_POLICY_VIOLATION = 1008  # RFC 6455: a message violates the policy


class RefusedError(ValueError):
    """A message that no page sends; the text describes the fault without quoting the message."""


class _OmittedError(Exception):
    """An event that a page may send, but that has no effect."""


# --- Forms of values -------------------------------------------------------------------------------------------------


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    if value in _NO_NUMBERS:
        raise _OmittedError
    return isinstance(value, int | float) and not _is_flag(value) and math.isfinite(value) and abs(value) <= _LARGEST


def _is_size(value: Any) -> bool:
    return _is_number(value) and isinstance(value, int) and abs(value) <= _MOST_PIXELS


def _is_plain(value: Any) -> bool:
    return value is None or _is_flag(value) or _is_number(value) or _is_text(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _TEXT_CHARACTERS


def _are_modifiers(value: Any) -> bool:
    return all(map(_is_flag, _fields(_as_dict(value), "shift", "ctrl", "alt")))


def _is_rectangle(value: Any) -> bool:
    shape, is_greedy, *corners = _fields(
        _as_dict(value), "type", "greedy", "sx0", "sx1", "sy0", "sy1", "x0", "x1", "y0", "y1"
    )
    return shape == "rect" and _is_flag(is_greedy) and all(map(_is_number, corners))


def _is_report(value: Any) -> bool:
    """Return whether a value has the form of an event of the explorer's components; views/act.py checks the rest."""
    action, content = _fields(_as_dict(value), "action", "value")
    if isinstance(content, dict):
        content = list(_as_dict(content).values())
    parts = content if isinstance(content, list) else [content]
    return _is_text(action) and len(parts) <= _MOST_PARTS and all(map(_is_plain, parts))


# --- The list --------------------------------------------------------------------------------------------------------


class Event(NamedTuple):
    """An event: the class of its model (None: the document), and the form of each value."""

    of: type[Model] | None
    values: Mapping[str, Form]


class Property(NamedTuple):
    """A property that a page changes: the form of its values, and whether a value is currently possible."""

    form: Form
    is_possible: Callable[[Any, Any], bool] = lambda *_: True


_TAP = Event(Plot, {**dict.fromkeys(("sx", "sy", "x", "y"), _is_number), "modifiers": _are_modifiers})
EVENTS: Mapping[str, Event] = {
    "document_ready": Event(None, {}),
    "client_reconnected": Event(None, {}),
    "data_event": Event(ReactiveESM, {"data": _is_report}),
    "tap": _TAP,
    "doubletap": _TAP,
    "rangesupdate": Event(Plot, dict.fromkeys(("x0", "x1", "y0", "y1"), _is_number)),
    "selectiongeometry": Event(Plot, {"geometry": _is_rectangle, "final": _is_flag}),
}

_OF_SLIDER = Property(_is_number, lambda slider, value: slider.start <= value <= slider.end)
PROPERTIES: Mapping[tuple[type[Model], str], Property] = {
    (Slider, "value"): _OF_SLIDER,
    (Slider, "value_throttled"): _OF_SLIDER,
    (Range1d, "start"): Property(_is_number),
    (Range1d, "end"): Property(_is_number),
    (Plot, "inner_width"): Property(_is_size),
    (Plot, "inner_height"): Property(_is_size),
    (Plot, "outer_width"): Property(_is_size),
    (Plot, "outer_height"): Property(_is_size),
}


# --- Reading ---------------------------------------------------------------------------------------------------------


def read_json(text: str) -> Any:
    """Parse JSON as browsers write it.

    Raises
    ------
    RefusedError
        If it is invalid, contains a duplicate name, is nested too deeply, or contains a number that no browser writes.
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=_unique,
            parse_int=_number(int),
            parse_float=_number(float),
            parse_constant=_no_number,
        )
    except (json.JSONDecodeError, RecursionError) as error:
        raise RefusedError(f"no JSON ({type(error).__name__})") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise RefusedError("a name that is given twice")
    return fields


def _number(kind: type[int | float]) -> Callable[[str], int | float]:
    def read(digits: str) -> int | float:
        return kind(digits) if len(digits) <= _MOST_DIGITS else _no_number(digits)

    return read


def _no_number(_: str) -> Any:
    raise RefusedError("a number that is none")


def _fields(value: Any, *names: str) -> list[Any]:
    """Return the fields of an object that has these and no others."""
    if not isinstance(value, dict) or value.keys() != set(names):
        raise RefusedError("an object with other fields")
    return [value[name] for name in names]


def _as_dict(value: Any) -> dict[str, Any]:
    """Decode Bokeh's encoding of a JavaScript object as a list of names and values."""
    if value == {"type": "map"}:
        return {}
    kind, entries = _fields(value, "type", "entries")
    pairs: list[Any] = entries if isinstance(entries, list) and len(entries) <= _MOST_PARTS else [None]
    if kind != "map" or not all(isinstance(pair, list) and len(pair) == 2 and _is_text(pair[0]) for pair in pairs):  # noqa: PLR2004
        raise RefusedError("something else than a map")
    return _unique([tuple(pair) for pair in pairs])


def read_patch(text: str, document: Document) -> PatchJson:
    """Parse and check a patch of a document, and return it for Bokeh.

    Events that crossed with a change by the session are omitted (of removed models, or with values that are no longer
    possible), as are events at positions that are not numbers.

    Raises
    ------
    RefusedError
        If no page sends such a patch.
    """
    (events,) = _fields(read_json(text), "events")
    if not isinstance(events, list) or len(events) > _MOST_EVENTS:
        raise RefusedError("too many events, or none")
    if len(events) > 1 and not _is_batch(events):
        raise RefusedError("events that do not come together")
    read: list[Any] = []
    for event in events:
        with suppress(_OmittedError):
            read.append(_read_event(event, document))
    return {"events": read}


def _is_batch(events: list[Any]) -> bool:
    """Return whether events are changes of different properties; BokehJS combines only those that it set at once."""
    changed = [event.get("attr") for event in events if isinstance(event, dict) and event.get("kind") == "ModelChanged"]
    names = {name for name in changed if isinstance(name, str)}
    return len(names) == len(events)


def _read_event(event: Any, document: Document) -> dict[str, Any]:
    kind = event.get("kind") if isinstance(event, dict) else None
    if kind == "ModelChanged":
        _, reference, name, value = _fields(event, "kind", "model", "attr", "new")
        model = _find(reference, document)
        _check_change(model, name, value)
        return {**event, "model": model.ref}
    if kind == "MessageSent":
        _, msg_type, message = _fields(event, "kind", "msg_type", "msg_data")
        of, name, values = _fields(message, "type", "name", "values")
        if (msg_type, of) == ("bokeh_event", "event") and isinstance(name, str) and name in EVENTS:
            entries = _read_values(EVENTS[name], _as_dict(values), document)
            return {**event, "msg_data": {**message, "values": {"type": "map", "entries": entries}}}
    raise RefusedError("an event that no page sends")


def _read_values(event: Event, values: dict[str, Any], document: Document) -> list[list[Any]]:
    if event.of is None:
        _fields(values)
        return []
    reference, *contents = _fields(values, "model", *event.values)
    model = _find(reference, document)
    if not isinstance(model, event.of):
        raise RefusedError("an event of another kind of model")
    if not all(form(value) for form, value in zip(event.values.values(), contents, strict=True)):
        raise RefusedError("an event with other values")
    return [["model", model.ref], *map(list, zip(event.values, contents, strict=True))]


def _check_change(model: Model, name: Any, value: Any) -> None:
    entry = next((PROPERTIES[of, known] for of, known in PROPERTIES if known == name and isinstance(model, of)), None)
    if entry is None:
        raise RefusedError("a property that no page changes")
    if not entry.form(value):
        raise RefusedError("a value of another form")
    if not entry.is_possible(model, value):
        raise _OmittedError


def _find(reference: Any, document: Document) -> Model:
    """Return the referenced model; RefusedError if it was never in the document.

    For a model added since its last message, BokehJS sends the complete model, of which only the id is used.
    """
    if isinstance(reference, dict) and reference.get("type") == "object":
        _, _, name, _ = _fields(reference, "type", "name", "id", "attributes")
    else:
        (name,) = _fields(reference, "id")
    if not isinstance(name, str):
        raise RefusedError("a reference to no model")
    model = document.models.get_by_id(ID(name))
    if model is None and document.models.seen(ID(name)):
        raise _OmittedError
    if model is None:
        raise RefusedError("a model that is not in the document")
    return model


# --- Connections -----------------------------------------------------------------------------------------------------


class Inbox:
    """Assembles the messages of one connection from their parts: header, metadata and content."""

    def __init__(self) -> None:
        self.is_closed = False
        self._has_pulled = False
        self._parts: list[str] = []

    def take(self, part: str | bytes, connection: ServerConnection | None) -> Message[Any] | None:
        """Add the next part; return the message if it is complete.

        Raises
        ------
        RefusedError
            If no page sends such a part.
        """
        if connection is None:
            raise RefusedError("a message before there is a session")
        if not isinstance(part, str):
            raise RefusedError("bytes")
        if len(self._parts) < 2 and len(part) > _HEADER_CHARACTERS:  # noqa: PLR2004 - header and metadata
            raise RefusedError("a header of another form")
        self._parts.append(part)
        if len(self._parts) < 3:  # noqa: PLR2004 - the parts that are named above
            return None
        (header, metadata, content), self._parts = self._parts, []
        fields = read_json(header)
        name, kind = _fields(fields, "msgid", "msgtype")
        if not isinstance(name, str) or not re.fullmatch(r"[\w-]{1,64}", name, re.ASCII) or metadata != "{}":
            raise RefusedError("a header of another form")
        if kind == "PATCH-DOC":
            return patch_doc(fields, {}, read_patch(content, connection.session.document))
        if kind == "PULL-DOC-REQ" and content == "{}" and not self._has_pulled:
            self._has_pulled = True
            return pull_doc_req(fields, {}, {})
        raise RefusedError("a message of another kind")


_refusals = count(1)


def allow_known_messages() -> None:
    """Make the websockets of this process accept only the messages of the list."""
    wrap_method(WSHandler, "on_message", lambda _: _on_message)


async def _on_message(handler: Any, part: str | bytes) -> None:
    """Handle a part of a message; replaces Bokeh's method."""
    inbox = vars(handler).setdefault("inbox", Inbox())
    connection = handler.connection
    # A socket is read until the browser has closed it, too; a connection that has ended has no session.
    if inbox.is_closed or handler.ws_connection is None:
        return
    session = connection and connection.session
    if session and session.destroyed:
        return
    try:
        message = inbox.take(part, connection)
    except RefusedError as error:
        inbox.is_closed = True
        _LOG.warning("Refused a message (%d so far): %s", next(_refusals), error)
        handler.close(_POLICY_VIOLATION)
        return
    if message is not None:
        reply = await _answer(message, connection)
        if reply is not None:
            await handler.send_message(reply)
        # Panel handles a message in the next iteration of the event loop, with the document locked. The next message is
        # read only after that, so that other sessions are served in between.
        await asyncio.sleep(0)
        await _until_done(session)
        await asyncio.sleep(0)


async def _until_done(session: ServerSession) -> None:
    """Wait until nothing holds the session's document."""
    done: Any = session.with_document_locked(lambda: None)
    await done


async def _answer(message: Message[Any], connection: ServerConnection) -> Message[Any] | None:
    take: Any = ServerSession.pull if isinstance(message, pull_doc_req) else ServerSession.patch
    try:
        answer: Message[Any] | None = await take(message, connection)
    except Exception:  # noqa: BLE001 - the connection continues after any error of a handler
        _LOG.exception("A message could not be handled")
    else:
        return answer
    # Outside of the except clause, where Bokeh would add the traceback to the response.
    return connection.error(message, "The server could not handle this message")
