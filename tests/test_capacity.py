"""A process has a limited number of sessions: sessions in use are kept, and unused ones end first."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
from tornado.websocket import WebSocketClosedError

from explorer import capacity, session_limits
from explorer.app import prepare_process
from explorer.session_limits import MAX_SESSIONS, PROCESS_MB, SESSION_MB, default_max_sessions, max_sessions
from tests.async_visitors import all_leave, ask_page, join, visit
from tests.browser import free_port, start_process
from tests.in_process import InProcess, empty_page, serving
from tests.visitors import token_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.security

#: The maximum number of sessions of the servers of these tests.
LIMIT = 3
FULL = HTTPStatus.SERVICE_UNAVAILABLE


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[InProcess]:
    """A server of empty pages, which ends sessions only to make room."""
    monkeypatch.setenv(MAX_SESSIONS, str(LIMIT))
    prepare_process()
    with serving(empty_page, unused_session_lifetime_milliseconds=600_000) as server:
        yield server
        server.run(all_leave())


def never(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        monkeypatch.setattr(capacity, name, float("inf"))


def at_once(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        monkeypatch.setattr(capacity, name, 0)


@pytest.mark.parametrize("way", ["panel serve", "absorption-explorer serve"])
def test_full_server_refuses_pages_and_keeps_its_sessions(way: str, tmp_path: Path) -> None:
    port = free_port()
    options = {"panel serve": [], "absorption-explorer serve": ["--max-sessions", str(LIMIT)]}[way]
    program = {
        "panel serve": ["panel", "serve", "dashboard.py"],
        "absorption-explorer serve": ["explorer.cli", "serve"],
    }
    server = start_process(
        [sys.executable, "-m", *program[way], "--port", str(port), *options],
        tmp_path / "log",
        port,
        "/static/js/bokeh.min.js",
        environment={} if options else {MAX_SESSIONS: str(LIMIT)},
    )

    async def attack() -> None:
        # Under `panel serve`, the first page loads the explorer, and its limit.
        readers: list[Any] = [await visit(server.url) for _ in range(LIMIT)]
        pages = [await ask_page(server.url) for _ in range(200)]
        assert {page.code for page in pages} == {FULL}
        assert max(page.request_time or 0 for page in pages) < 1
        refused = pages[-1]
        assert "The server is full" in refused.body.decode()
        assert "<script" not in refused.body.decode()
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in refused.headers["Content-Security-Policy"]
        assert refused.headers["X-Content-Type-Options"] == "nosniff"
        assert all([await reader.is_served() for reader in readers])
        await all_leave()

    try:
        asyncio.run(attack())
    finally:
        server.stop()
    assert "Traceback" not in server.output


def test_unjoined_sessions_end_to_make_room(served: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    never(monkeypatch, "IDLE_SECONDS")
    reader = served.run(visit(served.url))
    at_once(monkeypatch, "UNCONNECTED_SECONDS")
    for _ in range(3 * LIMIT):
        assert served.run(ask_page(served.url)).code == HTTPStatus.OK
        assert len(served.context._sessions) <= LIMIT
    assert served.run(reader.is_served())
    never(monkeypatch, "UNCONNECTED_SECONDS")
    assert served.run(ask_page(served.url)).code == FULL


def test_session_ended_to_make_room_is_rebuilt_for_its_page(served: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once(monkeypatch, "UNCONNECTED_SECONDS")
    early = served.run(ask_page(served.url))
    for _ in range(LIMIT):
        served.run(ask_page(served.url))
    assert not isinstance(served.run(join(served.url, token_of(early.body))), int)
    assert len(served.context._sessions) == LIMIT


def test_idle_sessions_end_to_make_room(served: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    never(monkeypatch, "IDLE_SECONDS")
    at_once(monkeypatch, "UNCONNECTED_SECONDS")
    readers = [served.run(visit(served.url)) for _ in range(LIMIT)]
    # All sessions are connected and none is idle: a websocket that needs another session is closed.
    assert served.run(visit(served.url)) == FULL
    at_once(monkeypatch, "IDLE_SECONDS")
    another = served.run(visit(served.url))
    assert served.run(another.is_served())
    assert [served.run(reader.is_served()) for reader in readers] == [False, True, True]
    assert len(served.context._sessions) == LIMIT


def test_messages_to_an_ended_session_are_not_reported_as_an_attack(
    served: InProcess, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    at_once(monkeypatch, "IDLE_SECONDS")
    reader: Any = served.run(visit(served.url))

    async def act_until_closed() -> None:
        with suppress(WebSocketClosedError):
            while True:
                await reader.send("PATCH-DOC", {"events": []})

    async def make_room() -> None:
        await asyncio.gather(act_until_closed(), capacity._make_room(served.context, limit=1))

    served.run(make_room())
    # A session finishes its current work first; Bokeh discards it at its next check.
    for _ in range(10_000):
        served.run(served.context._cleanup_sessions(0))
        if not served.context._sessions:
            break
    assert not served.context._sessions
    assert not [record.message for record in caplog.records if "Refused" in record.message]


def test_default_limit_follows_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_limits, "_memory_mb", lambda: 4 * PROCESS_MB)
    assert default_max_sessions(1) == 3 * PROCESS_MB // SESSION_MB
    assert default_max_sessions(2) == PROCESS_MB // SESSION_MB
    assert default_max_sessions(4) > 0


def test_available_memory_is_plausible() -> None:
    assert 0 < session_limits._memory_mb() < 2**30


@pytest.mark.parametrize("given", ["0", "-1", "many", "1e3", "²"])
def test_invalid_setting_is_reported_in_one_line(
    given: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Free memory changes between two calls.
    monkeypatch.setattr(session_limits, "_memory_mb", lambda: 4 * PROCESS_MB)
    assert max_sessions(given) == default_max_sessions()
    (record,) = caplog.records
    assert MAX_SESSIONS in record.message
