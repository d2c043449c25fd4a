"""A page's behaviour when a query, a suite's files or the server fails."""

from __future__ import annotations

import os
import re
import shutil
import sys
from contextlib import contextmanager
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from explorer import open_store
from tests.browser import ROOT, WAIT_SECONDS, free_port, start_process, wait_figure
from tests.explore import View, cell, expect_view, open_view, part, query_of, row, wait_ready
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.browser import PageOpener, Server

pytestmark = pytest.mark.browser

SAES = ((0, 1000, 10), (0, 1000, 40))
#: By page, one of its queries and the figure of its result.
ASKED = {
    "explore": ("cosines", "cosine"),
    "compare": ("compared_cosines", "cosine-l0-w1000-l0-10"),
    "atlas": ("concept_rates", "absorption-heatmap"),
    "evidence": ("threshold_sensitivity", "threshold-sensitivity"),
}


@contextmanager
def running(folder: Path, port: int, seconds: float = 2, *options: object) -> Iterator[Server]:
    """Run the command on the suite `folder`/tiny; `folder`/slow names a query that is cancelled after `seconds`."""
    command = [sys.executable, "-m", "tests.slow_command", str(folder / "slow"), "serve", str(folder / "tiny")]
    command += ["--port", str(port), "--session-seconds", "3", *map(str, options)]
    environment = {"QUESTION_SECONDS": str(seconds)}
    server = start_process(command, folder / "log", port, "/healthz", environment=environment)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def view(tmp_path: Path) -> Iterator[View]:
    with open_store(write_tiny_suite(tmp_path / "tiny", saes=SAES)) as store:
        yield View(store, suite="tiny", layer=0, width=1000, l0=10, letter="s")


def test_timed_out_query_can_be_retried(open_page: PageOpener, view: View, tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    with running(tmp_path, free_port()) as server:
        for name, (question, figure) in ASKED.items():
            slow.write_text(question)
            if name == "explore":
                page = open_page(f"{server.url}{view.path}")
                wait_ready(page)
            else:
                page.get_by_role("link", name=name.capitalize()).click()
            notice = part(page, "notices").locator(".notice")
            expect(notice).to_contain_text(f"The question '{question}' took longer than 2 s and was cancelled")
            if name in ("explore", "compare"):
                message = part(page, "message").and_(page.locator(":visible"))
                expect(message).to_contain_text("This query was not answered")
            slow.write_text("")
            notice.get_by_role("button", name="Try again").click()
            expect(notice).to_have_count(0)
            wait_figure(page, figure)
        # The same in a running session; other queries are answered meanwhile.
        slow.write_text("absorbing_latents")
        page = open_view(open_page, f"{server.url}{view.path}")
        slow.write_text("cosines")
        cell(page, "t").click()
        notice = part(page, "notices").locator(".notice")
        expect(notice).to_contain_text("'cosines' took longer")
        expect(part(page, "headline")).to_contain_text("T words")
        slow.write_text("")
        notice.get_by_role("button", name="Try again").click()
        expect_view(page, view.but(letter="t"))


def test_newer_choice_cancels_a_long_query(open_page: PageOpener, view: View, tmp_path: Path) -> None:
    """Neither waits for the five minutes after which the query would be cancelled."""
    slow = tmp_path / "slow"
    with running(tmp_path, free_port(), seconds=300) as server:
        page, other = (open_view(open_page, f"{server.url}{view.path}") for _ in range(2))
        slow.write_text("cosines")
        cell(page, "t").click()
        root = page.locator("html")
        expect(root).to_have_class(re.compile("ax-is-waiting"))
        expect(root).to_have_class(re.compile("ax-is-busy"))
        # The former contents stay until all new results have arrived.
        expect(part(page, "headline").locator("h1")).to_contain_text("S words")
        slow.write_text("")
        cell(other, "l").click()
        expect_view(other, view.but(letter="l"))
        expect(root).to_have_class(re.compile("ax-is-waiting"))
        cell(page, "t").click()
        cell(page, "l").click()
        expect_view(page, view.but(letter="l"))
        expect(root).not_to_have_class(re.compile("ax-is-(waiting|busy)"))
        cell(page, "t").click()
        expect_view(page, view.but(letter="t"))
        expect(part(page, "notices").locator(".notice")).to_have_count(0)


def test_long_export_does_not_block_other_visitors(open_page: PageOpener, view: View, tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    with running(tmp_path, free_port(), 300, "--session-seconds", 1) as server:
        page, other = (open_view(open_page, f"{server.url}{view.path}") for _ in range(2))

        def export(page: Page, answer: str) -> None:
            page.get_by_label("Export the tested tokens").locator("visible=true").click()
            part(page, "export").get_by_role("button", name="CSV", exact=True).click()
            expect(part(page, "export").get_by_role("status")).to_contain_text(f"Writing tiny_{answer}.csv")
            expect(part(page, "export").get_by_role("button", name="Parquet")).to_have_attribute(
                "aria-disabled", "true"
            )

        # The page contains only 25 of the suite's tokens.
        page.get_by_role("link", name="Evidence").click()
        expect(page.get_by_role("heading", name="Evidence", exact=True)).to_be_visible()
        slow.write_text("evidence")
        export(page, "suite_evidence")
        expect_file(slow.with_suffix(".asked"))
        slow.write_text("")
        cell(other, "l").click()
        expect_view(other, view.but(letter="l"))
        # One at a time: the next begins when the page of the first is closed, which cancels its query.
        with other.expect_download() as download:
            export(other, "concept_evidence")
            page.close()
        assert download.value.suggested_filename == "tiny_concept_evidence.csv"
        expect(part(other, "export").get_by_role("status")).to_be_empty()
        # A failed query is reported beside the buttons.
        part(other, "export").get_by_role("button", name="Close").click()
        other.get_by_role("link", name="Evidence").click()
        expect(other.get_by_role("heading", name="Evidence", exact=True)).to_be_visible()
        (tmp_path / "tiny" / "manifest.json").rename(tmp_path / "manifest.json")
        other.get_by_label("Export the tested tokens").locator("visible=true").click()
        part(other, "export").get_by_role("button", name="Parquet").click()
        expect(part(other, "export").get_by_role("alert")).to_contain_text("was not written")
        (tmp_path / "manifest.json").rename(tmp_path / "tiny" / "manifest.json")
        # SIGTERM ends everything within seconds.
        slow.with_suffix(".asked").unlink()
        slow.write_text("evidence")
        part(other, "export").get_by_role("button", name="Close").click()
        export(other, "suite_evidence")
        expect_file(slow.with_suffix(".asked"))
        server.process.terminate()
        assert server.process.wait(10) == 0
        other.close()


def expect_file(path: Path) -> None:
    """Wait until there is such a file."""
    deadline, pause = monotonic() + WAIT_SECONDS, Event()
    while not path.exists():
        assert monotonic() < deadline
        pause.wait(0.05)


def test_page_recovers_after_a_restart_of_the_server(open_page: PageOpener, view: View, tmp_path: Path) -> None:
    port = free_port()
    with running(tmp_path, port) as server:
        page = open_view(open_page, f"{server.url}{view.path}", allow=["not connected", "ERR_CONNECTION_REFUSED"])
        cell(page, "t").click()
        seen = view.but(letter="t")
        seen = seen.but(latent=seen.split[0])
        row(page, "split", seen.split[0]).click()
        expect_view(page, seen)
        server.process.kill()
        lost = page.get_by_role("alert").filter(has_text="Connection to the server lost")
        expect(lost).to_be_visible()
    with running(tmp_path, port):
        # The page does not join the new server by itself, because its session no longer exists.
        expect(lost).to_be_visible()
        assert query_of(page) == seen.query
        lost.get_by_role("button", name="Reload").click()
        wait_ready(page)
        expect_view(page, seen)
        expect(lost).to_have_count(0)
        cell(page, "s").click()
        expect_view(page, view)


def test_replaced_suite_is_reported_and_shown_after_a_reload(open_page: PageOpener, view: View, tmp_path: Path) -> None:
    suite = tmp_path / "tiny"
    with running(tmp_path, free_port()) as server:
        page = open_view(open_page, f"{server.url}{view.path}")
        write_tiny_suite(tmp_path / "next", name="tiny", seed=1, saes=SAES)
        shutil.rmtree(suite)
        (tmp_path / "next").rename(suite)
        cell(page, "t").click()
        notice = part(page, "notices").locator(".notice")
        expect(notice).to_contain_text("of the suite tiny was changed or removed after it was opened. Reload the page")
        with open_store(suite) as store:
            new = View(store, suite="tiny", layer=0, width=1000, l0=10, letter="t")
            page.reload()
            wait_ready(page)
            expect_view(page, new)
        # A truncated suite cannot be opened: the next visitor sees the file and a remedy.
        os.truncate(suite / "measurements.parquet", 100)
        page.reload()
        expect(page.locator(".empty")).to_contain_text("measurements.parquet: not a readable parquet file")
        shutil.copy(ROOT / "LICENSE", suite / "measurements.parquet")
        page.reload()
        expect(page.locator(".empty")).to_contain_text("measurements.parquet: not a readable parquet file")
        # Requests after the page has loaded, such as its icon, must still reach the server.
        page.goto("about:blank")
    assert "Traceback" not in server.output
