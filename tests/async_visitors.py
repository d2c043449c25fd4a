"""Many visitors at once, who use no browser: requests for the page, and the websockets that it opens."""

from __future__ import annotations

import json
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError, websocket_connect

from tests.visitors import token_of

if TYPE_CHECKING:
    from tornado.httpclient import HTTPResponse

SECONDS = 60
_JOINED: list[WebSocketClientConnection] = []


async def ask_page(url: str) -> HTTPResponse:
    """Ask for the dashboard of the server at `url`."""
    request = HTTPRequest(f"{url}/dashboard", connect_timeout=SECONDS, request_timeout=SECONDS)
    return await AsyncHTTPClient().fetch(request, raise_error=False)


async def join(url: str, token: str, query: str = "") -> WebSocketClientConnection | int:
    """Open a page's websocket, and pull its document as Bokeh does; the status, where it is refused."""
    joined = await connect(url, token, query)
    return joined if isinstance(joined, int) or await document_of(joined) else HTTPStatus.GONE


async def connect(url: str, token: str, query: str = "") -> WebSocketClientConnection | int:
    """Open a page's websocket; the status, where it is refused."""
    request = HTTPRequest(
        f"ws{url.removeprefix('http')}/dashboard/ws?{query}",
        headers={"Origin": url},
        connect_timeout=SECONDS,
        request_timeout=SECONDS,
    )
    try:
        joined = await websocket_connect(request, subprotocols=["bokeh", token], max_message_size=2**27)
    except HTTPClientError as error:
        return error.code
    _JOINED.append(joined)
    return joined if await _comes(joined, "ACK") else HTTPStatus.GONE


async def document_of(joined: WebSocketClientConnection) -> str:
    """Return a session's document, as JSON without its arrays; nothing where the connection ends."""
    await tell(joined, "PULL-DOC-REQ")
    if not await _comes(joined, "PULL-DOC-REPLY"):
        return ""
    await joined.read_message()
    return str(await joined.read_message() or "")


async def tell(joined: WebSocketClientConnection, kind: str, **content: object) -> None:
    """Send a message."""
    for part in ({"msgid": "1", "msgtype": kind}, {}, content):
        await joined.write_message(json.dumps(part))


async def is_served(joined: WebSocketClientConnection) -> bool:
    """Return whether the server answers."""
    with suppress(WebSocketClosedError):
        await tell(joined, "PATCH-DOC", events=[])
        return await _comes(joined, "OK")
    return False


async def _comes(joined: WebSocketClientConnection, kind: str) -> bool:
    """Read until there is a message of that kind; False where the connection ends."""
    while (part := await joined.read_message()) is not None:
        if isinstance(part, str) and f'"{kind}"' in part:
            return True
    return False


async def visit(url: str) -> WebSocketClientConnection | int:
    """Open the page and its websocket; the status, where either is refused."""
    page = await ask_page(url)
    return await join(url, token_of(page.body)) if page.code == HTTPStatus.OK else page.code


async def all_leave() -> None:
    """Close the websockets of all visitors."""
    while _JOINED:
        _JOINED.pop().close()
