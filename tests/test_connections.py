"""Limits on a process's connections: half-open ones are closed, and file descriptors remain available."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from explorer import connections
from explorer.connections import QueueingSocket, limit_connections
from tests.browser import free_port, start_process
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 30
#: What a visitor sends before falling silent.
HALVES = {
    "nothing": b"",
    "half a head": b"GET / HTTP/1.1\r\nHost: x\r\n",
    "half a body": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc",
    "half a handshake": b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    "one request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
}


class Plain(RequestHandler):
    def get(self) -> None:
        self.write("here")

    post = get


@contextmanager
def listening(server: HTTPServer) -> Iterator[int]:
    (bound,) = bind_sockets(0, "127.0.0.1", family=socket.AF_INET)
    server.add_sockets([QueueingSocket(fileno=bound.detach())])
    try:
        yield next(iter(server._sockets.values())).getsockname()[1]
    finally:
        server.stop()


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES)
def test_half_open_connections_are_closed(half: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    # The server exists before the limits are set, as under `panel serve`.
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.1)
    monkeypatch.setattr(connections, "BODY_SECONDS", 0.1)

    async def visit() -> None:
        with listening(HTTPServer(Application([("/", Plain)]))) as port:
            limit_connections()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(half)
            await asyncio.wait_for(reader.read(), SECONDS)
            writer.close()

    asyncio.run(asyncio.wait_for(visit(), SECONDS))


def test_server_recovers_from_running_out_of_descriptors(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connections, "_AGAIN_SECONDS", 0.2)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def visit() -> bytes:
        with listening(HTTPServer(Application([("/", Plain)]))) as port:
            visitor = socket.socket()
            visitor.settimeout(0)
            lowest = os.dup(0)
            os.close(lowest)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
            try:
                await asyncio.get_running_loop().sock_connect(visitor, ("127.0.0.1", port))
                # Without a pause, every iteration of the loop would try again.
                turns = 0
                while len(caplog.records) < 2:
                    await asyncio.sleep(0)
                    turns += 1
                assert turns > 50
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, before)
            reader, writer = await asyncio.open_connection(sock=visitor)
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            answer = await asyncio.wait_for(reader.read(), SECONDS)
            writer.close()
            return answer

    with caplog.at_level(logging.WARNING):
        assert b"here" in asyncio.run(asyncio.wait_for(visit(), SECONDS))
    assert {record.message for record in caplog.records} == {"no connection can be accepted: Too many open files"}


@pytest.mark.parametrize("own_command", [True, False], ids=["command", "panel serve"])
def test_server_survives_more_connections_than_descriptors(tmp_path: Path, own_command: bool) -> None:  # noqa: FBT001
    suite, port = write_tiny_suite(tmp_path / "tiny", saes=((0, 1000, 10),)), free_port()
    served = ["explorer.cli", "serve", str(suite)] if own_command else ["panel", "serve", "dashboard.py"]
    command = ["sh", "-c", 'ulimit -n 200 && exec "$@"', "sh", sys.executable, "-m", *served, "--port", str(port)]
    command += [] if own_command else ["--args", str(suite)]
    server = start_process(command, tmp_path / "log", port, "/dashboard")
    try:
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(300)]
        # Some were closed at once: the remaining descriptors are reserved for files.
        refused = [each for each in held if _is_closed(each)]
        assert len(held) - len(refused) <= 150
        assert len(list(Path(f"/proc/{server.process.pid}/fd").iterdir())) <= 150
        for each in held:
            each.close()
        with closing(socket.create_connection(("127.0.0.1", port), SECONDS)) as visitor:
            visitor.sendall(b"GET /dashboard HTTP/1.0\r\n\r\n")
            assert visitor.recv(100).startswith(b"HTTP/1.1 200")
    finally:
        server.stop()
    assert "Too many open files" not in server.output
    if own_command:
        assert server.output.count("too many connections") < 10  # once a second


def _is_closed(visitor: socket.socket) -> bool:
    """Return whether the server has closed the connection."""
    visitor.settimeout(0.01)
    try:
        return visitor.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
