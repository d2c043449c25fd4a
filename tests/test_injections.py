"""Texts that could be interpreted as code, in every way from a suite or a visitor to a page, a file or a terminal.

In the browser the page's content security policy is ignored, so that what holds is the escaping alone.
"""

from __future__ import annotations

import csv
import io
import re
from itertools import cycle
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import expect
from typer.testing import CliRunner

from explorer import Explorer, save_snapshot
from explorer.cli import app
from explorer.files import as_csv, as_parquet
from explorer.format import printable, visible
from explorer.state import ExplorerState
from explorer.views.act import take
from explorer.views.search import Search
from queries import Store
from tests.browser import glyphs, point, scroll_to_figure, wait_figure, wait_for
from tests.explore import graph_head, part, wait_query, wait_ready
from tests.injections import FLAG, TEXTS, write_injected_suite
from tests.questions import DECIDING, keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.browser import PageOpener, Server

#: The last SAE, which has imported pages.
SAE = {"layer": "3", "width": "1000", "l0": "40"}

# The contents of a page or part, including shadow roots: its texts, and traces of injected markup.
_READ = """(part) => {
  const texts = [], found = []
  const walk = (root) => {
    for (const element of root.querySelectorAll("*")) {
      for (const { name, value } of element.attributes) {
        texts.push(value)
        const is_address = /^(href|src|action)$/.test(name)
        if (/^on/.test(name) || (is_address && /^\\s*javascript:/i.test(value))) found.push(element.outerHTML)
      }
      const is_foreign = element.matches("script, object, embed, base, meta, form[action]")
      if (root instanceof ShadowRoot && is_foreign) found.push(element.outerHTML)
      if (!element.matches("style, script")) {
        for (const node of element.childNodes) if (node.nodeType === Node.TEXT_NODE) texts.push(node.data)
      }
      if (element.shadowRoot) walk(element.shadowRoot)
    }
  }
  walk(part ?? document)
  return [texts.join("\\n"), found]
}"""


class Walk:
    """Walks through pages full of injections, and collects their texts."""

    def __init__(self) -> None:
        self.read = ""

    def look(self, page: Page) -> None:
        """Read the whole page, and check that nothing became markup or was executed."""
        text, found = page.evaluate(_READ)
        assert found == []
        assert [frame.url for frame in page.frames if frame.evaluate(f"window.{FLAG}")] == []
        self.read += text


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    return write_injected_suite(tmp_path_factory.mktemp("suites"))


@pytest.fixture(scope="module")
def store(suite: tuple[Path, list[str]]) -> Iterator[Store]:
    with Store(suite[0]) as store:
        yield store


# --- Pages -----------------------------------------------------------------------------------------------------------


#: Messages of the browser about an imported page that tries everything.
_FROM_FRAMES = ["Content Security Policy", "cross-origin subframe", 'with origin "null"']


@pytest.fixture
def visit(
    open_page: PageOpener, serve: Callable[..., Server], suite: tuple[Path, list[str]]
) -> Callable[[dict[str, str]], Page]:
    """Open a page of the suite of injections and wait until it is ready."""

    def open_query(query: dict[str, str]) -> Page:
        page = open_page(f"{serve(suite[0]).url}/dashboard?{urlencode(query)}", bypass_csp=True, allow=_FROM_FRAMES)
        wait_ready(page)
        return page

    return open_query


@pytest.mark.browser
def test_tokens_stay_text_on_every_page(
    visit: Callable[[dict[str, str]], Page], open_page: PageOpener, store: Store, suite: tuple[Path, list[str]]
) -> None:
    walk = Walk()
    page = visit(SAE | {"page": "evidence"})
    table = part(page, "evidence").filter(has_text="Tested tokens of the suite")
    for number in range(4):
        if number:
            table.get_by_role("button", name="Next").click()
            wait_query(page, {"evidence_page": str(number)})
        # The opened row stays open until the next rows arrive.
        expect(table.locator("tr.opened")).to_have_count(0)
        table.locator("tbody button").first.click()
        expect(table.locator("tr.opened")).to_be_visible()
        walk.look(page)
    for text in suite[1]:
        assert visible(text) in walk.read, text
    page.get_by_role("link", name="Compare").click()
    expect(part(page, "cell-head").first).to_be_visible()
    walk.look(page)
    page.get_by_role("radio", name="two SAEs").click()
    expect(part(page, "pair").locator("tbody tr").first).to_be_visible()
    walk.look(page)
    page.get_by_role("link", name="Atlas").click()
    expect(part(page, "atlas-table").locator("tbody tr").first).to_be_visible()
    walk.look(page)
    page.get_by_role("button", name="Help").click()
    expect(part(page, "help").locator("dialog")).to_be_visible()
    walk.look(page)
    # Texts of the manifest are shown unchanged, except characters that no browser keeps.
    assert re.sub(r"[\r\0]", "", " ".join(TEXTS))[:500] in walk.read
    latent = store.fetch("absorbing_latents", **keys(suite="tiny", layer=3, width=1000, l0=40, letter="s", **DECIDING))
    page = visit(SAE | {"letter": "s", "latent": str(latent["latent"].iloc[0])})
    part(page, "tester").locator("[data-key=pack-absorbed]").click()
    expect(part(page, "tester").locator("table")).to_be_visible()
    page.get_by_role("button", name="Show the original page").click()
    expect(part(page, "original").locator("iframe")).to_be_visible()
    part(page, "evidence").locator("tbody button").first.click()
    # The frame of an imported page may run its scripts, whose access another test checks.
    text, found = page.evaluate(_READ)
    assert found == []
    assert not page.evaluate(f"window.{FLAG}")
    assert all(url.startswith("https://neuronpedia.org/") or "evil.example" in url for url in open_page.external)


@pytest.mark.browser
def test_tooltips_and_figures_show_tokens_as_text(visit: Callable[[dict[str, str]], Page], tmp_path: Path) -> None:
    name = "split-absorb-graph"
    walk = Walk()
    page = visit({"letter": "a", "effect_margin": "0.25"})
    scroll_to_figure(graph_head(page), name)
    boxes: dict[str, Any] = {"name": []}
    for letter in ("a", "s", "t"):
        page.locator(f"[data-concept='first-letter.{letter}']").click()
        wait_for(page, _OTHER_BOXES, [name, boxes["name"]])
        wait_figure(page, name)
        boxes = next(drawn["data"] for drawn in glyphs(page, name) if "name" in drawn["data"])
        for token, x, low, high in zip(boxes["name"], boxes["left"], boxes["bottom"], boxes["top"], strict=True):
            page.mouse.move(*point(page, name, x + 0.02, (low + high) / 2))
            expect(page.locator(".bk-Tooltip").filter(has_text="absorbed by")).to_contain_text(token.strip()[:12])
            walk.look(page)
            assert token in walk.read
        page.get_by_label("Export the graph").click()
        with page.expect_download() as download:
            part(page, "export").get_by_role("button", name="SVG", exact=True).click()
        download.value.save_as(tmp_path / "graph.svg")
        tags = set(re.findall(r"<(\w+)", (tmp_path / "graph.svg").read_text("utf-8")))
        assert tags <= {"svg", "defs", "g", "rect", "path", "text", "clipPath", "style"}
        walk.look(page)
        part(page, "export").get_by_role("button", name="Close").click()


#: Whether a figure draws boxes with names, others than these.
_OTHER_BOXES = """([name, before]) => {
  const model = Bokeh.documents.map((doc) => doc.get_model_by_name(name)).find((found) => found)
  const boxes = model?.renderers.map(({data_source}) => data_source?.data.name).find((names) => names)
  return boxes && String([...boxes]) !== String(before)
}"""


@pytest.mark.browser
def test_addresses_and_searches_stay_text(visit: Callable[[dict[str, str]], Page]) -> None:
    walk = Walk()
    keys = (*ExplorerState.URL_KEYS, *TEXTS[::8])
    # Every eighth text in each key, and every text in one.
    addresses = [dict.fromkeys(ExplorerState.URL_KEYS, text) | {text: text} for text in TEXTS[::8]]
    addresses += [
        dict(zip(keys, cycle(TEXTS[first:] + TEXTS[:first]), strict=False))
        for first in range(0, len(TEXTS), len(TEXTS) // 3)
    ]
    for address in addresses:
        page = visit(address)
        expect(part(page, "notices").locator(".notice").first).to_be_visible()
        walk.look(page)
    search = part(page, "search")
    for text in TEXTS:
        typed = re.sub(r"[\r\n\0]", " ", text).strip()
        page.get_by_role("combobox", name="Search").fill(typed)
        wait_for(page, _FOUND, [search.element_handle(), typed, visible(typed)])
        texts, found = search.evaluate(_READ)
        walk.read += texts
        assert found == []
    walk.look(page)
    page = visit({"page": "evidence", "evidence_token": "<img src=x onerror=pwned=1>"})
    expect(part(page, "evidence").locator("[name=evidence_token]")).to_have_value("<img src=x onerror=pwned=1>")
    walk.look(page)


#: Whether the list of results belongs to the typed text: it quotes it, or begins with a token with this prefix, or
#: with a concept whose name contains it.
_FOUND = """([search, typed, visible]) => {
  const bare = (text) => text.replace(/\\s/g, "").toLowerCase()
  const status = bare(search.querySelector("[role=status]").textContent)
  const option = bare(search.querySelector("[role=option] code")?.textContent ?? "")
  const concept = bare(search.querySelector("[role=option][data-action=concept]")?.textContent ?? "")
  return status.includes(`“${bare(typed)}”`) || concept.includes(bare(typed))
    || option.startsWith(bare(visible)) || option.startsWith("␣" + bare(visible))
}"""


# --- Files, notebooks, terminals -------------------------------------------------------------------------------------


def test_exported_files_contain_texts_unchanged() -> None:
    frame = pd.DataFrame({"token": [text for text in TEXTS if "\0" not in text and "\r" not in text]})
    texts = frame["token"].tolist()
    table, parquet = (io.BytesIO(b"".join(write(frame))) for write in (as_csv, as_parquet))
    assert pd.read_csv(table, keep_default_na=False)["token"].tolist() == texts
    assert pd.read_parquet(parquet)["token"].tolist() == texts


def test_files_for_spreadsheets_contain_no_formulas() -> None:
    signs = ("=", "+", "-", "@", "\t", "\r", "\n")
    texts = [*TEXTS, *(f"{sign}1+1" for sign in signs), *signs, "", "'=1", " =1"]
    cells = np.array([None, *texts[1:]], object)
    cells[0] = np.array(["=1"])
    whole = pd.array([-3] * len(texts), "Int64")
    frame = pd.DataFrame({"token": texts, "cell": cells, "number": -1.5, "whole": whole})
    written = b"".join(as_csv(frame, for_spreadsheets=True)).decode()
    _, *rows = csv.reader(io.StringIO(written, newline=""))
    assert rows[0][1] == '["=1"]'
    for text, row in zip(texts, rows, strict=True):
        safe = f"'{text}" if text.startswith(signs) else text
        assert row[0] == safe
        assert row[1] in (safe, '["=1"]')
        assert row[2:] == ["-1.5", "-3"]  # numbers stay numbers


@pytest.mark.browser
def test_snapshot_keeps_texts_as_text(open_page: PageOpener, store: Store, tmp_path: Path) -> None:
    path = save_snapshot(store, tmp_path / "injected.html", letter="s")
    page = open_page(path.as_uri(), bypass_csp=True)
    walk = Walk()
    for letter in ("s", "a", "t"):
        page.locator(f"[data-concept='first-letter.{letter}']").click()
        expect(page.locator("#headline .where")).to_contain_text(f"Letter {letter.upper()}")
        page.locator("#lists [data-action=latent]").last.click()
        expect(page.locator("#card h2")).to_be_visible()
        page.locator("#evidence tbody button").first.click()
        text, found = page.evaluate(_READ)
        walk.read += text
        assert found == []
        assert not page.evaluate(f"window.{FLAG}")
    assert walk.read.count("pwned") > 20
    assert open_page.external == []


def test_notebook_cells_keep_texts_as_text(store: Store) -> None:
    explorer = Explorer(store, letter="s")
    explorer.state.latent = int(explorer.model.absorbing_latents["latent"].iloc[0])
    for view in (explorer.layout, explorer.evidence, explorer.card):
        written = "".join(getattr(each, "html", "") for each in view.select())
        assert "pwned" in written
        assert not re.search(r"<(script|img|svg on|object|base|style)", written)


def test_messages_with_any_text_are_answered(store: Store) -> None:
    explorer = Explorer(store)
    search: Any = Search(explorer.model)
    for text in (*TEXTS, "\ud800", "x" * 100_000):
        take(search._field._handlers, {"action": "search", "value": {"number": 1, "text": text}})
        assert explorer.model.error == ""
        assert explorer.state.apply({"evidence_token": text}) == []
        assert explorer.model.whole("suite_evidence") is not None


def test_terminal_and_log_lines_stay_single_lines(tmp_path: Path) -> None:
    for text in TEXTS:
        assert len(printable(text).splitlines()) <= 1
        assert "\x1b" not in printable(text)
    missing = tmp_path / "a\nb\x1b[31m[red]"
    shown = CliRunner().invoke(app, ["info", str(missing)])
    assert shown.exit_code == 2
    assert shown.stderr.count("\n") == 1
    assert "\x1b" not in shown.stderr


def test_suite_texts_are_not_terminal_markup(suite: tuple[Path, list[str]]) -> None:
    shown = CliRunner().invoke(app, ["info", str(suite[0])])
    assert shown.exit_code == 0
    assert "\x1b" not in shown.stdout
    assert "[[ 7*191 ]]" in " ".join(shown.stdout.split())
