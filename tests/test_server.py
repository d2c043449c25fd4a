"""The command's server: its log, its health check, its processes, and its shutdown."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from html import unescape
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import pytest

from explorer import session_limits
from explorer.handover import COOKIE
from explorer.log import LineHandler
from explorer.state import ExplorerState
from tests.browser import ROOT, Server, free_port, start_process
from tests.tiny_suite import write_tiny_suite
from tests.visitors import open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS = 30
#: Maximum seconds for a shutdown, also during a query.
SECONDS_TO_END = 10
SAES = ((0, 1000, 10),)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    return write_tiny_suite(tmp_path / "tiny", saes=SAES)


@contextmanager
def running(folder: Path, *arguments: object) -> Iterator[Server]:
    """Run ``absorption-explorer serve`` with these arguments; `folder`/slow names a query that never ends."""
    port = free_port()
    command = [sys.executable, "-m", "tests.slow_command", str(folder / "slow"), "serve"]
    command += [*map(str, arguments), "--port", str(port)]
    server = start_process(
        command, folder / "log", port, "/healthz", environment={"QUESTION_SECONDS": str(10 * SECONDS)}
    )
    try:
        yield server
    finally:
        server.stop()


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def lines(server: Server) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.output.splitlines()]


def wait_until(met: Callable[[], bool]) -> None:
    pause = threading.Event()
    deadline = monotonic() + SECONDS
    while not met():
        assert monotonic() < deadline
        pause.wait(0.05)


def port_of(server: Server) -> int:
    return int(server.url.rpartition(":")[2])


def is_listening(server: Server) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("localhost", port_of(server))) == 0


def workers(server: Server) -> set[int]:
    """The running worker processes."""
    started = [line["pid"] for line in lines(server) if line["event"] == "start"]
    return {pid for pid in started if Path(f"/proc/{pid}/stat").exists()}


def expect_end_by_sigterm(server: Server, number: int) -> None:
    """Send SIGTERM, and wait until all of that many processes have ended with the right code."""
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(SECONDS_TO_END) == 0
    wait_until(lambda: not workers(server))
    assert not is_listening(server)
    assert [line["event"] for line in lines(server)].count("stop") == number
    assert not [line for line in lines(server) if line["level"] == "error"]


def test_log_has_a_line_for_each_request(suite: Path, tmp_path: Path) -> None:
    with running(tmp_path, suite) as server:
        assert get(f"{server.url}/dashboard?evidence_token=private&letter=%0A%22")[0] == 200
        assert get(f"{server.url}/nowhere?private")[0] == 404
        joined = open_session(f"{server.url}/dashboard", evidence_token="private")  # noqa: S106 - a filter
        session = joined.id
        joined.close()
        wait_until(lambda: lines(server)[-1]["event"] == "closed")
        written = lines(server)
        expect_end_by_sigterm(server, 1)
    assert "private" not in server.output
    assert session not in server.output
    assert written[0].items() >= {"level": "info", "event": "start", "url": f"{server.url}/dashboard"}.items()
    requests = {line["path"]: line for line in written if line["event"] == "request"}
    assert requests["/dashboard"].items() >= {"method": "GET", "status": 200}.items()
    assert requests["/dashboard"]["bytes"] > 10_000
    assert requests["/nowhere"]["status"] == 404
    assert requests["/dashboard/ws"]["status"] == 101
    # Two pages, one of them joined: each has an id, which its websocket shares.
    assert len({line["session"] for line in written if "session" in line}) == 2
    assert written[-1].items() >= {"path": "/dashboard/ws", "session": requests["/dashboard/ws"]["session"]}.items()


@pytest.fixture
def logger() -> logging.Logger:
    """A library's logger, whose records go to the server's log alone."""
    logger = logging.Logger("bokeh.server.protocol_handler.test")  # noqa: LOG001 - pytest adds handlers to all others
    logger.addHandler(LineHandler())
    return logger


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    out, err = capsys.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


def test_errors_are_one_line_without_the_message(logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        ExplorerState({}, letter="private")
    except ValueError:
        logger.exception("error handling message\n message: %r", "private")
    (record,) = written(capsys)
    assert re.fullmatch(r"explorer/state\.py:\d+", record.pop("at"))
    del record["time"]
    assert record == {
        "level": "error",
        "event": "error handling message",
        "error": "ValueError",
        "logger": logger.name,
    }


class Unprintable:
    """An object like Bokeh's ERROR message without a text: converting it to text fails."""

    def __repr__(self) -> str:
        message = "text"
        raise KeyError(message)


@pytest.mark.parametrize(
    ("arguments", "event"),
    [
        (("",), ""),
        (("\n\nforged\r\n{}",), "forged"),
        (("a\x00\x1b[31m\x7f\u2028b\x85c",), "a\x00\x1b[31m\x7f"),
        (("half a character \ud800",), "half a character \ud800"),
        (("%s and %s", "one"), "%s and %s"),
        (("%d", "none"), "%d"),
        (("message %r", Unprintable()), "message %r"),
        ((Unprintable(),), "Unprintable"),
        ((b"bytes\xff",), "b'bytes\\xff'"),
        (("long " * 10**5,), ("long " * 100)),
    ],
    ids=["none", "lines", "controls", "surrogate", "too few", "misfit", "unspeakable", "object", "bytes", "long"],
)
@pytest.mark.parametrize("how", [{}, {"stack_info": True}, {"exc_info": True}, {"exc_info": (None, None, None)}])
def test_every_record_is_one_line(
    logger: logging.Logger,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[Any, ...],
    event: str,
    how: dict[str, Any],
) -> None:
    try:
        ExplorerState({}, letter="private")
    except ValueError:
        logger.error(*arguments, **how)  # noqa: TRY400 - with and without the error
    (line,) = written(capsys)
    assert line["event"] == event


#: Output of Python and libraries that does not use a logger of this project.
_WAYS = """
import threading, warnings
import param
from explorer.log import log_to_stderr
log_to_stderr()
class Failing:
    def __del__(self):
        raise ValueError("as it\\nended")
warnings.warn("two\\nlines")
param.main.param.warning("two\\nlines")
del (failing := [Failing()])[:]
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
raise RuntimeError("two\\nlines")
"""


def test_all_failures_are_logged_as_lines() -> None:
    done = subprocess.run([sys.executable, "-c", _WAYS], capture_output=True, check=False, cwd=ROOT, timeout=SECONDS)
    assert done.stdout == b""
    records = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line.get("error") for line in records] == [None] * 2 + ["ValueError", "ZeroDivisionError", "RuntimeError"]
    assert all(line["event"].endswith("two") for line in records[:2])


def test_repeated_records_are_written_once_per_second(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("explorer.log.monotonic", lambda: now)
    for number in range(1000):
        logger.error(f"connection {number} failed")  # noqa: G004 - as libraries do
    logger.error("another place")
    events = [(line["event"], line.get("repeated")) for line in written(capsys)]
    assert events == [("connection 0 failed", None), ("another place", None)]
    now += 1
    logger.setLevel(logging.INFO)
    for _ in range(3):
        logger.info("request")
    events = [(line["event"], line.get("repeated")) for line in written(capsys)]
    assert events == [("connection 0 failed", 999), *[("request", None)] * 3]


def test_health_follows_the_suite(suite: Path, tmp_path: Path) -> None:
    with running(tmp_path, suite) as server:
        health, page = f"{server.url}/healthz", f"{server.url}/dashboard"
        assert get(health) == (200, '{"status": "ok"}')
        measured = suite / "measurements.parquet"
        whole = measured.read_bytes()
        measured.write_bytes(whole[:-20])
        status, answer = get(health)
        assert status == 503
        reason = json.loads(answer)["reason"]
        assert reason.startswith(f"{suite.name}/measurements.parquet: not a readable parquet file")
        message: Any = open_session(page).document.select_one({"name": "message"})
        assert "No suite is open" in message.data.html
        measured.write_bytes(whole)
        assert get(health)[0] == 200
        shutil.rmtree(suite)
        assert get(health)[0] == 503
        write_tiny_suite(suite, name="another", saes=SAES)
        assert get(health)[0] == 200
        assert open_session(page).document.select_one({"name": "browser"})
    assert "Traceback" not in server.output


@pytest.mark.parametrize(
    ("processors", "quota", "gigabytes", "expected"),
    [
        (1, "", 16, 1),
        (8, "", 64, 8),
        (8, "", 9, 4),
        (8, "", 0.5, 1),
        (64, "250000 100000", 64, 2),
        (64, "max 100000", 640, 64),
        (2, "50000 100000", 64, 1),
    ],
)
def test_number_of_processes_follows_processors_and_memory(  # noqa: PLR0917 - what a case is made of
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, processors: int, quota: str, gigabytes: float, expected: int
) -> None:
    if quota:
        (tmp_path / "cpu.max").write_text(f"{quota}\n")
    monkeypatch.setattr(session_limits, "_control_groups", lambda: [tmp_path])
    monkeypatch.setattr(session_limits, "_memory_mb", lambda: 1e3 * gigabytes)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)))
    assert session_limits.default_num_procs() == (expected if sys.platform == "linux" else 1)


@pytest.mark.parametrize("number", [1, 2], ids=["one process", "two processes"])
def test_sigterm_ends_all_processes_during_a_query(suite: Path, tmp_path: Path, number: int) -> None:
    with running(tmp_path, suite, "--num-procs", number) as server:
        wait_until(lambda: len(workers(server)) == number)
        (tmp_path / "slow").write_text("cosines")
        with socket.create_connection(("localhost", port_of(server))) as visitor:
            visitor.sendall(b"GET /dashboard HTTP/1.0\r\n\r\n")
            wait_until((tmp_path / "slow.asked").exists)
        expect_end_by_sigterm(server, number)


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the browser: a file gets one line per opened page, with the status of the response."""
    browser, file = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(
        f"#!{sys.executable}\n"
        "import sys, urllib.request\n"
        f"with urllib.request.urlopen(sys.argv[1]) as answer, open({str(file)!r}, 'a') as file:\n"
        "    print(sys.argv[1], answer.status, file=file)\n"
    )
    browser.chmod(0o755)
    file.touch()
    monkeypatch.setenv("BROWSER", str(browser))
    return file


def test_workers_end_with_the_first_process(suite: Path, tmp_path: Path, opened: Path) -> None:
    with running(tmp_path, suite, "--num-procs", 2, "--open") as server:
        wait_until(lambda: len(workers(server)) == 2)
        # The page opened at the start waits for the first worker that responds.
        wait_until(lambda: opened.read_text() == f"{server.url}/dashboard 200\n")
        server.process.kill()
        wait_until(lambda: not workers(server))
        assert not is_listening(server)


@contextmanager
def asking(server: Server, *parts: str) -> Iterator[tuple[socket.socket, str]]:
    """Send a request in parts over a new connection; return the connection and the head of the response."""
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=SECONDS) as visitor:
        visitor.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            visitor.sendall(part.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += visitor.recv(1)
        yield visitor, head.decode()


def process_of(server: Server, visitor: socket.socket) -> int:
    """Find the process that holds the server's end of a connection."""
    # Another connection may have the same port at one of its ends.
    ends = [f"{end[1]:04X}" for end in (visitor.getpeername(), visitor.getsockname())]
    rows = [row.split() for kind in ("tcp", "tcp6") for row in Path(f"/proc/net/{kind}").read_text().splitlines()]
    (inode,) = (row[9] for row in rows if [end.split(":")[-1] for end in row[1:3]] == ends)
    held = Path(f"socket:[{inode}]")

    def links(pid: int) -> Iterator[Path]:
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                yield file.readlink()

    def holders() -> list[int]:
        return [pid for pid in workers(server) if held in links(pid)]

    # The process that passed it on may not have closed it yet.
    wait_until(lambda: len(holders()) == 1)
    return holders()[0]


def test_connections_go_to_the_process_that_built_the_page(suite: Path, tmp_path: Path) -> None:
    with running(tmp_path, suite, "--num-procs", 2) as server:
        wait_until(lambda: len(workers(server)) == 2)
        request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n{}\r\n"
        found: dict[str, set[int]] = {"0": set(), "1": set(), "2": set(), "no number": set(), "1" * 5_000: set()}
        for _ in range(10):
            for number, processes in found.items():
                cookie = f"Cookie: ax_dark=1; {COOKIE}={number}\r\n"
                whole = request.format(cookie)
                # The second request is sent in parts, split within a number.
                cut = whole.index(number) + len(number)
                for parts in ((whole,), (whole[:cut], whole[cut:])):
                    with asking(server, *parts) as (visitor, head):
                        assert head.startswith("HTTP/1.1 200")
                        processes.add(process_of(server, visitor))
        assert len(found["0"]) == len(found["1"]) == len(set.union(*found.values())) - 1 == 1
        # A page sets a cookie with its process if the browser has none.
        (first,), (second,) = found["0"], found["1"]
        for number, process in (("0", first), ("1", second)):
            page = f"GET /dashboard HTTP/1.1\r\nHost: localhost\r\nCookie: {COOKIE}={number}\r\n\r\n"
            with asking(server, page) as (visitor, head):
                assert process_of(server, visitor) == process
                assert f"{COOKIE}=" not in head
        with asking(server, "GET /dashboard HTTP/1.1\r\nHost: localhost\r\n\r\n") as (visitor, head):
            match = re.search(rf"Set-Cookie: {COOKIE}=(\d); HttpOnly; Path=/; SameSite=Lax", head)
            assert match
            assert found[match[1]] == {process_of(server, visitor)}
        # The replacement of a process takes over its connections.
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: len(workers(server)) == 2 and first not in workers(server))
        with asking(server, request.format(f"Cookie: {COOKIE}=0\r\n")) as (visitor, _):
            assert process_of(server, visitor) not in (first, second)
        with asking(server, f"GET /dashboard HTTP/1.1\r\nHost: localhost\r\nCookie: {COOKIE}=0\r\n\r\n") as (_, head):
            assert head.startswith("HTTP/1.1 200")
        assert any("killed by signal 9, restarting" in line["event"] for line in lines(server))


def test_browser_tries_another_process_if_its_own_is_full(suite: Path, tmp_path: Path) -> None:
    page = "GET /dashboard HTTP/1.1\r\nHost: localhost\r\nCookie: {}={}\r\n\r\n"
    with running(tmp_path, suite, "--num-procs", 2, "--max-sessions", 1) as server:
        wait_until(lambda: len(workers(server)) == 2)
        with asking(server, page.format(COOKIE, 0)) as (_, head):
            assert head.startswith("HTTP/1.1 200")
        with asking(server, page.format(COOKIE, 0)) as (_, head):
            assert head.startswith("HTTP/1.1 503")
            assert f'Set-Cookie: {COOKIE}=""; expires=' in head
        with asking(server, page.format("other", 0)) as (_, head):
            assert head.startswith(("HTTP/1.1 200", "HTTP/1.1 503"))
            assert (f"{COOKIE}=" in head) == head.startswith("HTTP/1.1 200")
        with asking(server, page.format(COOKIE, 1)) as (_, head):
            assert head.startswith(("HTTP/1.1 200", "HTTP/1.1 503"))
        expect_end_by_sigterm(server, 2)


def test_prefix_and_address_are_used(suite: Path, tmp_path: Path, opened: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "explorer.cli", "serve", str(suite), "--port", str(port)]
    command += ["--prefix", "/a/b", "--address", "127.0.0.1", "--open"]
    server = start_process(command, tmp_path / "log", port, "/a/b/healthz")

    def status(address: str) -> int:
        try:
            with urllib.request.urlopen(urljoin(f"{server.url}/a/b/dashboard", unescape(address))) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    try:
        assert get(f"{server.url}/a/b/healthz")[0] == 200
        described = json.loads(get(f"{server.url}/a/b/api/openapi.json")[1])
        assert described["servers"] == [{"url": "/a/b"}]
        assert get(f"{server.url}/a/b/api/saes.csv")[0] == 200
        code, page = get(f"{server.url}/a/b/dashboard")
        assert code == 200
        assert get(f"{server.url}/healthz")[0] == 404
        asked = re.findall(r"""<(?:link|script)[^>]*?(?:href|src)="([^"]+)\"""", page)
        assert any("favicon" in address for address in asked)
        assert not any("bokeh-gl" in address for address in asked)  # which no figure uses
        assert {address: status(address) for address in asked} == dict.fromkeys(asked, 200)
        wait_until(lambda: opened.read_text() == f"http://127.0.0.1:{port}/a/b/dashboard 200\n")
    finally:
        server.stop()


def test_panel_serve_offers_health_and_api_as_plugins(suite: Path, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "panel", "serve", "dashboard.py", "--port", str(port)]
    command += ["--plugins", "explorer.health", "--plugins", "explorer.api", "--args", str(suite)]
    server = start_process(command, tmp_path / "log", port, "/healthz")
    try:
        assert get(f"{server.url}/healthz") == (200, '{"status": "ok"}')
        assert get(f"{server.url}/api/saes.csv")[1].startswith("suite,sae,title,")
        assert get(f"{server.url}/api/nothing.csv")[0] == 404
        (suite / "measurements.parquet").unlink()
        assert get(f"{server.url}/healthz")[0] == 503
        code, body = get(f"{server.url}/api/saes.csv")
        assert code == 503
        assert "measurements.parquet" in json.loads(body)["error"]
        assert str(suite.parent) not in body
    finally:
        server.stop()
