"""Time the pages in a real browser with the real server: ``python -m benchmarks.pages [SUITE ...]``."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import holoviews as hv
from bokeh.embed import file_html
from bokeh.resources import INLINE
from playwright.sync_api import sync_playwright

from benchmarks.measuring import Wire, set_widget, summary, to_painted
from benchmarks.scaled import scaled_suites
from explorer import open_store
from explorer.model import ExplorerModel, choices_of
from explorer.plots.cosine import cosine_plot
from explorer.saes import ATTRIBUTES, choose
from explorer.state import ExplorerState
from explorer.store import SWEEPS
from explorer.theme import LIGHT
from explorer.views.cosine import CosineView
from tests.browser import CHROMIUM_ARGS, find_chromium, free_port, start_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from playwright.sync_api import Browser, Page, Response

    from explorer.saes import Sae
    from queries import Store

_TIMEOUT = 120_000
_ACTS = (
    *("open", "letter", "l0", "width", "layer", "latent", "threshold", "compare", "compare-all", "atlas", "evidence"),
    *("letter-late", "threshold-atlas", "threshold-evidence"),
)
_PAINTED = """(name) => globalThis.Bokeh?.index && [...Bokeh.index.query((view) => view.frame != null)]
  .some((view) => view.model.name === name && view.has_finished())"""
#: Replaces the data of a line in the static page: Bokeh's own redraw, the floor of all times.
_REDRAW = """(which) => {
  dispatchEvent(new CustomEvent("benchmark"))
  const figure = Bokeh.documents[0].get_model_by_name("cosine")
  const line = figure.renderers.find(({glyph}) => glyph.type === "Line")
  line.data_source.data = window.lines[which % window.lines.length]
}"""
_AT_REST = """() => document.documentElement.matches(".ax-ready:not(.ax-is-busy)") &&
  [...Bokeh.index.query((view) => view.frame != null)].every((view) => view.has_finished())"""


def main() -> None:
    """Measure, and print JSON: milliseconds, kilobytes on the wire."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", nargs="*", default=[SWEEPS], type=Path, help="several are measured in turn")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--only", nargs="*", default=_ACTS, choices=_ACTS, help="actions to measure")
    parser.add_argument("--growth", action="store_true", help="a quarter of the SAEs and four times as many, too")
    arguments = parser.parse_args()
    with sync_playwright() as playwright, ExitStack() as opened:
        suites = dict(enumerate(arguments.suite))
        if arguments.growth:
            folder = opened.enter_context(tempfile.TemporaryDirectory(dir=arguments.suite[0].parent))
            suites = dict(enumerate(scaled_suites(arguments.suite[0], Path(folder)).values()))
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_ARGS)
        opened.callback(browser.close)
        found = _measure(browser, list(map(str, suites.values())), arguments.only, arguments.runs)
    print(json.dumps(found, indent=2))


def _measure(browser: Browser, suites: list[str], acts: Sequence[str], runs: int) -> dict[str, Any]:
    """Measure the floor, and then each action in each suite in turn."""
    found: dict[str, dict[str, Any]] = {}
    saes, offers = {}, {}
    for suite in suites:
        with open_store(suite) as store:
            known = list(next(iter(choices_of(store).values())).saes)
            sae = saes[suite] = _richest(known)
            lines = _lines(store, sae)
            offers[suite] = {
                each: len(values) > 1
                for each, values in choose(known, {each: getattr(sae, each) for each in ATTRIBUTES})[1].items()
            }
        found[suite] = {"saes": len(known), "sae": sae.label}
    floor = _floor(browser, lines, runs)
    for name in acts:
        for suite in suites:
            if name == "open":
                found[suite]["open"] = _opens(browser, suite, saes[suite], runs)
                continue
            if name in ATTRIBUTES and not offers[suite][name]:
                continue
            act = _act(name, browser, suite, saes[suite], runs)
            act["times the floor"] = round(act["ms"]["median"] / floor["median"], 1)
            found[suite].setdefault("acts", {})[name] = act
    return {
        "floor: other data in a static Bokeh page of the cosine plot, ms": floor,
        "suites": list(found.values()),
    }


def _richest(saes: list[Sae]) -> Sae:
    """Choose one of the widest SAEs, preferably in a layer with several widths."""
    widths = Counter(layer for layer, _ in {(sae.layer, sae.width) for sae in saes})
    return max(saes, key=lambda sae: (sae.n_latents, widths[sae.layer]))


def _query(sae: Sae, letter: str) -> str:
    return f"sae={sae.id}&letter={letter}"


def _cell(letter: str) -> str:
    return f'[data-concept="first-letter.{letter}"]'


def _lines(store: Store, sae: Sae) -> tuple[str, list[dict[str, list[float]]]]:
    """Return the cosine plot as a static page, and data of its line for some letters."""
    lines, page = [], ""
    for letter in "abcdefgh":
        state = ExplorerState(choices_of(store), sae=sae.id, letter=letter)
        model = ExplorerModel(store, state, CosineView)
        split, absorbing = (
            () if found is None else found["latent"].tolist()
            for found in (model.split_latents, model.absorbing_latents)
        )
        figure: Any = hv.render(
            cosine_plot(
                model.cosines, split=split, absorbing=absorbing, selected=None, threshold=0.025, theme=LIGHT
            ).draw()
        )
        line = next(renderer for renderer in figure.renderers if getattr(renderer.glyph, "line_width", None))
        lines.append({name: list(map(float, values)) for name, values in line.data_source.data.items()})
        page = file_html(figure, INLINE)
    return page, lines


def _floor(browser: Browser, drawn: tuple[str, list[dict[str, list[float]]]], runs: int) -> dict[str, Any]:
    """Measure how long Bokeh takes to draw new data without a server."""
    html, lines = drawn
    page = _page(browser)
    page.set_content(html)
    page.evaluate("(lines) => { window.lines = lines }", lines)
    page.wait_for_function("() => window.Bokeh?.documents[0]?.is_idle")
    times = [to_painted(page, partial(page.evaluate, _REDRAW, run)) for run in range(runs)]
    page.context.close()
    return summary(times)


@contextmanager
def _served(suite: str) -> Iterator[Wire]:
    """Serve a suite through a proxy that counts bytes."""
    port = free_port()
    os.environ["BOKEH_ALLOW_WS_ORIGIN"] = f"localhost:{port}"
    with tempfile.TemporaryDirectory() as folder:
        server = start_server(Path(folder) / "log", suite)
        try:
            with Wire(server.url, port) as wire:
                yield wire
        finally:
            server.stop()


def _page(browser: Browser, height: int = 900) -> Page:
    page = browser.new_context(viewport={"width": 1440, "height": height}, bypass_csp=True).new_page()
    page.set_default_timeout(_TIMEOUT)
    return page


def _opens(browser: Browser, suite: str, sae: Sae, runs: int) -> dict[str, Any]:
    """Measure the time from the request of the page to the painted cosine plot, with an empty and a full cache."""
    cold, warm = [], []
    start = time.perf_counter()
    with _served(suite) as wire:
        url = f"{wire.url}/dashboard?{_query(sae, 's')}"
        first = _open(_page(browser), url, wire)
        since_start = time.perf_counter() - start
        for _ in range(runs):
            page = _page(browser)
            cold.append(_open(page, url, wire))
            page.goto("about:blank")
            warm.append(_open(page, url, wire))
            page.context.close()
    return {
        "first of a new server, ms": round(first[0]),
        "start of the server to first page, ms": round(1000 * since_start),
        **{
            name: {
                "ms": summary([each[0] for each in found]),
                "kilobytes": summary([each[1] for each in found]),
                "requests": summary([each[2] for each in found]),
            }
            for name, found in (("empty cache", cold), ("full cache", warm))
        },
    }


def _open(page: Page, url: str, wire: Wire) -> tuple[float, float, int]:
    """Measure one opening: milliseconds, kilobytes, and requests that reached the server."""
    requested: list[str] = []

    def count(response: Response) -> None:
        if not response.from_service_worker and response.request.timing["responseStart"] >= 0:
            requested.append(response.url)

    page.on("response", count)
    before, start = wire.received, time.perf_counter()
    page.goto(url, wait_until="commit")
    page.wait_for_function(_PAINTED, arg="cosine", polling="raf")
    elapsed = 1000 * (time.perf_counter() - start)
    page.wait_for_function(_AT_REST)
    page.remove_listener("response", count)
    return elapsed, (wire.received - before) / 1000, len(requested)


def _act(name: str, browser: Browser, suite: str, sae: Sae, runs: int) -> dict[str, Any]:
    """Measure an action repeatedly, each time for a letter that has not been shown yet, on a new server."""
    times, received = [], []
    with _served(suite) as wire:
        # Plots are drawn when they become visible; in a tall window, all of them are.
        page = _page(browser, height=3000 if name == "compare-all" else 900)
        page.goto(f"{wire.url}/dashboard?{_query(sae, 'z')}")
        page.wait_for_function(_AT_REST)
        if name == "letter-late":
            for other in ("Compare", "Atlas", "Evidence", "Explore"):
                to_painted(page, page.get_by_role("link", name=other).click)
        elif name.startswith("threshold-"):
            to_painted(page, page.get_by_role("link", name=name.removeprefix("threshold-").title()).click)
        for run, letter in zip(range(runs), "abcdefghijklmnopqrstuvwxy", strict=False):
            if not name.startswith(("letter", "threshold-")):
                to_painted(page, page.locator(_cell(letter)).click)
            act = _action(name, page, letter, run)
            before = wire.received
            times.append(to_painted(page, act))
            received.append((wire.received - before) / 1000)
            if name.startswith("compare"):
                to_painted(page, page.get_by_role("link", name="Explore").click)
        page.context.close()
    return {"ms": summary(times), "kilobytes": summary(received, 1)}


def _action(name: str, page: Page, letter: str, run: int) -> Callable[[], object]:
    """Return a function that performs a user's action."""
    match name:
        case "letter" | "letter-late":
            return page.locator(_cell(letter)).click
        case "layer" | "width" | "l0":
            group = page.get_by_role("radiogroup", name=name.title(), exact=True)
            return group.locator("[role=radio][aria-checked=false]").first.click
        case "latent":
            return page.locator("[data-action=latent]").first.click
        case "threshold" | "threshold-atlas" | "threshold-evidence":
            return partial(set_widget, page, "cosine_threshold", round(0.03 + 0.005 * run, 3))
    return page.get_by_role("link", name=name.removesuffix("-all").title()).click


if __name__ == "__main__":
    main()
