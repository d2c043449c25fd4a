"""Only the browser for which a page was created may join its session."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import compress

import pytest
from bokeh.core.types import ID
from bokeh.util.token import generate_jwt_token, generate_session_id
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from explorer.tokens import _TOKEN_SECONDS, COOKIES, NEW_SESSION_SECONDS
from tests.browser import free_port, start_process
from tests.visitors import ask, contents, join_status, open_session, token_from, websocket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tornado.websocket import WebSocketClientConnection

    from tests.browser import Server

pytestmark = pytest.mark.security

KEY = "the key of the servers in this module"
COMMANDS = {
    "panel serve": ["panel", "serve", "dashboard.py"],
    "absorption-explorer serve": ["explorer.cli", "serve"],
}
PATHS = ("/dashboard", "/dashboard/", "/dashboard/autoload.js", "/dashboard/metadata", "/dashboard/ws", "/")
#: All ways to name a session, or to set what only the server may set.
CHOSEN = (
    "bokeh-session-id=CHOSEN",
    "bokeh-session-id=",
    "bokeh-token=garbage",
    "bokeh-token=",
    "bokeh-session-id=a&bokeh-token=b",
    "%62okeh-session-id=CHOSEN",
    "letter=s&bokeh-session-id=CHOSEN",
    "bokeh-absolute-url=https://evil.example/dashboard",
    "bokeh-absolute-url=%ff",
    "bokeh-app-path=/x",
)


def start(log: Path, way: str, *arguments: str, key: str | None = None) -> Server:
    """Start a server with one of the two commands, without requesting any page of the explorer."""
    port = free_port()
    command = [sys.executable, "-m", *COMMANDS[way], "--port", str(port), *arguments]
    return start_process(command, log, port, "/favicon.ico", environment={"BOKEH_SECRET_KEY": key} if key else {})


@pytest.fixture(scope="module", params=COMMANDS)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = start(tmp_path_factory.mktemp("log") / "log", request.param, key=KEY)
    token_from(server.url)
    yield server.url
    server.stop()
    assert "Traceback" not in server.output


def made(session_id: str, *, key: str | None = None, age: float = 0) -> str:
    """A token that is not part of any page."""
    payload: dict[str, Any] = {"headers": {}, "cookies": {}, "arguments": {}}
    expiration = int(_TOKEN_SECONDS - age)
    if key is None:
        return generate_jwt_token(ID(session_id), signed=False, extra_payload=payload)
    return generate_jwt_token(ID(session_id), key.encode(), signed=True, extra_payload=payload, expiration=expiration)


def new_id(key: str = KEY) -> str:
    return generate_session_id(key.encode(), signed=True)


# --- Ids of sessions -------------------------------------------------------------------------------------------------


def test_links_cannot_choose_a_visitors_session(url: str) -> None:
    """Session fixation, from end to end: a link is sent, followed by the victim, and its session is then joined."""
    link = "/dashboard?bokeh-session-id=CHOSEN"
    for _ in ("the attacker opens it", "the victim follows it"):
        answer = ask(url, link)
        assert answer.status == 403
        assert b"render_items" not in answer.body
    assert join_status(url, made("CHOSEN")) == 403
    # Nor can the session of a page be joined by its id alone.
    page = contents(token_from(url))
    assert join_status(url, made(page["session_id"])) == 403
    assert join_status(url, made(page["session_id"], key="another key")) == 403


@pytest.mark.parametrize("path", PATHS)
def test_requests_that_name_a_session_are_refused(url: str, path: str) -> None:
    answers = [ask(url, f"{path}?{query}") for query in CHOSEN]
    answers += [ask(url, path, **{name: "CHOSEN"}) for name in ("Bokeh_Session_Id", "bokeh_session_id")]
    for answer in answers:
        assert answer.status in (400, 403)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "script-src 'none'" in answer.headers["Content-Security-Policy"]
        assert b"evil.example" not in answer.body


def test_every_page_has_its_own_session(url: str) -> None:
    assert len({contents(token_from(url))["session_id"] for _ in range(3)}) == 3


# --- Contents of tokens ----------------------------------------------------------------------------------------------


def test_token_contains_only_the_explorers_cookies_and_no_headers(url: str) -> None:
    sent = {"Cookie": "session=secret; ax_dark=1; ax_open=splits; ax_else=2; user=me", "Authorization": "Basic secret"}
    payload = contents(token_from(url, **sent, X_Forwarded_User="me"))
    assert payload["cookies"] == {"ax_dark": "1", "ax_open": "splits"}
    assert payload["headers"] == {}
    assert set(payload) == {"session_id", "session_expiry", "headers", "cookies", "arguments", "app_path"}


def test_list_of_cookies_matches_those_that_are_read() -> None:
    asked = {
        part.split('"')[0]
        for file in Path("explorer").rglob("*.py")
        for part in file.read_text(encoding="utf-8").split('remembered("')[1:]
    }
    assert {f"ax_{name}" for name in asked} == set(COOKIES)


# --- Joining ---------------------------------------------------------------------------------------------------------


def test_page_joins_its_session(url: str) -> None:
    with open_session(f"{url}/dashboard", letter="q") as session:
        assert session.document.select_one({"name": "browser"})


def test_foreign_and_forged_tokens_are_refused(url: str) -> None:
    token = token_from(url)
    head, _, signature = token.partition(".")
    bomb = urlsafe_b64encode(compress(b'{"bytes": "' + b"A" * 20_000_000, 9)).decode().rstrip("=")
    nested = {"session_id": new_id(), "session_expiry": 2**40, "__bk__zlib_": bomb}
    other = contents(token_from(url))["session_id"]
    forged = [
        "",
        ".",
        "garbage",
        head,
        f"{head}.",
        f"{head}.{'A' * 43}",
        f"{head}.{signature}x",
        f"{head}.\xe9",
        f"{made(other).partition('.')[0]}.{signature}",
        f"{head[:-2]}.{signature}",
        made(new_id(), key="another key"),
        made(new_id("another key"), key=KEY),
        made("unsigned", key=KEY),
        urlsafe_b64encode(json.dumps(nested).encode()).decode().rstrip("="),
        urlsafe_b64encode(b"[" * 30_000).decode().rstrip("="),
        urlsafe_b64encode(b'{"session_id": ' + b"9" * 30_000 + b"}").decode().rstrip("="),
        f"{token}, {token}",
    ]
    for each in forged:
        began = time.monotonic()
        assert join_status(url, each) in (400, 403), each[:50]
        assert time.monotonic() - began < 5, each[:50]
    assert join_status(url, token, **{"Sec-WebSocket-Protocol": token}) == 403
    assert join_status(url, token, **{"Sec-WebSocket-Protocol": f"soap, {token}"}) == 403
    assert join_status(url, token) == 101


def test_old_tokens_create_no_session(url: str) -> None:
    # As for a page served by another process of the same server.
    assert join_status(url, made(new_id(), key=KEY, age=NEW_SESSION_SECONDS - 60)) == 101
    assert join_status(url, made(new_id(), key=KEY, age=NEW_SESSION_SECONDS + 60)) == 403
    # A page that was open for a long time can rejoin its session.
    session_id = new_id()
    with websocket(url, made(session_id, key=KEY)) as (status, sock):
        assert status == 101
        assert sock.recv(1)  # the session exists
    assert join_status(url, made(session_id, key=KEY, age=30 * 24 * 3600)) == 101


def test_session_has_one_connection_at_a_time(url: str) -> None:
    """A token that leaked from a page cannot join its session, neither with the page nor in its place."""
    request = HTTPRequest(f"{url.replace('http', 'ws', 1)}/dashboard/ws")

    async def attack() -> None:
        closed = asyncio.Event()

        def on_message(message: str | bytes | None) -> None:
            if message is None:
                closed.set()

        async def connect() -> WebSocketClientConnection:
            return await websocket_connect(request, subprotocols=["bokeh", token], on_message_callback=on_message)

        token = token_from(url)
        page = await connect()
        for _ in range(2):
            with pytest.raises(HTTPClientError, match="409"):
                await connect()
        for _ in ("the page is cut off", "it has joined again"):
            page.close()
            await closed.wait()
            closed.clear()
            page = await connect()
        page.close()
        await closed.wait()

    asyncio.run(attack())


def test_interrupted_connection_is_replaced(url: str) -> None:
    token = token_from(url)
    with websocket(url, token) as (status, _):
        assert status == 101
        assert join_status(url, token) == 101


def test_refused_websocket_does_not_occupy_the_session(url: str) -> None:
    token = token_from(url)
    assert join_status(url, token, Upgrade="none") == 400
    assert join_status(url, token, Origin="https://evil.example") == 403
    assert join_status(url, token, **{"Sec-WebSocket-Version": "7"}) == 426
    assert join_status(url, token) == 101


def test_dns_rebinding_opens_no_websocket(url: str) -> None:
    """DNS rebinding: to the browser, the page of another site and this server have the same origin."""
    token = token_from(url, Host="evil.example")
    for sent in ({}, {"Sec-Fetch-Site": "same-origin"}):
        assert join_status(url, token, Host="evil.example", Origin="http://evil.example", **sent) == 403


# --- The first request, and several processes ------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/dashboard", "/dashboard/autoload.js"])
def test_first_request_of_a_server_is_guarded(tmp_path: Path, path: str) -> None:
    """With ``panel serve`` it is accepted before the guard is installed."""
    server = start(tmp_path / "log", "panel serve")
    try:
        link = f"{path}?letter=s&bokeh-session-id=CHOSEN&bokeh-autoload-element=x"
        first = ask(server.url, link, Cookie="secret=1", Origin="https://evil.example")
        assert first.status == 307
        assert first.body == b""
        assert first.headers["Location"] == f"./{link.rpartition('/')[2]}"
        assert first.headers["X-Content-Type-Options"] == "nosniff"
        assert not [name for name in first.headers if name.startswith("Access-Control")]
        assert ask(server.url, link).status == 403
        assert join_status(server.url, made("CHOSEN")) == 403
    finally:
        server.stop()
    assert "Traceback" not in server.output


def test_first_websocket_of_a_server_is_guarded(tmp_path: Path) -> None:
    server = start(tmp_path / "log", "panel serve")
    try:
        with websocket(server.url, made("CHOSEN")) as (status, sock):
            assert status == 101
            sent = b""
            while more := sock.recv(4096):
                sent += more
            assert len(sent) < 10, sent  # the frame that closes it
        assert join_status(server.url, made("CHOSEN")) == 403
        assert join_status(server.url, token_from(server.url)) == 101
    finally:
        server.stop()
    assert "Traceback" not in server.output


@pytest.mark.parametrize("way", COMMANDS)
def test_processes_of_a_server_accept_each_others_tokens(tmp_path: Path, way: str) -> None:
    server = start(tmp_path / "log", way, "--num-procs", "2")
    parent = server.process.pid
    children = [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    try:
        assert len(children) == 2
        tokens = []
        for stopped, answering in (children, children[::-1]):
            os.kill(stopped, signal.SIGSTOP)
            tokens.append(token_from(server.url))
            os.kill(stopped, signal.SIGCONT)
            os.kill(answering, signal.SIGSTOP)
            assert join_status(server.url, tokens[-1]) in (101, 307)
            os.kill(answering, signal.SIGCONT)
        keys = {token.partition(".")[2] for token in tokens}
        assert len(keys) == 2
    finally:
        for child in children:
            os.kill(child, signal.SIGCONT)
            os.kill(child, signal.SIGTERM)
        server.stop()
