"""How many sessions a process holds, and which end when another reader comes."""

from __future__ import annotations

import logging
import os
import re
import time
from contextlib import suppress
from functools import cache, wraps
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from bokeh.protocol.exceptions import ProtocolError
from bokeh.server.contexts import ApplicationContext
from panel.io.server import WSHandler

from explorer.failures import RefusedRequestError
from explorer.guard import before

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bokeh.core.types import ID
    from bokeh.server.session import ServerSession

_LOG = logging.getLogger("explorer")

#: How long a server keeps a session that no browser is connected to, where nothing else is said; Bokeh's own default.
SESSION_SECONDS = 15
#: Environment variable with the number of sessions that a process holds at most.
MAX_SESSIONS = "ABSORPTION_EXPLORER_MAX_SESSIONS"
#: What a process takes without sessions, its cache of answers and a long question included, and what each session does
#: once its reader has seen all pages, MB; measured, and rounded up.
PROCESS_MB, SESSION_MB = 1_000, 15
#: Whatever the memory, so many are held.
_FEWEST = 10
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
            await _make_room(context, _limit(os.environ.get(MAX_SESSIONS, "")))
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


@cache
def _limit(given: str) -> int:
    if given.isdecimal() and int(given) > 0:
        return int(given)
    if given:
        _LOG.error(
            "%s is not a whole number above 0: as many sessions are held as the memory is enough for", MAX_SESSIONS
        )
    return default_max_sessions()


def default_max_sessions(num_procs: int = 1) -> int:
    """Return how many sessions each of so many processes can hold in the memory that is there."""
    return max(_FEWEST, int((_memory_mb() / num_procs - PROCESS_MB) / SESSION_MB))


def _memory_mb() -> float:
    """Return what this machine has free, or what its control group or container may take, if that is less."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6]
    with suppress(OSError):
        free = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        found += [int(free[1]) / 1e3] if free else []
    with suppress(OSError):
        group = Path("/sys/fs/cgroup", Path("/proc/self/cgroup").read_text().rpartition("0::/")[2].strip())
        for folder in (group, *group.parents):
            with suppress(OSError, ValueError):  # "max" is no limit
                found.append(int((folder / "memory.max").read_text()) / 1e6)
    return min(found)


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
