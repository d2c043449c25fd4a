"""Protects served pages: which scripts may run, which sites may frame a page, and how much a visitor may send."""

from __future__ import annotations

import logging
import os
import re
import sys
from functools import cache
from http import HTTPStatus
from string import punctuation
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_to_bytes

from bokeh.server.views.auth_request_handler import AuthRequestHandler
from bokeh.server.views.autoload_js_handler import AutoloadJsHandler
from bokeh.server.views.metadata_handler import MetadataHandler
from bokeh.server.views.session_handler import SessionHandler
from panel.io.server import ComponentResourceHandler, DocHandler, WSHandler
from tornado.web import HTTPError, RequestHandler

from explorer.failures import fail, handle_errors
from explorer.inbound import MESSAGE_BYTES, allow_known_messages
from explorer.served import is_local_request
from explorer.tokens import claim_session, note_answer, refuse_chosen_session, release_session, sign_tokens
from explorer.upstream.hooks import call_before, wrap_method
from explorer.upstream.panel import count_busy_on_loop
from explorer.upstream.tornado import headers_sent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tornado.httputil import HTTPServerRequest

#: Limits of requests. The longest address of the explorer has some 2,000 characters; the token with which a page opens
#: its websocket contains the address.
URL_CHARACTERS, URL_VALUES, TOKEN_CHARACTERS = 8_192, 100, 2**14
#: Offers of browsers to compress a websocket; others are ignored, because Tornado fails for some.
_COMPRESSIONS = ("permessage-deflate", "permessage-deflate; client_max_window_bits")
#: Environment variable with the origins that may show the page in a frame, in addition to its own.
EMBED_IN = "ABSORPTION_EXPLORER_EMBED_IN"
_ORIGIN = re.compile(r"https?://(?:\*\.)?[A-Za-z0-9.-]+(?::(\d{1,5}))?")
_HIGHEST_PORT = 65_535
_LOG = logging.getLogger("explorer")

# Scripts run only with the page's nonce, or if a script with the nonce loads them. Inline styles are needed by Bokeh,
# and connect-src blob: by es-module-shims, which loads Panel's components.
_POLICY = (
    "default-src 'none'",
    "script-src {scripts}",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "font-src 'self' data:",
    "connect-src 'self' blob:",
    "frame-src https://neuronpedia.org https://www.neuronpedia.org",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'self' {embed_in}",
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def allow_embedding(origins: Sequence[str]) -> None:
    """Allow pages of these origins to show this process's pages in a frame, in addition to its own.

    Raises
    ------
    ValueError
        If one is not a valid origin; one line.
    """
    for origin in origins:
        if not _is_origin(origin):
            raise ValueError(
                f"{origin!r} is not an origin; give scheme, host and port only, as in https://course.example"
            )
    os.environ[EMBED_IN] = " ".join(origins)


def _is_origin(text: str) -> bool:
    found = _ORIGIN.fullmatch(text)
    return found is not None and 0 < int(found[1] or 1) <= _HIGHEST_PORT


@cache
def _origins(named: str) -> str:
    """Return the valid origins of the environment variable; anything else could change the policy."""
    origins = [origin for origin in named.split() if _is_origin(origin)]
    if origins != named.split():
        _LOG.error("%s contains invalid origins, which are ignored; an origin is like https://course.example", EMBED_IN)
    return " ".join(origins)


def headers(nonce: str | None) -> Mapping[str, str]:
    """Return the headers of a page whose scripts have `nonce`; without one, no script runs."""
    scripts = f"'nonce-{nonce}' 'strict-dynamic'" if nonce else "'none'"
    policy = "; ".join(_POLICY).format(scripts=scripts, embed_in=_origins(os.environ.get(EMBED_IN, ""))).strip()
    return {"Content-Security-Policy": policy} | _HEADERS


@cache
def guard() -> None:
    """Install the protection of this process's pages."""
    sign_tokens()
    handle_errors()
    call_before(RequestHandler, "flush", _set_headers)
    call_before(RequestHandler, "prepare", _refuse_malformed)
    call_before(AuthRequestHandler, "prepare", _check)
    call_before(ComponentResourceHandler, "prepare", _refuse_imports)
    call_before(WSHandler, "open", count_busy_on_loop)
    call_before(WSHandler, "send_message", _close_without_page)
    call_before(WSHandler, "on_finish", _release_unopened)
    call_before(WSHandler, "on_close", release_session)
    call_before(WSHandler, "on_pong", note_answer)
    wrap_method(DocHandler, "get_session", _recording_session)
    allow_known_messages()


def is_checked(request: Any) -> bool:
    """Return whether the guard has checked a request; under ``panel serve`` the first one, which loads it, is not."""
    return getattr(request, "is_checked", False)


def _check(handler: Any) -> Any:
    """Reject requests that no page of the explorer makes."""
    request = handler.request
    refuse_too_much(request)
    if len(request.headers.get("Sec-WebSocket-Protocol", "")) > TOKEN_CHARACTERS:
        raise HTTPError(400, reason=f"Token longer than {TOKEN_CHARACTERS} characters")
    _refuse_malformed(handler)
    refuse_chosen_session(request)
    if isinstance(handler, AutoloadJsHandler | MetadataHandler):
        raise HTTPError(HTTPStatus.NOT_FOUND)  # used only by pages that other sites build
    request.is_checked = True
    request.is_local_request = is_local_request(
        request.headers
    )  # sessions do not get the headers, because the token would contain them
    if not isinstance(handler, WSHandler):
        return None
    handler.settings["websocket_max_message_size"] = MESSAGE_BYTES
    if request.headers.get("Sec-WebSocket-Extensions") not in _COMPRESSIONS:
        request.headers.pop("Sec-WebSocket-Extensions", None)
    return claim_session(handler)


def refuse_too_much(request: HTTPServerRequest) -> None:
    """Reject an address that is too long or contains too many values."""
    if len(request.uri or "") > URL_CHARACTERS:
        raise HTTPError(414, reason=f"Address longer than {URL_CHARACTERS} characters")
    if sum(map(len, request.arguments.values())) > URL_VALUES:
        raise HTTPError(400, reason=f"Address with more than {URL_VALUES} values")


def _refuse_malformed(handler: Any) -> None:
    request = handler.request
    if re.search(rb"[\x00-\x1f]", unquote_to_bytes(request.path)):
        raise HTTPError(400, reason="Address with control characters")
    try:
        for value in (value for values in request.arguments.values() for value in values):
            value.decode()
    except UnicodeDecodeError:
        raise HTTPError(400, reason="Address that is not UTF-8") from None


def _refuse_imports(handler: RequestHandler) -> None:
    """Reject components of modules that are not loaded, because Panel would import any module named in the path."""
    if handler.path_args[0].partition("/")[0] not in sys.modules:
        raise HTTPError(404)


def _recording_session(own: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Make the handler of pages record the session of the page, and the nonce of its document."""

    async def get_session(handler: Any) -> Any:
        session = await own(handler)
        handler.session_id, handler.nonce = session.id, _nonce(session.document)
        return session

    return get_session


def _nonce(document: Any) -> str | None:
    """Return the nonce of a document's page; None if building the page failed."""
    return document.template_variables.get("nonce")


def _set_headers(handler: Any) -> None:
    """Set the security headers of a response, and do not send a page without a nonce."""
    if headers_sent(handler):
        return
    nonce = None
    if isinstance(handler, SessionHandler) and handler.get_status() == HTTPStatus.OK:
        nonce = getattr(handler, "nonce", None)
        if not is_checked(handler.request):
            _redirect_to_itself(handler)
        elif nonce is None:
            fail(handler)
    for name, value in headers(nonce).items():
        handler.set_header(name, value)
    if isinstance(handler, AutoloadJsHandler):
        for name in ("Origin", "Headers", "Credentials"):
            handler.clear_header(f"Access-Control-Allow-{name}")


def _redirect_to_itself(handler: RequestHandler) -> None:
    """Make the browser repeat a request that was accepted before the guard was installed."""
    request: HTTPServerRequest = handler.request
    handler.clear()
    handler.set_status(HTTPStatus.TEMPORARY_REDIRECT)
    handler.set_header("Location", f"./{request.path.rpartition('/')[2]}?{quote(request.query, safe=punctuation)}")


def _close_without_page(handler: Any) -> None:
    """Close a websocket that was accepted before the guard was installed, or whose session could not be built."""
    connection = handler.connection
    if not is_checked(handler.request) or connection is None or _nonce(connection.session.document) is None:
        handler.close()


def _release_unopened(handler: WSHandler) -> None:
    """Release the session of a rejected websocket; for an accepted one, Tornado finishes the request at once."""
    if handler.get_status() != HTTPStatus.SWITCHING_PROTOCOLS:
        release_session(handler)
