"""A page's websocket without a browser: what a page sends, written as BokehJS writes it, and what is answered."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import websocket_connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bokeh.models import Model
    from tornado.websocket import WebSocketClientConnection

SECONDS = 20


def changed(model: Model | str, name: str, value: Any) -> dict[str, Any]:
    identity = model if isinstance(model, str) else model.id
    return {"kind": "ModelChanged", "model": {"id": identity}, "attr": name, "new": value}


def happened(name: str, model: Model | str | None, **values: Any) -> dict[str, Any]:
    """Write an event as BokehJS does."""
    named = {} if model is None else {"model": {"id": model if isinstance(model, str) else model.id}}
    message = {"type": "event", "name": name, "values": as_map(named | values)}
    return {"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": message}


def as_map(values: dict[str, Any]) -> dict[str, Any]:
    entries = [[name, as_map(value) if _is_plain_object(value) else value] for name, value in values.items()]
    return {"type": "map", "entries": entries}


def _is_plain_object(value: Any) -> bool:
    return isinstance(value, dict) and not {"id", "type"} & value.keys()


class Visitor:
    """A page's websocket without a browser."""

    def __init__(self, opened: WebSocketClientConnection) -> None:
        self._socket = opened
        self._number = 0
        self.models: dict[str, dict[str, Any]] = {}

    async def send(self, kind: str, content: Any, **header: Any) -> str:
        self._number += 1
        text = content if isinstance(content, str) else json.dumps(content)
        name = f"m{self._number}"
        for message in (json.dumps({"msgid": name, "msgtype": kind} | header), "{}", text):
            await self._socket.write_message(message)
        return name

    async def send_bytes(self, content: bytes) -> None:
        await self._socket.write_message(content, binary=True)

    async def answer(self, to: str) -> dict[str, Any]:
        """Return kind and content of the answer to a message."""
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

    async def end(self) -> tuple[int | None, str | None]:
        """Wait until the server closes; returns code and reason."""
        while await asyncio.wait_for(self._socket.read_message(), SECONDS) is not None:
            pass
        return self._socket.close_code, self._socket.close_reason

    def one(self, kind: str, **having: Any) -> str:
        """Return the id of the first model of a kind."""
        return next(
            name
            for name, model in self.models.items()
            if model["name"].split(".")[-1] == kind and having.items() <= model.get("attributes", {}).items()
        )


@asynccontextmanager
async def visiting(url: str, query: str = "") -> AsyncIterator[Visitor]:
    """Open a page's websocket, and take its document."""
    page = await AsyncHTTPClient().fetch(f"{url}/dashboard?{query}", request_timeout=SECONDS)
    (items,) = re.findall(r"render_items = (\[.*?\]);", page.body.decode())
    request = HTTPRequest(f"{url.replace('http', 'ws', 1)}/dashboard/ws", headers={"Origin": url})
    opened = await websocket_connect(
        request, subprotocols=["bokeh", json.loads(items)[0]["token"]], max_message_size=2**27
    )
    visitor = Visitor(opened)
    for _ in range(3):
        await visitor._part()
    answer = await visitor.answer(await visitor.send("PULL-DOC-REQ", {}))
    visitor.models = _models(answer["content"]["doc"])
    try:
        yield visitor
    finally:
        opened.close()


def _models(value: Any) -> dict[str, dict[str, Any]]:
    """Collect the models of a document by their ids."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    found = {name: model for each in inner for name, model in _models(each).items()}
    if isinstance(value, dict) and value.get("type") == "object" and "id" in value:
        found[value["id"]] = value
    return found
