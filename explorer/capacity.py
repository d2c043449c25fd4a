"""How many sessions a process holds, and which end when another reader comes."""

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
from explorer.upstream.bokeh import being_built, end, is_known
from explorer.upstream.hooks import around, before

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
    around(ApplicationContext, "create_session_if_needed", _within_limit)
    around(WSHandler, "_async_open", _open_or_close)  # which builds sessions, too
    before(WSHandler, "on_message", _note_act)


def _within_limit(create: Any) -> Any:
    async def create_within_limit(context: ApplicationContext, session_id: ID, *args: Any, **options: Any) -> Any:
        if not is_known(context, session_id):
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
            _note_act(handler)  # who opens a page has done something

    return open_or_close


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
    if len(held) + being_built(context) < limit:
        return
    session = _least_used(held)
    if session is None:
        raise ServerFullError
    await end(context, session)


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
