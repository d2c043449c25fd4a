"""Who may join a session: whoever holds its page's token, which the server signs, and one connection at a time.

A page carries the token of its session, and its websocket shows it. Bokeh takes ids and tokens from anyone unless told
otherwise, and puts all headers and cookies of a visitor into the token.
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
#: For how long a token makes a session again, which is needed where a page and its websocket reach different processes.
#: Its own session, while it lives, it joins at any age: a page may stay open for months and lose its connection.
NEW_SESSION_SECONDS = 300
_TOKEN_SECONDS = 365 * 24 * 3600
#: In the query of a websocket's address: the page was connected before, and lost its connection (views/browser.js).
AGAIN = "again"
#: How long a connection is waited for to answer, before it counts as cut off.
_ANSWER_SECONDS = 2.0

#: Sessions' ids, each with the one connection that holds it.
_HOLDERS: WeakValueDictionary[str, WSHandler] = WeakValueDictionary()
#: Sessions that had a connection which has ended.
_LEFT: WeakSet[ServerSession] = WeakSet()


def sign_tokens() -> None:
    """Have the servers of this process sign tokens, which hold no header and only the explorer's own cookies."""
    own: Any = BokehTornado
    own.secret_key = _key()
    own.sign_sessions = True
    own.session_token_expiration = _TOKEN_SECONDS
    own.include_headers = []
    own.include_cookies = list(COOKIES)


def refuse_chosen_session(request: HTTPServerRequest) -> None:
    """Refuse a request that names its session, or sets anything else of Bokeh's.

    With ``bokeh-absolute-url`` a link could have the page's scripts loaded from another server.
    """
    if "Bokeh-Session-Id" in request.headers or any(name.startswith("bokeh-") for name in request.arguments):
        raise HTTPError(HTTPStatus.FORBIDDEN, reason="Sessions are named by the server")


async def claim_session(handler: WSHandler) -> None:
    """Let a websocket join the session that its token was made for; refuse a token that is not this server's.

    A session that has a connection is not joined by another one, unless that one has been cut off. A page that comes
    again joins its session or none: one that is built again, or that was built by the page's request in another process
    than its websocket reached, would show the address that the page was opened with.
    """
    origin = handler.request.headers.get("Origin")
    # Tornado does not ask where Origin and Host agree, as they also do where another site's name leads to this machine.
    if origin is not None and not handler.check_origin(origin):
        raise HTTPError(HTTPStatus.FORBIDDEN, reason="Cross origin websockets not allowed")
    session_id, age = _read(handler.request)
    session = next((each for each in handler.application_context.sessions if each.id == session_id), None)
    comes_again = AGAIN in handler.request.arguments
    was_joined = session_id in _HOLDERS or (session is not None and session in _LEFT)
    if (comes_again and not was_joined) or (session is None and (comes_again or age > NEW_SESSION_SECONDS)):
        raise HTTPError(HTTPStatus.FORBIDDEN, reason="This session has ended")
    holder = _HOLDERS.get(session_id)
    if holder is not None:
        if await _answers(holder) or _HOLDERS.get(session_id) not in (holder, None):
            raise HTTPError(HTTPStatus.CONFLICT, reason="This session has a connection")
        holder.close()
    _HOLDERS[session_id] = handler


def note_answer(handler: Any) -> None:
    """Note that a connection answered."""
    if hasattr(handler, "heard"):
        handler.heard.set()


def release_session(handler: WSHandler) -> None:
    """Let other connections join the session of one that has ended."""
    if handler.connection is not None:
        _LEFT.add(handler.connection.session)
    for session_id in [session_id for session_id, holder in _HOLDERS.items() if holder is handler]:
        del _HOLDERS[session_id]


def _key() -> bytes:
    """Return the key of signatures, which all processes that were forked from one another share."""
    return settings.secret_key_bytes() or hmac.digest(current_process().authkey, b"tokens of sessions", "sha256")


def _read(request: HTTPServerRequest) -> tuple[str, float]:
    """Return the session that a websocket's token was made for, and its age in seconds."""
    protocol, _, token = request.headers.get("Sec-WebSocket-Protocol", "").partition(",")
    token = token.strip()
    try:
        is_ours = protocol.strip() == "bokeh" and check_token_signature(token, secret_key=_key(), signed=True)
    except Exception:  # noqa: BLE001 - a token that a visitor made up may be anything
        is_ours = False
    if not is_ours:
        raise HTTPError(HTTPStatus.FORBIDDEN, reason="Not a token of this server")
    return get_session_id(token), time.time() + _TOKEN_SECONDS - get_token_payload(token)["session_expiry"]


async def _answers(holder: Any) -> bool:
    """Ask a connection whether it is still there."""
    if holder.ws_connection is None:
        return True  # it is being opened
    holder.heard = asyncio.Event()
    try:
        holder.ping()
        await asyncio.wait_for(holder.heard.wait(), _ANSWER_SECONDS)
    except (WebSocketClosedError, TimeoutError):
        return False
    return True
