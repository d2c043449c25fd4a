"""Times of the pages in a real browser against the real server: ``python -m benchmarks.pages [--wide]``."""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import sync_playwright

from tests.browser import CHROMIUM_ARGS, Server, find_chromium, start_server
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_WIDE_L0S = (10, 20, 30, 40, 60, 80, 100, 150, 200, 400)
_TIMEOUT = 120_000
_COMPARES = 5
#: Counts the figures of a name's beginning that are painted.
_PAINTED = """(start) => [...Bokeh.index.query((view) => view.frame != null)]
  .filter((view) => (view.model.name ?? "").startsWith(start))
  .filter((view) => view.has_finished()).length"""
#: Clicks a letter and resolves once the line of the cosine plot has changed and two frames were drawn.
_CLICK_LETTER = """async (letter) => {
  const find = (root) => {
    for (const element of root.querySelectorAll("*")) {
      const found = element.dataset?.letter === letter ? element : element.shadowRoot && find(element.shadowRoot)
      if (found) return found
    }
  }
  const figure = Bokeh.documents.map((doc) => doc.get_model_by_name("cosine")).find((model) => model)
  const line = figure.renderers.find((renderer) => renderer.glyph.type === "Line")
  const start = performance.now()
  const changed = new Promise((done) => {
    const slot = () => { line.data_source.properties.data.change.disconnect(slot); done() }
    line.data_source.properties.data.change.connect(slot)
  })
  find(document).click()
  await changed
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))
  return performance.now() - start
}"""


def main() -> None:
    """Measure, and print the figures as JSON: milliseconds, bytes received over the websocket."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wide", action="store_true", help="on ten generated SAEs of 65,536 latents")
    parser.add_argument("--opens", type=int, default=20)
    arguments = parser.parse_args()
    wide = arguments.wide
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        saes = [(0, 65_000, l0) for l0 in _WIDE_L0S]
        suites = [write_tiny_suite(Path(folder) / "wide", name="wide", saes=saes, examples=False)] if wide else []
        query = "layer=0&letter=s" if wide else "layer=4&letter=s"
        server = start_server(Path(folder) / "log", *suites)
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_ARGS)
        try:
            first = _open(browser, server, query)
            opened = [_open(browser, server, query) for _ in range(arguments.opens)]
            letters = _letters(browser, server, query, "ablqt" if wide else "abcdefghijklmnopqrtu")
            compared = [_compare(browser, server, query, 10 if wide else 6) for _ in range(_COMPARES)]
        finally:
            browser.close()
            server.stop()
    figures = {
        "first open of a new server": summary([first]),
        "open": summary(opened),
        "letter change, first visit": summary(letters),
        "compare": summary([elapsed for elapsed, _ in compared]),
        "compare bytes": summary([received for _, received in compared]),
    }
    print(json.dumps(figures, indent=2))


def summary(values: list[float], digits: int | None = None) -> dict[str, Any]:
    """Sum up repeated measurements."""
    return {
        "median": round(statistics.median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
        "n": len(values),
    }


def _page(browser: Browser) -> Page:
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.set_default_timeout(_TIMEOUT)
    return page


def _wait_painted(page: Page, start: str, number: int) -> None:
    page.wait_for_function(
        f"(args) => globalThis.Bokeh && ({_PAINTED})(args[0]) >= args[1]", arg=[start, number], polling="raf"
    )


def _open(browser: Browser, server: Server, query: str) -> float:
    """Measure from asking for the page, with an empty cache, to the painted cosine plot."""
    page = _page(browser)
    start = time.perf_counter()
    page.goto(f"{server.url}/dashboard?{query}")
    _wait_painted(page, "cosine", 1)
    elapsed = time.perf_counter() - start
    page.context.close()
    return 1000 * elapsed


def _letters(browser: Browser, server: Server, query: str, letters: str) -> list[float]:
    """Measure from a click on a letter that nobody has looked at yet to the painted plot."""
    page = _page(browser)
    page.goto(f"{server.url}/dashboard?{query}")
    _wait_painted(page, "cosine", 1)
    page.wait_for_load_state("networkidle")
    times = [page.evaluate(_CLICK_LETTER, letter) for letter in letters]
    page.context.close()
    return times


def _compare(browser: Browser, server: Server, query: str, plots: int) -> tuple[float, int]:
    """Measure from choosing Compare to all its plots painted, in a window that shows all, and the bytes that came."""
    page = _page(browser)
    page.set_viewport_size({"width": 1440, "height": 3000})
    received = [0]

    def count(payload: str | bytes) -> None:
        received[0] += len(payload)

    page.on("websocket", lambda socket: socket.on("framereceived", count))
    page.goto(f"{server.url}/dashboard?{query}")
    _wait_painted(page, "cosine", 1)
    page.wait_for_load_state("networkidle")
    before, start = received[0], time.perf_counter()
    page.get_by_role("link", name="Compare").click()
    _wait_painted(page, "cosine-", plots)
    elapsed = time.perf_counter() - start
    page.context.close()
    return 1000 * elapsed, received[0] - before


if __name__ == "__main__":
    main()
