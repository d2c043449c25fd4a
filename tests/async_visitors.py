"""Visitors without a browser, any number at once: they request pages and send the websocket messages of BokehJS."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClosedError, websocket_connect

from tests.visitors import QUERY, token_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bokeh.models import Model
    from tornado.httpclient import HTTPResponse
    from tornado.websocket import WebSocketClientConnection

SECONDS = 60
_JOINED: list[Visitor] = []

# --- Messages -------------------------------------------------------------------------------------------------------


def changed(model: Model | str, name: str, value: Any) -> dict[str, Any]:
    """Return a change of a property in BokehJS's format."""
    identity = model if isinstance(model, str) else model.id
    return {"kind": "ModelChanged", "model": {"id": identity}, "attr": name, "new": value}


def happened(name: str, model: Model | str | None, **values: Any) -> dict[str, Any]:
    """Return an event in BokehJS's format."""
    named = {} if model is None else {"model": {"id": model if isinstance(model, str) else model.id}}
    message = {"type": "event", "name": name, "values": as_map(named | values)}
    return {"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": message}


def as_map(values: dict[str, Any]) -> dict[str, Any]:
    """Return an object in BokehJS's format."""
    entries = [[name, as_map(value) if _is_plain_object(value) else value] for name, value in values.items()]
    return {"type": "map", "entries": entries}


def _is_plain_object(value: Any) -> bool:
    return isinstance(value, dict) and not {"id", "type"} & value.keys()


# --- Visitors -------------------------------------------------------------------------------------------------------


class Visitor:
    """A page's websocket.

    Attributes
    ----------
    document : dict
        The session's document as it was pulled.
    models : dict
        Its models by their ids.
    """

    def __init__(self, opened: WebSocketClientConnection) -> None:
        self._socket = opened
        self._number = 0
        self.document: dict[str, Any] = {}
        self.models: dict[str, dict[str, Any]] = {}

    async def send(self, kind: str, content: Any, **header: Any) -> str:
        """Send a message; returns its id."""
        self._number += 1
        text = content if isinstance(content, str) else json.dumps(content)
        name = f"m{self._number}"
        for message in (json.dumps({"msgid": name, "msgtype": kind} | header), "{}", text):
            await self._socket.write_message(message)
        return name

    async def send_bytes(self, content: bytes) -> None:
        await self._socket.write_message(content, binary=True)

    async def answer(self, to: str | None) -> dict[str, Any]:
        """Return kind and content of the answer to a message, or of the server's first message."""
        while True:
            parts = [await self._part() for _ in range(3)]
            header, _, content = map(json.loads, parts)
            for _ in range(2 * header.get("num_buffers", 0)):
                await self._part()
            if header.get("reqid") == to:
                return {"kind": header["msgtype"], "content": content}

    async def _part(self) -> Any:
        part = await asyncio.wait_for(self._socket.read_message(), SECONDS)
        if part is None:
            raise ConnectionError
        return part

    async def pull(self) -> None:
        """Request the session's document, as a page does first."""
        answer = await self.answer(await self.send("PULL-DOC-REQ", {}))
        self.document = answer["content"]["doc"]
        self.models = _models(self.document)

    async def is_served(self) -> bool:
        """Return whether the server answers."""
        try:
            return (await self.answer(await self.send("PATCH-DOC", {"events": []})))["kind"] == "OK"
        except (ConnectionError, WebSocketClosedError):
            return False

    async def end(self) -> tuple[int | None, str | None]:
        """Wait until the server closes the websocket; return code and reason."""
        while await asyncio.wait_for(self._socket.read_message(), SECONDS) is not None:
            pass
        return self._socket.close_code, self._socket.close_reason

    def leave(self) -> None:
        """Close the websocket."""
        self._socket.close()

    def one(self, kind: str, **having: Any) -> str:
        """Return the id of the first model of a kind."""
        return next(
            name
            for name, model in self.models.items()
            if model["name"].split(".")[-1] == kind and having.items() <= model.get("attributes", {}).items()
        )


def _models(value: Any) -> dict[str, dict[str, Any]]:
    """Collect the models of a document by their ids."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    found = {name: model for each in inner for name, model in _models(each).items()}
    if isinstance(value, dict) and value.get("type") == "object" and "id" in value:
        found[value["id"]] = value
    return found


async def ask_page(url: str, query: str = QUERY) -> HTTPResponse:
    """Request the dashboard of the server at `url`."""
    request = HTTPRequest(f"{url}/dashboard?{query}", connect_timeout=SECONDS, request_timeout=SECONDS)
    return await AsyncHTTPClient().fetch(request, raise_error=False)


async def join(url: str, token: str, query: str = "") -> Visitor | int:
    """Open a page's websocket and request its document as Bokeh does; return the status if it is rejected."""
    request = HTTPRequest(
        f"ws{url.removeprefix('http')}/dashboard/ws?{query}",
        headers={"Origin": url},
        connect_timeout=SECONDS,
        request_timeout=SECONDS,
    )
    try:
        visitor = Visitor(await websocket_connect(request, subprotocols=["bokeh", token], max_message_size=2**27))
    except HTTPClientError as error:
        return error.code
    _JOINED.append(visitor)
    try:
        assert (await visitor.answer(None))["kind"] == "ACK"
        await visitor.pull()
    except ConnectionError:
        return HTTPStatus.GONE
    return visitor


async def visit(url: str, query: str = QUERY) -> Visitor | int:
    """Open the page and its websocket; return the status if either is rejected."""
    page = await ask_page(url, query)
    return await join(url, token_of(page.body)) if page.code == HTTPStatus.OK else page.code


@asynccontextmanager
async def visiting(url: str, query: str = QUERY) -> AsyncIterator[Visitor]:
    """Open a page and its websocket for the duration of the block."""
    visitor = await visit(url, query)
    assert isinstance(visitor, Visitor), visitor
    try:
        yield visitor
    finally:
        _JOINED.remove(visitor)
        visitor.leave()


async def all_leave() -> None:
    """Close the websockets of all visitors."""
    while _JOINED:
        _JOINED.pop().leave()
