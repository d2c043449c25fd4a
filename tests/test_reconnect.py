"""After a short disconnection, a page returns to its own session; no other connection joins or creates one."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import threading
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
from bokeh.util.token import generate_jwt_token, generate_session_id, get_session_id
from playwright.sync_api import expect

from explorer import app, tokens
from explorer.store import SWEEPS
from explorer.tokens import NEW_SESSION_SECONDS
from tests.async_visitors import all_leave, ask_page, join
from tests.browser import free_port, start_process, wait_for
from tests.explore import cell, expect_view, open_view, query_of, wait_ready
from tests.in_process import InProcess, empty_page, serving
from tests.proxy import Proxy
from tests.visitors import token_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.browser import PageOpener, Server
    from tests.explore import View

pytestmark = pytest.mark.security

AGAIN = "again=1"
#: Messages of a browser's console about an interrupted network.
CUT = ["Failed to load resource: net::ERR_(CONNECTION_RESET|SOCKET_NOT_CONNECTED|EMPTY_RESPONSE|CONNECTION_CLOSED)"]
#: What the server may log about a message that is being sent when the network is cut. Panel writes messages in parts;
#: if the connection is closed at a later part, the earlier ones are never awaited (dispatch_tornado of panel 1.9.4).
CLOSED = re.compile(
    r"Task exception was never retrieved\nfuture: .*WebSocketClosedError\(\)>\n"
    r"(?:Traceback .*\n(?: .*\n)*tornado\S*ClosedError.*\n\s*(?:During handling .*\n\s*)?)+"
)


# --- The server ------------------------------------------------------------------------------------------------------


@pytest.fixture
def served() -> Iterator[InProcess]:
    """A server of empty pages that ends no session by itself."""
    app.prepare_process()
    with serving(empty_page, unused_session_lifetime_milliseconds=600_000) as server:
        yield server
        server.run(all_leave())


def new_session() -> Any:
    """Create the id of a session, as a server does for each page."""
    return generate_session_id(tokens._key(), signed=True)


def token_for(session_id: Any, *, age: int = 0) -> str:
    """The token of a session whose page was created `age` seconds ago."""
    lasts = tokens._TOKEN_SECONDS - age
    return generate_jwt_token(session_id, secret_key=tokens._key(), signed=True, expiration=lasts)


async def end(served: InProcess, session_id: str) -> None:
    """Wait until the server has noticed the disconnection, and let it end the session."""
    await all_leave()
    session: Any = served.context.get_session(session_id)  # type: ignore[arg-type]
    session.request_expiration()
    while not session.destroyed:
        await served.context._cleanup_sessions(0)
        await asyncio.sleep(0)


def test_page_rejoins_its_session_with_an_old_token(served: InProcess) -> None:
    token = token_of(served.run(ask_page(served.url)).body)
    session_id = get_session_id(token)
    served.run(join(served.url, token))
    for again in (token, token_for(session_id, age=10 * NEW_SESSION_SECONDS)):
        served.run(all_leave())
        assert served.run(served.run(join(served.url, again, AGAIN)).is_served())
    assert list(served.context._sessions) == [session_id]


def test_ended_session_is_not_rebuilt(served: InProcess) -> None:
    token = token_of(served.run(ask_page(served.url)).body)
    session_id = get_session_id(token)
    served.run(join(served.url, token))
    served.run(end(served, session_id))
    assert served.run(join(served.url, token, AGAIN)) == HTTPStatus.FORBIDDEN
    old = token_for(session_id, age=NEW_SESSION_SECONDS + 1)
    assert served.run(join(served.url, old)) == HTTPStatus.FORBIDDEN
    assert not served.context._sessions


def test_unjoined_session_cannot_be_rejoined(served: InProcess) -> None:
    """Simulates the process that served the page, while the websocket created its session in another process."""
    token = token_of(served.run(ask_page(served.url)).body)
    assert list(served.context._sessions) == [get_session_id(token)]
    assert served.run(join(served.url, token, AGAIN)) == HTTPStatus.FORBIDDEN
    assert served.run(served.run(join(served.url, token)).is_served())


def test_only_a_first_websocket_creates_a_session(served: InProcess) -> None:
    """Simulate another worker, which has not served the page."""
    session_id = new_session()
    token = token_for(session_id)
    assert served.run(join(served.url, token, AGAIN)) == HTTPStatus.FORBIDDEN
    assert not served.context._sessions
    assert served.run(served.run(join(served.url, token)).is_served())
    assert list(served.context._sessions) == [session_id]


def test_session_created_by_a_websocket_uses_the_servers_style_sheets() -> None:
    app.prepare_process()
    with serving(app.session) as served:
        document = json.dumps(served.run(join(served.url, token_for(new_session()))).document)
        served.run(all_leave())
    assert "static/extensions/panel/css/loading.css" in document
    assert "cdn.holoviz.org" not in document


# --- The page --------------------------------------------------------------------------------------------------------


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    proxy = Proxy()
    yield proxy
    proxy.close()


@contextmanager
def running(way: str, proxy: Proxy, folder: Path, seconds: int) -> Iterator[Server]:
    """Serve the embedded suite behind the proxy; sessions without a browser are kept for `seconds`."""
    port = proxy.server_port = free_port()
    options = ["--port", port]
    for origin in (port, proxy.port):
        options += ["--allow-websocket-origin", f"localhost:{origin}"]
    if way == "panel serve":
        command = ["panel", "serve", "dashboard.py", *options, "--unused-session-lifetime", 1000 * seconds]
    else:
        command = ["explorer.cli", *way.split()[1:], *options, "--session-seconds", seconds]
    server = start_process([sys.executable, "-m", *map(str, command)], folder / "log", port, "/static/js/bokeh.min.js")
    try:
        yield server
    finally:
        server.stop()


def wait_cut(page: Page, *, is_cut: bool) -> None:
    wait_for(page, "(cut) => document.documentElement.classList.contains('ax-is-cut') === cut", is_cut)


def cut(page: Page, proxy: Proxy) -> None:
    """Cut the network until the page has failed to reconnect."""
    proxy.cut()
    pause = threading.Event()
    while proxy.refused < 2:
        pause.wait(0.05)
        page.evaluate("0")  # Playwright receives events only during calls
    expect(page.get_by_text("Reconnecting…")).to_be_visible()


def built(server: Server) -> int:
    """Return the number of pages that a server has created, from its log."""
    return len(re.findall(r'200 GET /dashboard |"path": "/dashboard", "status": 200', server.output))


@pytest.mark.browser
@pytest.mark.parametrize(
    "way",
    # With two processes, the page's cookie leads to the one that holds its session.
    ["panel serve", "absorption-explorer serve", "absorption-explorer serve --num-procs 2"],
)
def test_page_reconnects_after_a_short_interruption(
    way: str, open_page: PageOpener, home: View, proxy: Proxy, tmp_path: Path
) -> None:
    with running(way, proxy, tmp_path, seconds=60) as server:
        other = open_view(open_page, f"{server.url}{home.but(letter='q').path}")
        page = open_view(open_page, f"http://localhost:{proxy.port}{home.path}", allow=CUT)
        cell(page, "s").click()
        expect_view(page, home.but(letter="s"))
        pages = built(server)
        for letter in "tl":  # twice
            cut(page, proxy)
            # Actions during the interruption affect neither the server nor the page.
            page.keyboard.press("ArrowRight")
            proxy.restore()
            wait_ready(page)
            expect(page.get_by_text("Reconnecting…")).to_be_hidden()
            # It shows the state of its former session; its address alone would give another view.
            expect_view(page, home.but(letter="s" if letter == "t" else "t"))
            cell(page, letter).click()
            expect_view(page, home.but(letter=letter))
            proxy.refused = 0
        page.keyboard.press("ArrowRight")
        expect_view(page, home.but(letter="m"))
        assert built(server) == pages
        expect_view(other, home.but(letter="q"))
    assert "Traceback" not in CLOSED.sub("", server.output)


@pytest.mark.browser
def test_changes_during_the_interruption_are_shown(
    open_page: PageOpener, home: View, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    explorers = []

    class Kept(app.Explorer):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)  # type: ignore[arg-type]
            explorers.append(self)

    monkeypatch.setattr(app, "Explorer", Kept)
    app.prepare_process()
    with serving(lambda: app.session(str(SWEEPS)), websocket_origin=[f"localhost:{proxy.port}"]) as server:
        proxy.server_port = server.port
        page = open_view(open_page, f"http://localhost:{proxy.port}{home.path}", allow=CUT)
        cut(page, proxy)
        (session,) = server.context.sessions
        (explorer,) = explorers
        changed = threading.Event()

        def change() -> None:
            explorer.state.apply({"letter": "t", "dark": True})
            changed.set()

        session.document.add_next_tick_callback(change)
        assert changed.wait(30)
        proxy.restore()
        expect_view(page, home.but(letter="t"))
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        assert query_of(page)["letter"] == "t"
        assert list(server.context.sessions) == [session]
        explorers.clear()


@pytest.mark.browser
def test_page_of_an_ended_session_reports_the_loss(
    open_page: PageOpener, home: View, proxy: Proxy, tmp_path: Path
) -> None:
    with running("absorption-explorer serve", proxy, tmp_path, seconds=2) as server:
        page = open_view(open_page, f"http://localhost:{proxy.port}{home.path}", allow=CUT)
        cell(page, "s").click()
        expect_view(page, home.but(letter="s"))
        cut(page, proxy)
        lost = page.get_by_role("alert").filter(has_text="Connection to the server lost")
        expect(lost).to_be_visible()
        expect(page.get_by_text("Reconnecting…")).to_be_hidden()
        pages = built(server)
        proxy.restore()
        assert built(server) == pages
        lost.get_by_role("button", name="Reload").click()
        wait_ready(page)
        expect_view(page, home.but(letter="s"))
        expect(lost).to_be_hidden()
        assert built(server) == pages + 1
