"""Time and memory with many simultaneous sessions: ``python -m benchmarks.sessions [SUITE]``."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from benchmarks.measuring import summary
from explorer.store import SWEEPS
from tests.browser import Server, free_port, start_process

if TYPE_CHECKING:
    from collections.abc import Iterator

_LETTERS = "abcdefghijklmnopqrstuvw"
#: Mean pause between two actions of a visitor, in seconds.
_THINKS = 5.0
#: Number of visitors without pauses.
_NUM_QUICK = 10
_TIMEOUT = 120
#: Number of sessions that are open at once; of those that are opened and closed, and their rounds; and the seconds
#: after which closed sessions are removed for certain.
_OPEN, _VISITS, _ROUNDS, _GONE_AFTER = 20, 200, 4, 15


class Visitor:
    """The browser's side of a session, without a browser: opens the page, changes letters, and discards messages."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._socket: WebSocketClientConnection
        self._pings = 0

    async def open(self, query: str) -> Self:
        """Request the page and its document, and report that it was painted."""
        address = f"{self._url}/dashboard?{query}"
        page = await AsyncHTTPClient().fetch(address, request_timeout=_TIMEOUT)
        token = re.search(r'"token":"([^"]+)"', page.body.decode())
        assert token, "the page has no session"
        self._socket = await websocket_connect(
            HTTPRequest(f"ws{self._url.removeprefix('http')}/dashboard/ws?{query}", headers={"Origin": self._url}),
            subprotocols=["bokeh", token.group(1)],
            compression_options={},
            max_message_size=2**27,
        )
        # As in browsers: otherwise each part of a message waits for the acknowledgement of the previous one.
        assert self._socket.protocol
        self._socket.protocol.set_nodelay(True)
        await self._until(lambda header: header.get("msgtype") == "ACK")
        await self._send("PULL-DOC-REQ", {})
        models = (await self._until(lambda content: content.get("doc")))["roots"]
        ids = dict(_named(models))
        self._strip, self._browser = ids["concept"], ids["ping"]
        await self._send_event("document_ready", [])
        await self.settle()
        return self

    async def change(self, letter: str) -> float:
        """Choose a letter, wait until everything is answered, and return the milliseconds."""
        start = time.perf_counter()
        await self._report(self._strip, "concept", f"first-letter.{letter}")
        await self.settle()
        return 1000 * (time.perf_counter() - start)

    async def settle(self) -> None:
        """Wait until everything sent before is answered."""
        self._pings += 1
        await self._report(self._browser, "ping", [self._pings, False])
        await self._until(
            lambda content: any(
                event.get("attr") == "pong" and event["new"] == self._pings for event in content.get("events", [])
            )
        )

    def close(self) -> None:
        """Close the session."""
        self._socket.close()

    async def _report(self, model: str, action: str, value: Any) -> None:
        data = {"type": "map", "entries": [["action", action], ["value", value]]}
        await self._send_event("data_event", [["model", {"id": model}], ["data", data]])

    async def _send_event(self, name: str, values: list[Any]) -> None:
        event = {"type": "event", "name": name, "values": {"type": "map", "entries": values}}
        await self._send(
            "PATCH-DOC", {"events": [{"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": event}]}
        )

    async def _send(self, kind: str, content: dict[str, Any]) -> None:
        header = {"msgid": f"{random.getrandbits(64):x}", "msgtype": kind}
        for part in (header, {}, content):
            await self._socket.write_message(json.dumps(part))

    async def _until(self, wanted: Any) -> Any:
        while True:
            message = await asyncio.wait_for(self._socket.read_message(), _TIMEOUT)
            assert message is not None, "the server closed the session"
            if isinstance(message, str):
                found = wanted(json.loads(message))
                if found:
                    return found


def _named(part: Any) -> Iterator[tuple[str, str]]:
    """Find the models of the strip of concepts, and of the one that answers pings, in a document."""
    if isinstance(part, dict):
        attributes = part.get("attributes") or {}
        if attributes.get("name") == "concept" and "class_name" in attributes:
            yield "concept", part["id"]
        if attributes.get("class_name") == "Browser":
            yield "ping", part["id"]
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from _named(each)


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", nargs="?", default=str(SWEEPS))
    parser.add_argument("--query", default="", help="query string of the page, such as layer=4&width=8192")
    parser.add_argument("--readers", type=int, default=50)
    parser.add_argument("--acts", type=int, default=10, help="actions per visitor")
    arguments = parser.parse_args()
    suite, query = arguments.suite, arguments.query
    found: dict[str, Any] = {"memory": asyncio.run(_memory(suite, query))}
    for num_procs in (1, 2):
        with _served(suite, num_procs) as server:
            found[f"{num_procs} process{'es' if num_procs > 1 else ''}"] = {
                "one reader, ms": summary(asyncio.run(_load(server.url, query, 1, 2 * len(_LETTERS)))),
                f"{arguments.readers} readers, ms": summary(
                    asyncio.run(_load(server.url, query, arguments.readers, arguments.acts))
                ),
                f"{_NUM_QUICK} without pauses": asyncio.run(_quick_steps(server, query)),
            }
    print(json.dumps(found, indent=2))


@contextmanager
def _served(suite: str, num_procs: int = 1, *more: str) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "explorer.cli", "serve", suite, "--port", str(port), *more]
    command += ["--num-procs", str(num_procs)]
    with tempfile.TemporaryDirectory() as folder:
        server = start_process(command, Path(folder) / "log", port, "/dashboard")
        try:
            yield server
        finally:
            server.stop()


async def _load(url: str, query: str, readers: int, acts: int) -> list[float]:
    """Time visitors' changes of letters, with pauses between them if there are several visitors."""
    visitors = [await Visitor(url).open(query) for _ in range(readers)]

    async def read(visitor: Visitor, nth: int) -> list[float]:
        chance = random.Random(nth)  # noqa: S311 - reproducible
        times = []
        for act in range(acts):
            if readers > 1:
                await asyncio.sleep(chance.uniform(0, 2 * _THINKS))
            times.append(await visitor.change(_LETTERS[(nth + act) % len(_LETTERS)]))
        return times

    measured = await asyncio.gather(*(read(visitor, nth) for nth, visitor in enumerate(visitors)))
    for visitor in visitors:
        visitor.close()
    return [each for times in measured for each in times]


async def _quick_steps(server: Server, query: str) -> dict[str, float]:
    """Measure changes of letters without pauses; most results come from the cache."""
    visitors = [await Visitor(server.url).open(query) for _ in range(_NUM_QUICK)]

    async def read(visitor: Visitor, nth: int) -> None:
        for act in range(2 * len(_LETTERS)):
            await visitor.change(_LETTERS[(nth + act) % len(_LETTERS)])

    start, used = time.perf_counter(), _processor_seconds(server.process.pid)
    await asyncio.gather(*(read(visitor, nth) for nth, visitor in enumerate(visitors)))
    seconds, used = time.perf_counter() - start, _processor_seconds(server.process.pid) - used
    for visitor in visitors:
        visitor.close()
    changes = 2 * len(_LETTERS) * _NUM_QUICK
    return {
        "changes per second": round(changes / seconds, 1),
        "processor time per change, ms": round(1000 * used / changes, 1),
    }


async def _memory(suite: str, query: str) -> dict[str, Any]:
    """Measure the server's memory in megabytes, with open sessions and after sessions were closed."""
    with _served(suite, 1, "--session-seconds", "1") as server:
        start = _megabytes(server.process.pid)
        visitors = [await Visitor(server.url).open(query) for _ in range(_OPEN)]
        for visitor in visitors:
            await visitor.change("c")
        opened = _megabytes(server.process.pid)
        for visitor in visitors:
            visitor.close()
        after = []
        for _ in range(_ROUNDS):
            for _ in range(_VISITS // _ROUNDS):
                visitor = await Visitor(server.url).open(query)
                await visitor.change("c")
                visitor.close()
            await asyncio.sleep(_GONE_AFTER)
            after.append(_megabytes(server.process.pid))
        return {
            "with one session": start,
            f"with {_OPEN} more": opened,
            "per session": round((opened - start) / _OPEN, 2),
            f"after each {_VISITS // _ROUNDS} that were opened and closed": after,
        }


def _processor_seconds(pid: int) -> float:
    """Return the processor time of a process and its children, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(map(_processor_seconds, map(int, children)))


def _megabytes(pid: int) -> float:
    """Return the resident memory of a process and its children, in megabytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    own = int(status.partition("VmRSS:")[2].split()[0]) / 1000
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    return round(own + sum(map(_megabytes, map(int, children))), 1)


if __name__ == "__main__":
    main()
