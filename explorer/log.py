"""The server's log: one line of JSON on stderr for each request, connection and error.

No line holds what a reader typed: addresses are written without their query, an error as its kind and its place.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import threading
import traceback
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import panel as pn
from bokeh.util.logconfig import basicConfig
from bokeh.util.token import get_session_id
from tornado.websocket import WebSocketHandler

if TYPE_CHECKING:
    from types import TracebackType

    from tornado.web import RequestHandler

_LOG = logging.getLogger("explorer.server")
_ROOT = Path(__file__).parents[1]
_LONGEST_MESSAGE = 500
#: The session that the running task serves.
_SESSION: ContextVar[str | None] = ContextVar("session", default=None)


def log_to_stderr() -> None:
    """Send every log of this process to stderr, a line each."""
    handler = logging.StreamHandler()
    handler.setFormatter(Line())
    basicConfig(handlers=[handler], level=logging.WARNING)
    logging.captureWarnings(True)  # noqa: FBT003 - logging's own signature
    threading.excepthook = lambda error: _LOG.error("A thread failed", exc_info=error.exc_value)
    logging.getLogger("explorer").setLevel(logging.INFO)
    panel = logging.getLogger("panel")  # has a handler and a level of its own
    panel.handlers.clear()
    panel.setLevel(logging.NOTSET)
    panel.propagate = True
    pn.state.on_session_created(lambda context: _mark(context.id))


def log_event(event: str, **fields: Any) -> None:
    """Write a line about what the server does."""
    _LOG.info(event, extra={"fields": fields})


def log_failure(event: str, error: BaseException) -> None:
    """Write an error's kind and place; neither its message, which may quote a visitor, nor its traceback."""
    kind, place = type(error).__name__, _place(error.__traceback__)
    _LOG.error("%s: %s at %s", event, kind, place, extra={"fields": {"error": kind, "at": place}})


def log_request(handler: RequestHandler) -> None:
    """Write the line of a request that was answered; for a websocket, also one when it is closed."""
    request, status = handler.request, handler.get_status()
    if session_id := getattr(handler, "session_id", None):  # of a page (`explorer.guard`)
        _mark(session_id)
    if status == HTTPStatus.SWITCHING_PROTOCOLS and isinstance(handler, WebSocketHandler):
        # The token may be anything; Bokeh closes the socket where it means nothing.
        with suppress(ValueError, KeyError, TypeError):
            _mark(get_session_id(request.headers["Sec-WebSocket-Protocol"].rpartition(",")[2].strip()))
        _at_end(handler)
    log_event(
        "request",
        method=request.method,
        path=request.path,
        status=status,
        ms=round(1000 * request.request_time()),
        bytes=int(handler._headers.get("Content-Length", 0)),  # noqa: SLF001 - Tornado has no other way to read it
    )


def _at_end(handler: WebSocketHandler) -> None:
    """Write a line when a websocket is closed: the task that opened it reads from it until then."""
    task = asyncio.current_task()
    if task is not None:
        request = handler.request
        task.add_done_callback(
            lambda _: log_event(
                "closed", path=request.path, code=handler.close_code, ms=round(1000 * request.request_time())
            )
        )


def _mark(session_id: str) -> None:
    """Note which session is served: by a mark, for who knows a session's id can join it."""
    _SESSION.set(hashlib.sha256(session_id.encode()).hexdigest()[:8])


class Line(logging.Formatter):
    """Writes a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the line; of an error, where it arose in this project, or else at all."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage().partition("\n")[0][:_LONGEST_MESSAGE],
        }
        if record.exc_info and record.exc_info[0]:
            kind, _, trace = record.exc_info
            # The libraries' messages repeat what was sent, and errors quote it.
            fields |= {"event": str(record.msg).partition("\n")[0], "error": kind.__name__, "at": _place(trace)}
        fields |= getattr(record, "fields", {"logger": record.name})
        if session := _SESSION.get():
            fields["session"] = session
        return json.dumps(fields)


def _place(trace: TracebackType | None) -> str:
    """Name the innermost line of this project, or else of all, that an error came through."""
    frames = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(trace)]
    own = [
        (file.relative_to(_ROOT), line)
        for file, line in frames
        if file.is_relative_to(_ROOT) and "site-packages" not in file.parts
    ]
    file, line = (own or frames or [(Path("?"), 0)])[-1]
    return f"{file}:{line}"
