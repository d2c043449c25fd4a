"""If building a page fails, its visitor sees one sentence, and the server's log has one line."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from tests.browser import free_port, start_process
from tests.visitors import QUERY, ask, join_status, token_from

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.browser import Server

pytestmark = pytest.mark.security

COMMANDS = {
    "panel serve": (["panel", "serve", "tests/broken_pages.py"], "/broken_pages"),
    "absorption-explorer serve": (["tests.broken_pages", "serve"], "/dashboard"),
}


@pytest.fixture(scope="module", params=COMMANDS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    port = free_port()
    command, path = COMMANDS[request.param]
    log = tmp_path_factory.mktemp("log") / "log"
    server = start_process([sys.executable, "-m", *command, "--port", str(port)], log, port, path)
    yield server, path
    server.stop()


@pytest.mark.parametrize("place", ["make", "render", "write", "request"])
def test_failed_page_shows_one_sentence(served: tuple[Server, str], place: str) -> None:
    server, path = served
    before = len(server.output)
    for _ in range(2):
        answer = ask(server.url, f"{path}?{QUERY}&evidence_token={place}")
        assert (answer.status, answer.reason) == (500, "Internal Server Error")
        page = answer.body.decode()
        assert "<p>This page could not be built. See the log of the server for the reason.</p>" in page
        for internal in ("Traceback", "Error:", "RuntimeError", "broken_pages.py", "site-packages", "render_items"):
            assert internal not in page
        assert "script-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    lines = [line for line in server.output[before:].splitlines() if "RuntimeError" in line]
    # The second failure has its own line, or is counted with the first one if in the same second.
    assert len(lines) in (1, 2), server.output[before:]
    assert "Traceback" not in server.output[before:]
    assert "failed at" not in server.output[before:]
    assert all("tests/broken_pages.py:" in line for line in lines)
    if path == "/dashboard":
        for line in server.output[before:].splitlines():
            json.loads(line)
        assert json.loads(lines[0]).items() >= {"level": "error", "error": "RuntimeError"}.items()
    # The next page is complete.
    assert join_status(server.url, token_from(server.url, f"{path}?{QUERY}"), path=f"{path}/ws") == 101
