"""How many sessions a process holds, and which end when another reader comes."""

from __future__ import annotations

import os
import time
from functools import cache, wraps
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from bokeh.protocol.exceptions import ProtocolError
from bokeh.server.contexts import ApplicationContext
from panel.io.server import WSHandler

from explorer.failures import RefusedRequestError
from explorer.guard import before
from explorer.session_limits import MAX_SESSIONS, max_sessions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bokeh.core.types import ID
    from bokeh.server.session import ServerSession

#: A full server ends a session that no browser has been connected to for so long, and one whose reader has done nothing
#: for so long, seconds.
UNCONNECTED_SECONDS, IDLE_SECONDS = 5, 600
_REFUSAL = {"Retry-After": "30", "Cache-Control": "no-store"}
_FULL = (
    "Absorption Explorer serves as many readers as its memory allows. Reload this page in half a minute: its address"
    " keeps your view."
)

#: When the browser of a session last sent a message, seconds.
_ACTED: WeakKeyDictionary[ServerSession, float] = WeakKeyDictionary()


class ServerFullError(RefusedRequestError, ProtocolError):
    """No further session can be held: an answer to a request for a page, and to Bokeh's websocket."""

    def __init__(self) -> None:
        super().__init__(HTTPStatus.SERVICE_UNAVAILABLE, "The server is full", _FULL, _REFUSAL)


@cache
def limit_sessions() -> None:
    """Hold at most as many sessions in this process as the environment says, or else as the memory is enough for.

    Where there are as many, the session that has been without a browser for longest ends, or else the one whose reader
    has done nothing for longest. Where there is none that may end, the page says that the server is full.
    """
    create = ApplicationContext.create_session_if_needed
    open_socket = WSHandler._async_open  # noqa: SLF001 - Bokeh builds sessions here, too

    @wraps(create)
    async def create_within_limit(context: ApplicationContext, session_id: ID, *args: Any, **options: Any) -> Any:
        if session_id not in context._sessions and session_id not in context._pending_sessions:  # noqa: SLF001
            await _make_room(context, max_sessions(os.environ.get(MAX_SESSIONS, "")))
        return await create(context, session_id, *args, **options)

    @wraps(open_socket)
    async def open_or_close(handler: WSHandler, token: str) -> None:
        try:
            await open_socket(handler, token)
        except ServerFullError:
            handler.close()
        else:
            _note_act(handler)  # who opens a page has done something

    setattr(ApplicationContext, "create_session_if_needed", create_within_limit)  # noqa: B010 - methods, to type checkers
    setattr(WSHandler, "_async_open", open_or_close)  # noqa: B010
    before(WSHandler, "on_message", _note_act)


def _note_act(handler: Any) -> None:
    """Note that the reader of a session has just done something, unless the browser has left by now."""
    if handler.connection is not None and handler.ws_connection is not None:
        _ACTED[handler.connection.session] = time.monotonic()


async def _make_room(context: ApplicationContext, limit: int) -> None:
    """End a session where there is no room for another.

    Raises
    ------
    ServerFullError
        Where there is none that may end.
    """
    held = [session for session in context.sessions if not session.expiration_requested]
    if len(held) + len(context._pending_sessions) < limit:  # noqa: SLF001
        return
    session = _least_used(held)
    if session is None:
        raise ServerFullError
    # Its memory is free at once, or as soon as what it is doing is done.
    session.request_expiration()
    for connection in list(session._subscribed_connections):  # noqa: SLF001
        _hang_up(connection._socket)  # noqa: SLF001
    if not session.expiration_blocked:
        await context._discard_session(session, lambda ended: ended.connection_count == 0)  # noqa: SLF001


def _least_used(sessions: Sequence[ServerSession]) -> ServerSession | None:
    """Return the session that is to end first, None where none may."""
    now = time.monotonic()
    unconnected = {
        session: session.milliseconds_since_last_unsubscribe / 1000
        for session in sessions
        if not session.connection_count
    }
    idle = {session: now - _ACTED.get(session, now) for session in sessions if session.connection_count}
    for unused, seconds in ((unconnected, UNCONNECTED_SECONDS), (idle, IDLE_SECONDS)):
        longest = max(unused, key=unused.__getitem__, default=None)
        if longest is not None and unused[longest] >= seconds:
            return longest
    return None


def _hang_up(handler: Any) -> None:
    """End a websocket; its page says that the connection is lost, and shows the same view after a reload."""
    if handler.connection is not None:
        handler.application.client_lost(handler.connection)
        handler.connection = None  # else Bokeh tells the session, which has ended by then
    handler.close()
