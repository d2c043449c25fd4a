"""Limits the number of sessions of a process; which session ends when another visitor arrives."""

from __future__ import annotations

import os
import time
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from bokeh.protocol.exceptions import ProtocolError
from bokeh.server.contexts import ApplicationContext
from panel.io.server import WSHandler

from explorer.failures import RefusedRequestError
from explorer.session_limits import MAX_SESSIONS, max_sessions
from explorer.upstream.bokeh import end_session, has_session, num_pending_sessions
from explorer.upstream.hooks import call_before, wrap_method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bokeh.core.types import ID
    from bokeh.server.session import ServerSession

#: Seconds after which a full server may end a session without a browser, and one whose visitor is inactive.
UNCONNECTED_SECONDS, IDLE_SECONDS = 5, 600
_REFUSAL = {"Retry-After": "30", "Cache-Control": "no-store"}
_FULL = (
    "Absorption Explorer serves as many visitors as its memory allows. Reload this page in half a minute: its address"
    " keeps your view."
)

#: Time of the last message from the browser of a session, seconds.
_LAST_ACTIVE: WeakKeyDictionary[ServerSession, float] = WeakKeyDictionary()


class ServerFullError(RefusedRequestError, ProtocolError):
    """No further session fits: the response to a request for a page, and an error for Bokeh's websocket."""

    def __init__(self) -> None:
        super().__init__(HTTPStatus.SERVICE_UNAVAILABLE, "The server is full", _FULL, _REFUSAL)


@cache
def limit_sessions() -> None:
    """Limit the sessions of this process to the number from the environment or, by default, the available memory.

    When the limit is reached, the session that has been without a browser for the longest time ends, or else the one
    that has been inactive for the longest time. If none may end, the page states that the server is full.
    """
    wrap_method(ApplicationContext, "create_session_if_needed", _within_limit)
    wrap_method(WSHandler, "_async_open", _open_or_close)  # which also creates sessions
    call_before(WSHandler, "on_message", _record_activity)


def _within_limit(create: Any) -> Any:
    async def create_within_limit(context: ApplicationContext, session_id: ID, *args: Any, **options: Any) -> Any:
        if not has_session(context, session_id):
            await _make_room(context, max_sessions(os.environ.get(MAX_SESSIONS, "")))
        return await create(context, session_id, *args, **options)

    return create_within_limit


def _open_or_close(open_socket: Any) -> Any:
    async def open_or_close(handler: WSHandler, token: str) -> None:
        try:
            await open_socket(handler, token)
        except ServerFullError:
            handler.close()
        else:
            _record_activity(handler)  # opening a page counts as activity

    return open_or_close


def _record_activity(handler: Any) -> None:
    """Record activity of a session's visitor, unless the browser has disconnected."""
    if handler.connection is not None and handler.ws_connection is not None:
        _LAST_ACTIVE[handler.connection.session] = time.monotonic()


async def _make_room(context: ApplicationContext, limit: int) -> None:
    """End a session if there is no room for another.

    Raises
    ------
    ServerFullError
        If no session may end.
    """
    held = [session for session in context.sessions if not session.expiration_requested]
    if len(held) + num_pending_sessions(context) < limit:
        return
    session = _least_used(held)
    if session is None:
        raise ServerFullError
    await end_session(context, session)


def _least_used(sessions: Sequence[ServerSession]) -> ServerSession | None:
    """Return the session that ends first, None if none may end."""
    now = time.monotonic()
    unconnected = {
        session: session.milliseconds_since_last_unsubscribe / 1000
        for session in sessions
        if not session.connection_count
    }
    idle = {session: now - _LAST_ACTIVE.get(session, now) for session in sessions if session.connection_count}
    for unused, seconds in ((unconnected, UNCONNECTED_SECONDS), (idle, IDLE_SECONDS)):
        longest = max(unused, key=unused.__getitem__, default=None)
        if longest is not None and unused[longest] >= seconds:
            return longest
    return None
