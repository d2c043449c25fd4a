"""The server's log: one line of JSON on stderr for each request, connection and error, whatever is logged.

No line contains what a visitor typed: addresses are logged without their query, and an error with its class and its
location only. Repeated warnings from one location are logged once a second, with the number of omitted ones.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import sys
import threading
import traceback
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING, Any

import panel as pn
from bokeh.util.logconfig import basicConfig
from bokeh.util.token import get_session_id
from tornado.websocket import WebSocketHandler

from explorer.upstream.tornado import content_length

if TYPE_CHECKING:
    from types import TracebackType

    from tornado.web import RequestHandler

_LOG = logging.getLogger("explorer.server")
_ROOT = Path(__file__).parents[1]
_LONGEST_TEXT = 500
#: Interval between two lines of a repeated warning.
_PAUSE_SECONDS = 1.0
#: The session that the running task serves.
_SESSION: ContextVar[str | None] = ContextVar("session", default=None)


def log_to_stderr() -> None:
    """Write every log record of this process to stderr, one line each."""
    basicConfig(handlers=[LineHandler()], level=logging.WARNING)
    logging.captureWarnings(True)  # noqa: FBT003 - logging's own signature
    # Python would print tracebacks for these.
    sys.excepthook = lambda kind, error, trace: _LOG.critical("The server failed", exc_info=(kind, error, trace))
    sys.unraisablehook = lambda failed: _log_failure("Something failed while it ended", failed.exc_value)
    threading.excepthook = lambda failed: _log_failure("A thread failed", failed.exc_value)
    logging.getLogger("explorer").setLevel(logging.INFO)
    for own in map(logging.getLogger, ("panel", "param")):  # which have handlers and levels of their own
        own.handlers = [logging.NullHandler()]  # Param would add its own to none
        own.setLevel(logging.NOTSET)
        own.propagate = True
    pn.state.on_session_created(lambda context: _set_session(context.id))


def _log_failure(what: str, error: BaseException | None) -> None:
    _LOG.error(what, exc_info=error)


def log_event(event: str, **fields: Any) -> None:
    """Log an event of the server."""
    _LOG.info(event, extra={"fields": fields})


def log_failure(event: str, error: BaseException) -> None:
    """Log an error's class and location; neither its message, which may quote a visitor, nor its traceback."""
    kind, place = type(error).__name__, _place(error.__traceback__)
    _LOG.error("%s: %s at %s", event, kind, place, extra={"fields": {"error": kind, "at": place}})


def log_request(handler: RequestHandler) -> None:
    """Log a finished request; a websocket is logged again when it is closed."""
    request, status = handler.request, handler.get_status()
    if session_id := getattr(handler, "session_id", None):  # of a page (`explorer.guard`)
        _set_session(session_id)
    if status == HTTPStatus.SWITCHING_PROTOCOLS and isinstance(handler, WebSocketHandler):
        # The token may be invalid; Bokeh then closes the socket.
        with suppress(ValueError, KeyError, TypeError):
            _set_session(get_session_id(request.headers["Sec-WebSocket-Protocol"].rpartition(",")[2].strip()))
        _at_end(handler)
    log_event(
        "request",
        method=request.method,
        path=request.path,
        status=status,
        ms=round(1000 * request.request_time()),
        bytes=content_length(handler),
    )


def _at_end(handler: WebSocketHandler) -> None:
    """Log when a websocket is closed, that is, when the task that opened it ends."""
    task = asyncio.current_task()
    if task is not None:
        request = handler.request
        task.add_done_callback(
            lambda _: log_event(
                "closed", path=request.path, code=handler.close_code, ms=round(1000 * request.request_time())
            )
        )


def _set_session(session_id: str) -> None:
    """Set the session of the current task, as a hash, because anyone who knows a session's id can join it."""
    _SESSION.set(hashlib.sha256(session_id.encode()).hexdigest()[:8])


@dataclass
class _RepeatedWarning:
    """A warning that was logged at `since`, and the number of equal ones omitted since then."""

    fields: dict[str, Any]
    since: float
    omitted: int = 0


class LineHandler(logging.Handler):
    """Writes each record to stderr as one line of JSON; repeated warnings at most once a second."""

    def __init__(self) -> None:
        super().__init__()
        self._repeating: dict[tuple[object, ...], _RepeatedWarning] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Write due summaries of omitted warnings, and the record, unless an equal warning was written recently."""
        self._write_omitted()
        if record.levelno < logging.WARNING:
            self._write(_described(record))
            return
        failed_at = getattr(record, "fields", {}).get("at")
        like = (record.pathname, record.lineno, record.exc_info and record.exc_info[0], failed_at)
        if like in self._repeating:
            self._repeating[like].omitted += 1
            return
        fields = _described(record)
        self._write(fields)
        # The omitted ones may belong to other sessions.
        fields.pop("session", None)
        self._repeating[like] = _RepeatedWarning(fields, monotonic())

    def _write_omitted(self) -> None:
        now = monotonic()
        for like, repeating in tuple(self._repeating.items()):
            if now - repeating.since < _PAUSE_SECONDS:
                continue
            if repeating.omitted:
                self._write(repeating.fields | {"time": _time(time()), "repeated": repeating.omitted})
                self._repeating[like] = _RepeatedWarning(repeating.fields, now)
            else:
                del self._repeating[like]

    def _write(self, fields: dict[str, Any]) -> None:
        """Write a line; one that cannot be written, as on a full disk, is omitted."""
        short = {name: value[:_LONGEST_TEXT] if isinstance(value, str) else value for name, value in fields.items()}
        with suppress(OSError, ValueError):
            sys.stderr.write(f"{json.dumps(short, default=_text)}\n")
            sys.stderr.flush()


def _described(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields of a record; for an error, with its location, in this project if possible."""
    fields = {"time": _time(record.created), "level": record.levelname.lower(), "event": _first_line(_message(record))}
    if record.exc_info and record.exc_info[0]:
        kind, _, trace = record.exc_info
        # Without arguments, because messages of libraries and errors quote what visitors sent.
        fields |= {"event": _first_line(_text(record.msg)), "error": kind.__name__, "at": _place(trace)}
    fields |= getattr(record, "fields", {"logger": record.name})
    if session := _SESSION.get():
        fields["session"] = session
    return fields


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _message(record: logging.LogRecord) -> str:
    """Return the message of a record; without its arguments if formatting fails."""
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - the string conversion of a library's objects may raise anything
        return _text(record.msg)


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - as above
        return type(value).__name__


def _first_line(text: str) -> str:
    return next(iter(text.strip().splitlines()), "")


def _place(trace: TracebackType | None) -> str:
    """Return the innermost location of an error in this project, or else the innermost of all."""
    frames = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(trace)]
    own = [
        (file.relative_to(_ROOT), line)
        for file, line in frames
        if file.is_relative_to(_ROOT) and "site-packages" not in file.parts
    ]
    file, line = (own or frames or [(Path("?"), 0)])[-1]
    return f"{file}:{line}"
