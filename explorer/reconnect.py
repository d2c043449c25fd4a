"""Which websockets join a session: the page's first, and after a short cut the same page again."""

from __future__ import annotations

import time
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import panel as pn
from bokeh.server.session import ServerSession
from bokeh.util.token import check_token_signature, generate_jwt_token, get_session_id, get_token_payload
from panel.io.resources import LOCAL_DIST, patch_model_css
from panel.io.server import WSHandler
from panel.io.state import set_curdoc
from tornado.web import HTTPError

from explorer.guard import before

if TYPE_CHECKING:
    from bokeh.core.types import ID
    from bokeh.document import Document
    from bokeh.server.contexts import ApplicationContext

#: How long a server keeps a session that no browser is connected to, where nothing else is said; Bokeh's own default.
SESSION_SECONDS = 15
#: In the query of a websocket's address: the page was connected before.
_AGAIN = "again"

#: When a websocket last joined each session, seconds; forgotten once the session and its token are.
_JOINED: dict[ID, float] = {}


@cache
def guard_reconnects() -> None:
    """Have websockets join only sessions that they may join.

    A page that was connected before joins its own session, however old its token, and nothing else: where the session
    has ended, or is another process's, it is refused. A first websocket joins the session of its page; where that is
    another process's, or was ended because the server was full, Bokeh builds it from the token, which it does only
    once and not after the token has expired (five minutes).
    """
    before(WSHandler, "prepare", _admit)
    before(ServerSession, "subscribe", _note)


def _note(session: ServerSession) -> None:
    if session.id not in _JOINED:
        _localize_styles(session.document)
    _JOINED[session.id] = time.monotonic()


def _localize_styles(document: Document) -> None:
    """Load style sheets from this server, as Panel does only where a request for the page builds the session.

    The page's policy refuses those of Panel's CDN.
    """
    with set_curdoc(document):
        folder = f"{pn.state.rel_path}/{LOCAL_DIST}" if pn.state.rel_path else LOCAL_DIST
    for root in document.roots:
        patch_model_css(root, dist_url=folder)


def _admit(handler: WSHandler) -> None:
    """Refuse a websocket that may not join a session, before its handshake."""
    application: Any = handler.application  # Bokeh's, to type checkers Tornado's
    context = handler.application_context
    token = handler.request.headers.get("Sec-WebSocket-Protocol", "").rpartition(",")[2].strip()
    key = {"secret_key": application.secret_key, "signed": application.sign_sessions}
    try:
        is_genuine = check_token_signature(token, **key)
        session_id, expiry = get_session_id(token), get_token_payload(token)["session_expiry"]
    except Exception as error:  # a token may be anything
        raise HTTPError(HTTPStatus.FORBIDDEN) from error
    if not is_genuine:
        raise HTTPError(HTTPStatus.FORBIDDEN)
    session = context._sessions.get(session_id)  # noqa: SLF001 - without raising
    _forget(context, application.session_token_expiration)
    is_joined = session_id in _JOINED
    if _AGAIN not in handler.request.arguments:
        if (session is None and is_joined) or time.time() >= expiry:
            raise HTTPError(HTTPStatus.GONE)
        return
    if session is None or not is_joined:
        raise HTTPError(HTTPStatus.GONE)
    renewed = generate_jwt_token(session_id, **key, expiration=application.session_token_expiration)
    handler.request.headers["Sec-WebSocket-Protocol"] = f"bokeh,{renewed}"


def _forget(context: ApplicationContext, seconds: float) -> None:
    """Forget sessions that are gone, and of which no token can be built into one any more."""
    now = time.monotonic()
    for session_id, joined in list(_JOINED.items()):
        if now - joined > seconds and session_id not in context._sessions:  # noqa: SLF001 - without raising
            del _JOINED[session_id]
