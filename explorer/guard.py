"""What guards a served page: which scripts may run in it, who may frame it, and how much a visitor may send."""

from __future__ import annotations

import os
import secrets
import sys
from contextvars import ContextVar
from functools import cache, wraps
from typing import TYPE_CHECKING, Any

from bokeh.server.views.auth_request_handler import AuthRequestHandler
from panel.io.server import ComponentResourceHandler, DocHandler
from tornado.web import HTTPError

from explorer.inbound import take_only_known_messages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tornado.web import RequestHandler

#: What may be asked for: the longest address of the explorer has some 2,000 characters. The token with which a page
#: opens its websocket holds its address.
URL_CHARACTERS, URL_VALUES, TOKEN_CHARACTERS = 8_192, 100, 2**14
#: Environment variable with the origins that may show the page in a frame, besides its own.
EMBED_IN = "ABSORPTION_EXPLORER_EMBED_IN"

# Scripts run only where they carry the page's nonce, or are loaded by one that does. Bokeh writes its styles into the
# page, and es-module-shims, which loads Panel's components, fetches what it has just made itself.
_POLICY = (
    "default-src 'none'",
    "script-src 'nonce-{nonce}' 'strict-dynamic'",
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

#: The nonce of the page that is being made; each request runs in a context of its own.
_NONCE: ContextVar[str] = ContextVar("nonce")


def make_nonce() -> str:
    """Make the word that the scripts of the page now being made carry, and that its headers will name."""
    nonce = secrets.token_urlsafe(16)
    _NONCE.set(nonce)
    return nonce


def headers(nonce: str) -> Mapping[str, str]:
    """Return the headers of a page whose scripts carry `nonce`."""
    policy = "; ".join(_POLICY).format(nonce=nonce, embed_in=os.environ.get(EMBED_IN, "")).strip()
    return {"Content-Security-Policy": policy} | _HEADERS


@cache
def guard() -> None:
    """Guard the pages that this process serves.

    Under ``panel serve`` nothing of the explorer runs before the first page is asked for, when the server stands
    already: its classes of handlers are the one place that serves both ways of starting it.
    """
    before(DocHandler, "flush", _set_headers)
    before(AuthRequestHandler, "prepare", _refuse_too_much)
    before(ComponentResourceHandler, "prepare", _refuse_imports)
    take_only_known_messages()


def before(kind: type[Any], method: str, act: Callable[[Any], None]) -> None:
    """Have `act` done with a handler of that kind before its method runs."""
    own = getattr(kind, method)

    @wraps(own)
    def acted(handler: Any, *args: Any, **kwargs: Any) -> Any:
        act(handler)
        return own(handler, *args, **kwargs)

    setattr(kind, method, acted)


def _set_headers(handler: RequestHandler) -> None:
    nonce = _NONCE.get(None)
    if nonce and not handler._headers_written:  # noqa: SLF001 - Tornado asks it of itself
        for name, value in headers(nonce).items():
            handler.set_header(name, value)


def _refuse_too_much(handler: RequestHandler) -> None:
    request = handler.request
    if len(request.uri or "") > URL_CHARACTERS:
        raise HTTPError(414, reason=f"Address longer than {URL_CHARACTERS} characters")
    if sum(map(len, request.arguments.values())) > URL_VALUES:
        raise HTTPError(400, reason=f"Address with more than {URL_VALUES} values")
    if len(request.headers.get("Sec-WebSocket-Protocol", "")) > TOKEN_CHARACTERS:
        raise HTTPError(400, reason=f"Token longer than {TOKEN_CHARACTERS} characters")


def _refuse_imports(handler: RequestHandler) -> None:
    """Refuse components of modules that are not loaded: to find their files, Panel would import what a path names."""
    if handler.path_args[0].partition("/")[0] not in sys.modules:
        raise HTTPError(404)
