"""Access to sessions: only with the page's token, which the server signs, and for one connection at a time.

A page contains the token of its session, and its websocket sends it. By default, Bokeh accepts ids and tokens from
anyone, and includes all headers and cookies of a visitor in the token.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from http import HTTPStatus
from multiprocessing import current_process
from typing import TYPE_CHECKING, Any
from weakref import WeakSet, WeakValueDictionary

from bokeh.server.tornado import BokehTornado
from bokeh.settings import settings
from bokeh.util.token import check_token_signature, get_session_id, get_token_payload
from tornado.web import HTTPError
from tornado.websocket import WebSocketClosedError

if TYPE_CHECKING:
    from bokeh.server.session import ServerSession
    from bokeh.server.views.ws import WSHandler
    from tornado.httputil import HTTPServerRequest

#: The cookies that sessions read (`explorer.views.browser.remembered`).
COOKIES = ("ax_dark", "ax_tasks", "ax_open")
#: Maximum age of a token that may create its session again, which is needed if a page and its websocket reach different
#: processes. A token of any age may join an existing session, because a page may be open for months.
NEW_SESSION_SECONDS = 300
_TOKEN_SECONDS = 365 * 24 * 3600
#: Key in the query of a websocket's address for reconnections after a lost connection (views/browser.js).
RECONNECTION = "again"
#: Seconds without an answer to a ping after which a connection counts as lost.
_ANSWER_SECONDS = 2.0

#: The connection of each session, by the session's id.
_CONNECTIONS: WeakValueDictionary[str, WSHandler] = WeakValueDictionary()
#: Sessions whose connection has ended.
_DISCONNECTED: WeakSet[ServerSession] = WeakSet()


def sign_tokens() -> None:
    """Make the servers of this process sign tokens, which contain only the explorer's own cookies and no headers."""
    own: Any = BokehTornado
    own.secret_key = _key()
    own.sign_sessions = True
    own.session_token_expiration = _TOKEN_SECONDS
    own.include_headers = []
    own.include_cookies = list(COOKIES)


def refuse_chosen_session(request: HTTPServerRequest) -> None:
    """Reject a request that chooses its session, or sets another of Bokeh's parameters.

    With ``bokeh-absolute-url``, a link could make the page load scripts from another server.
    """
    if "Bokeh-Session-Id" in request.headers or any(name.startswith("bokeh-") for name in request.arguments):
        raise HTTPError(HTTPStatus.FORBIDDEN, reason="Sessions are named by the server")


async def claim_session(handler: WSHandler) -> None:
    """Let a websocket join the session of its token; reject tokens of other servers.

    A session with a connection cannot be joined by another one, unless the first one is lost. A page that reconnects
    joins only its own session: a new one, or one that was created for the page's request in another process, would show
    the address with which the page was opened.
    """
    origin = handler.request.headers.get("Origin")
    # Tornado skips this check if Origin and Host agree, as they also do if another site's name resolves to this host.
    if origin is not None and not handler.check_origin(origin):
        raise HTTPError(HTTPStatus.FORBIDDEN, reason="Cross origin websockets not allowed")
    session_id, age = _read(handler.request)
    session = next((each for each in handler.application_context.sessions if each.id == session_id), None)
    is_reconnection = RECONNECTION in handler.request.arguments
    was_joined = session_id in _CONNECTIONS or (session is not None and session in _DISCONNECTED)
    if (is_reconnection and not was_joined) or (session is None and (is_reconnection or age > NEW_SESSION_SECONDS)):
        raise HTTPError(HTTPStatus.FORBIDDEN, reason="This session has ended")
    holder = _CONNECTIONS.get(session_id)
    if holder is not None:
        if await _answers(holder) or _CONNECTIONS.get(session_id) not in (holder, None):
            raise HTTPError(HTTPStatus.CONFLICT, reason="This session has a connection")
        holder.close()
    _CONNECTIONS[session_id] = handler


def note_answer(handler: Any) -> None:
    """Record that a connection answered a ping."""
    if hasattr(handler, "answered"):
        handler.answered.set()


def release_session(handler: WSHandler) -> None:
    """Allow other connections to join the session of a connection that has ended."""
    if handler.connection is not None:
        _DISCONNECTED.add(handler.connection.session)
    for session_id in [session_id for session_id, holder in _CONNECTIONS.items() if holder is handler]:
        del _CONNECTIONS[session_id]


def _key() -> bytes:
    """Return the signing key, which all forked processes share."""
    return settings.secret_key_bytes() or hmac.digest(current_process().authkey, b"tokens of sessions", "sha256")


def _read(request: HTTPServerRequest) -> tuple[str, float]:
    """Return the session of a websocket's token, and the token's age in seconds."""
    protocol, _, token = request.headers.get("Sec-WebSocket-Protocol", "").partition(",")
    token = token.strip()
    try:
        is_ours = protocol.strip() == "bokeh" and check_token_signature(token, secret_key=_key(), signed=True)
    except Exception:  # noqa: BLE001 - a forged token may raise anything
        is_ours = False
    if not is_ours:
        raise HTTPError(HTTPStatus.FORBIDDEN, reason="Not a token of this server")
    return get_session_id(token), time.time() + _TOKEN_SECONDS - get_token_payload(token)["session_expiry"]


async def _answers(holder: Any) -> bool:
    """Return whether a connection answers a ping."""
    if holder.ws_connection is None:
        return True  # it is being opened
    holder.answered = asyncio.Event()
    try:
        holder.ping()
        await asyncio.wait_for(holder.answered.wait(), _ANSWER_SECONDS)
    except (WebSocketClosedError, TimeoutError):
        return False
    return True
