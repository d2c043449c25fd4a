"""Visitors without a browser: the server's responses to them, and the sessions that they join."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode, urlsplit
from zlib import decompress

from bokeh.client import ClientSession
from bokeh.util.token import _base64_decode
from tornado.ioloop import IOLoop

import explorer.app  # noqa: F401 - whoever pulls a session's document needs the classes of its models

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from email.message import Message

SECONDS = 30
#: The page that a server builds fastest, for tests that need any page.
QUERY = "page=evidence"
#: Headers of a request for a websocket.
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Version": "13",
}


class Answer(NamedTuple):
    status: int
    reason: str
    headers: Message
    body: bytes


def ask(url: str, path: str, method: str = "GET", **sent: str) -> Answer:
    """Request a path exactly as written; `sent` are headers, with _ in place of -."""
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=SECONDS)) as connection:
        connection.putrequest(method, path, skip_host="Host" in sent)
        for name, value in sent.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        response = connection.getresponse()
        return Answer(response.status, response.reason, response.headers, response.read())


def token_of(page: bytes) -> str:
    """Return the token in a page."""
    (items,) = re.findall(r"render_items = (\[.*?\]);", page.decode())
    return json.loads(items)[0]["token"]


def token_from(url: str, path: str = f"/dashboard?{QUERY}", **sent: str) -> str:
    """Open a page, for its token."""
    answer = ask(url, path, **sent)
    if answer.status == http.client.TEMPORARY_REDIRECT:  # the first page of `panel serve`
        answer = ask(url, path, **sent)
    assert answer.status == http.client.OK, (answer.status, answer.reason)
    return token_of(answer.body)


def contents(token: str) -> dict[str, Any]:
    """Return the decoded contents of a token."""
    payload = json.loads(_base64_decode(token.partition(".")[0]))
    return payload | json.loads(decompress(_base64_decode(payload.pop("__bk__zlib_"))))


@contextmanager
def websocket(url: str, token: str, *, path: str = "/dashboard/ws", **sent: str) -> Iterator[tuple[int, socket.socket]]:
    """Request a websocket; yield the status and the rest of the answer. The server's pings are not answered."""
    head = UPGRADE | {"Origin": url, "Sec-WebSocket-Protocol": f"bokeh, {token}"} | sent
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=SECONDS)) as connection:
        connection.request("GET", path, headers=head)
        sock = connection.sock
        with connection.getresponse() as response:
            yield response.status, sock


def join_status(url: str, token: str, *, path: str = "/dashboard/ws", **sent: str) -> int:
    """Return the server's status for a websocket with that token."""
    with websocket(url, token, path=path, **sent) as (status, _):
        return status


class Visit(ClientSession):
    """The session of a page, joined with its token like a browser."""

    def __init__(self, url: str, token: str) -> None:
        address = f"{url.replace('http', 'ws', 1)}/ws"
        loop: Any = IOLoop(make_current=False)
        asyncio.set_event_loop(loop.asyncio_loop)  # Bokeh's client closes its connection outside the loop
        super().__init__(contents(token)["session_id"], address, io_loop=loop)
        self._token = token

    @property
    def token(self) -> str:
        return self._token


def open_session(url: str, **arguments: str) -> Visit:
    """Open the page at `url`, with these arguments, and join its session."""
    parts = urlsplit(url)
    query = f"?{urlencode(arguments)}" if arguments else ""
    joined = Visit(url, token_from(f"{parts.scheme}://{parts.netloc}", f"{parts.path}{query}"))
    joined.pull()
    return joined
