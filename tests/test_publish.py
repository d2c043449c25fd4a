"""Suites as static sites: files contain the store's numbers and are complete, and pages load them."""

from __future__ import annotations

import base64
import errno
import fcntl
import hashlib
import json
import os
import re
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from html import unescape
from html.parser import HTMLParser
from importlib.metadata import version
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest
from playwright.sync_api import expect
from typer.testing import CliRunner

from explorer import open_store, publish
from explorer.cite import cite
from explorer.cli import app
from explorer.embed import EMBEDS, subject_of
from explorer.format import count, number, percent, visible
from explorer.model import ExplorerModel, choices_of
from explorer.parts import SHOWN
from explorer.plots.standalone import replacement_data
from explorer.publish import NOT_HERE, PublishError, publish_site
from explorer.state import ExplorerState
from explorer.text.tour_files import ANCHORS
from explorer.theme import DARK, LIGHT
from explorer.tours import rendered_tour
from explorer.views.atlas import Atlas, means_html, panel_drawing
from explorer.views.cite import cited_suite
from explorer.views.concepts import concept_cells
from explorer.views.evidence_table import judged
from explorer.views.headline import figures_html, sentence_html
from explorer.views.heat_map import HeatMapView, highest_cells, map_drawing, map_head_html
from explorer.views.latent_lists import lists_html
from explorer.views.markup import STATIC
from explorer.views.pair import PairView, pair_drawing, pair_head_html, pair_tables_html
from tests.browser import PageOpener, glyphs, tap, wait_figure, wait_for, wait_glyph
from tests.explore import ABSORBING, SPLIT
from tests.hostile_suite import EVIL, Reader, write_hostile_suite
from tests.questions import DECIDING, FAMILY, ask, question_values
from tests.range_server import range_server
from tests.several_metrics import write_several_metrics
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd
    from playwright.sync_api import Browser, Page

    from queries import Store

SAES = [(3, 1000, 40), (3, 4000, 10)]


class Texts(HTMLParser):
    """The texts of HTML, by the rows of its tables and items of its lists."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.text = ""
        self._cell: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("tr", "li"):
            self.rows.append([])
        if tag in ("td", "span", "button") and self.rows:
            self._cell = ""

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._cell is not None:
            self._cell += data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "span", "button") and self._cell is not None:
            self.rows[-1].append(self._cell.strip())
            self._cell = None


@dataclass(frozen=True)
class Site:
    folder: Path

    def part(self, *names: str) -> Any:
        return json.loads(zlib.decompress((self.folder / "suites" / Path(*names)).with_suffix(".bin").read_bytes()))

    def concept(self, suite: str, sae: str, concept: str) -> dict[str, Any]:
        folder = self.folder / "suites" / suite / concept.partition(".")[0] / sae
        found: dict[str, Any] = json.loads(zlib.decompress((folder / f"{concept}.bin").read_bytes()))
        return found

    def cosines(self, suite: str, sae: str, concept: str) -> np.ndarray:
        file = self.folder / "suites" / suite / concept.partition(".")[0] / sae / f"{concept}.cos"
        low, high = np.frombuffer(zlib.decompress(file.read_bytes()), np.uint8).reshape(2, -1)
        return np.stack([low, high], axis=1).reshape(-1).view("<i2") / 10_000


@pytest.fixture(scope="module")
def suites(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("suites")
    return [write_tiny_suite(folder / "tiny", saes=SAES), write_several_metrics(folder / "several")]


@pytest.fixture(scope="module")
def store(suites: list[Path]) -> Iterator[Store]:
    with open_store(*suites) as store:
        yield store


@pytest.fixture(scope="module")
def site(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("sites") / "site"
    publish_site(store, folder)
    return Site(folder)


# --- What the files hold -------------------------------------------------------------------------------------------


def each_sae(store: Store) -> Iterator[dict[str, Any]]:
    """Yield, for each suite and SAE, a value for every parameter of every question."""
    for suite, sae in store.fetch("saes")[["suite", "sae"]].itertuples(index=False):
        yield question_values(store, suite=suite, sae=sae) | {"mean_policy": "with_candidates"}


def test_every_number_of_every_sae_and_concept_is_the_stores(store: Store, site: Site) -> None:
    seen = 0
    for values in each_sae(store):
        suite, sae = values["suite"], values["sae"]
        cells = ask(store, "concept_counts", values).set_index("concept")
        counts = re.findall(r'class="count"[^>]*>([^<]*)<', site.part(suite, FAMILY, sae, "sae")["strip"])
        known = [number(value, 0).replace("–", "?") for value in cells["num_absorbing_latents"].astype(float)]
        assert counts == [value if measured else "–" for value, measured in zip(known, cells["measured"], strict=True)]
        for concept in cells.index:
            held = site.concept(suite, sae, concept)
            _expect_concept(store, values | {"concept": concept, "facet_concept": concept, "facet_saes": [sae]}, held)
            cosines = ask(store, "cosines", values | {"concept": concept})
            if len(cosines):
                kept = site.cosines(suite, sae, concept)[cosines["latent"]]
                assert np.abs(kept - cosines["cosine"].to_numpy(float)).max() <= 0.5e-4 + 1e-9
            seen += len(held["opened"])
    assert seen > 200


def _expect_concept(store: Store, values: dict[str, Any], held: dict[str, Any]) -> None:
    """Compare a concept's part with the query results."""
    split, absorbing, summary = (ask(store, name, values) for name in ("split_latents", "absorbing_latents", "summary"))
    assert (held["split"], held["absorbing"]) == (split["latent"].tolist(), absorbing["latent"].tolist())
    rows = [row for row in Texts(held["lists"]).rows if row]
    assert [row[:2] for row in rows] == [
        [str(row.latent), f"cos {number(row.cosine)}"] for frame in (split, absorbing) for row in frame.itertuples()
    ]
    if len(summary):
        of = summary.iloc[0]
        figures = Texts(held["figures"]).text
        for value in (number(of["main_f1"]), percent(of["absorption_rate"]), number(of["num_split_latents"], 0)):
            assert value in figures
    tested = ask(store, "evidence", values | {"evidence_page": None})
    table = re.findall(r"<tr data-token.*?</tr>", held["evidence"], re.DOTALL)
    assert len(table) == len(tested) == len(held["opened"])
    for row, html in zip(tested.itertuples(), table, strict=True):
        cells = re.findall(r'<td class="of-(\w+)"[^>]*>(.*?)</td>', html, re.DOTALL)
        said = {name: Texts(cell).text.strip() for name, cell in cells}
        assert said["token"] == visible(row.token)
        assert said["top_latent"] == str(row.top_latent)
        assert (said["top_effect"], said["top_cosine"]) == (number(row.top_effect, 2), number(row.top_cosine))
        assert said["reason"].startswith("absorbed") == bool(row.absorbed)


def test_atlas_and_search_have_the_stores_numbers(store: Store, site: Site) -> None:
    for suite in store.suites:
        values = {"family": FAMILY, "scope": "suite", "suite": suite, **DECIDING}
        for policy in ("with_candidates", "all_concepts"):
            held = site.part(suite, FAMILY, f"atlas-{policy}")
            means = ask(store, "sae_means", values | {"mean_policy": policy})
            assert held["saes"] == means["sae"].tolist()
            _, *table = Texts(held["table"]).rows
            assert len(table) == len(means)
            for row, cells in zip(means.itertuples(), table, strict=True):
                assert {percent(row.absorption_rate), number(row.num_split_latents, 2)} <= set(cells)
            rates = ask(store, "concept_rates", values)
            for cell in ("absorption_rate", "num_split_latents", "f1_gap"):
                drawn = held["cells"][cell]["plot"]["columns"]["cells"]
                known = rates[rates["sae"].isin(drawn["sae"])]
                assert list(zip(drawn["sae"], drawn["concept"], strict=True)) == list(
                    zip(known["sae"], known["concept"], strict=True)
                )
                written = [re.match(r"[\d.]+|unknown", text)[0] for text in drawn["shown"]]  # type: ignore[index]
                digits = {"absorption_rate": lambda x: f"{100 * x:.1f}", "num_split_latents": lambda x: f"{x:.0f}"}
                write = digits.get(cell, lambda x: f"{x:.3f}")
                values_there = known[cell].astype(float)
                assert written == ["unknown" if np.isnan(x) else write(x).lstrip("-") for x in values_there]
        words = site.part(suite, "search")["tokens"]
        tested = ask(store, "tested_words", values)
        assert [word[:2] for word in words] == [[row.token, row.concept] for row in tested.itertuples()]
        for row, (_, _, html) in zip(tested.itertuples(), words, strict=True):
            assert f"tested on {count(row.num_saes, 'SAE')}, absorbed on {row.num_absorbed}" in Texts(html).text


#: What of parts the page takes for HTML.
_HTML = {
    *("headline", "figures", "no_plot", "highest", "lists", "evidence", "opened", "k_sparse", "head", "table", "html"),
    *("strip", "map", "about", "made", "moved", "verdicts", "latent", "cut", "results", "nothing", "prose"),
}


def _fragments(part: Any, *, is_html: bool = False) -> Iterator[str]:
    if isinstance(part, str):
        if is_html:
            yield part
    elif isinstance(part, dict) and "item" not in part:
        for name, value in part.items():
            yield from _fragments(value, is_html=is_html or name in _HTML)
    elif isinstance(part, list):
        for value in part:
            yield from _fragments(value, is_html=is_html)


def test_no_text_of_a_suite_becomes_markup(tmp_path: Path) -> None:
    with open_store(write_hostile_suite(tmp_path / "hostile")) as store:
        publish_site(store, tmp_path / "site")
    parts = {path: json.loads(zlib.decompress(path.read_bytes())) for path in (tmp_path / "site").rglob("*.bin")}
    fragments = [fragment for part in parts.values() for fragment in _fragments(part)]
    fragments += [word[-1] for part in parts.values() for name in ("tokens", "concepts") for word in part.get(name, ())]
    read = [Reader(fragment) for fragment in fragments]
    assert len(read) > 300
    assert not {found for each in read for found in each.found}
    texts = "\n".join(text for each in read for text in each.texts)
    assert EVIL in texts
    assert "<script>alert(1)</script>" in texts
    page = Reader((tmp_path / "site" / "index.html").read_text(encoding="utf-8"))
    assert page.found.count("<script>") == 8
    assert EVIL in "\n".join(page.texts)


def test_the_page_names_its_scripts_and_reaches_nowhere(site: Site) -> None:
    text = (site.folder / "index.html").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    allowed = dict(part.strip().partition(" ")[::2] for part in policy[1].split(";"))
    inline = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in inline]
    assert allowed["default-src"] == "'none'"
    assert allowed["script-src"].split() == ["'self'", *(f"'sha256-{each}'" for each in hashes)]
    assert allowed["connect-src"] == "'self'"
    # The others are loaded by need.
    scripts = [f"assets/{name}.js" for name in ("bokeh", "reader", "live", "guide", "reader_guide", "site")]
    assert re.findall(r'src="([^"]*)"', text) == scripts
    assert not re.search(r"\son\w+=", text)
    assert "sourceMappingURL" not in (site.folder / "assets" / "bokeh.js").read_text(encoding="utf-8")
    assert (site.folder / ".nojekyll").exists()


# --- Writing it ----------------------------------------------------------------------------------------------------


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["publish", *map(str, arguments)])


def test_the_command_writes_once_and_again_by_force_and_touches_nothing_else(
    store: Store, suites: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    written = run(suites[1], "--to", folder)
    assert written.exit_code == 0, written.stderr
    assert re.fullmatch(rf"{folder}: \d+ files, \d\.\d MB\n", written.stdout)
    for name in ("CNAME", "suites/stale.bin"):
        (folder / name).write_text("mine")
    refused = run(suites[1], "--to", folder)
    assert refused.stderr == (
        f"absorption-explorer: {folder}: contains a site already; give another folder, or --force to replace it\n"
    )
    assert run(suites[1], "--to", folder, "--force").exit_code == 0
    assert (folder / "CNAME").read_text() == "mine"
    assert not (folder / "suites" / "stale.bin").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
    assert set(store.suites) == {"tiny", "several"}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--to", "mine"], "{here}/mine: is not empty, and no site was published there; give another folder"),
        (["--to", "mine", "--force"], "{here}/mine: is not empty, and no site was published there; give another"),
        (["--to", "mine/file"], "{here}/mine/file: is not a folder"),
        (["--to", "no/site"], "{here}/no/site: cannot be written (No such file or directory)"),
        (["--to", "mine/file/site"], "{here}/mine/file/site: cannot be written (Not a directory)"),
    ],
)
def test_bad_input_gets_one_line(suites: list[Path], tmp_path: Path, arguments: list[str], line: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    result = run(suites[1], arguments[0], tmp_path / arguments[1], *arguments[2:])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"absorption-explorer: {line.format(here=tmp_path)}")
    assert result.stderr.count("\n") == 1
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["mine", "mine/file"]


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            r"written \(No space left on device\); make",
        ),
        (PermissionError(errno.EACCES, "Permission denied"), r"site: cannot be written \(Permission denied\); name"),
        (KeyboardInterrupt(), None),
    ],
)
def test_nothing_half_written_is_left(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, said: str | None
) -> None:
    write = Path.write_bytes

    def fail(path: Path, content: bytes) -> int:
        if path.suffix == ".cos":
            raise failure
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else PublishError, match=said):
        publish_site(store, tmp_path / "site")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def two_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reduce a site to two small files, because only their replacement is tested."""
    monkeypatch.setattr(publish, "_files", lambda *_: iter([("index.html", b"new"), ("suites/a.bin", b"new")]))


def everything(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("two_files")
@pytest.mark.parametrize("at", range(1, 7))
@pytest.mark.parametrize("failure", [KeyboardInterrupt(), PermissionError(errno.EACCES, "Permission denied")])
def test_a_replacement_that_is_cut_off_leaves_all_as_it_was(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, at: int
) -> None:
    folder = tmp_path / "site"
    publish_site(store, folder)
    for name in (".git/HEAD", "CNAME"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
    (folder / "index.html").write_text("former")
    was, rename, calls = everything(folder), Path.rename, []

    def fail(path: Path, target: Path) -> Path:
        calls.append(path)
        if len(calls) == at:
            raise failure
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else PublishError):
        publish_site(store, folder, force=True)
    assert everything(folder) == was
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
    monkeypatch.undo()


@pytest.mark.usefixtures("two_files")
def test_a_site_is_replaced_within_its_folder(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "site").symlink_to(tmp_path / "disk")
    monkeypatch.chdir(tmp_path / "site")
    publish_site(store, Path())
    publish_site(store, Path(), force=True)
    assert sorted(everything(Path.cwd())) == ["index.html", "site.json", "suites/a.bin"]
    assert (tmp_path / "site").is_symlink()
    # What is not of the former site is not replaced, and what publish did not write is found before the work.
    (tmp_path / "disk" / "site.json").write_text('{"written": ["index.html", "site.json"]}')
    with pytest.raises(PublishError, match=r"suites: is not part of the site"):
        publish_site(store, Path(), force=True)
    (tmp_path / "disk" / "site.json").write_text("[]")
    with pytest.raises(PublishError, match=r"site\.json: names no site; name another folder"):
        publish_site(store, Path(), force=True)
    assert sorted(everything(Path.cwd())) == ["index.html", "site.json", "suites/a.bin"]


@pytest.mark.usefixtures("two_files")
def test_two_publishes_at_once_write_one_site(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site"

    def meanwhile(*_: object) -> Iterator[tuple[str, bytes]]:
        yield "index.html", b"late"
        with monkeypatch.context() as other:
            other.setattr(publish, "_files", lambda *_: iter([("index.html", b"first")]))
            other.setattr("os.getpid", lambda: 1)
            publish_site(store, folder)

    monkeypatch.setattr(publish, "_files", meanwhile)
    with pytest.raises(PublishError, match="site: contains a site already"):
        publish_site(store, folder)
    assert everything(folder).pop("index.html") == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


@pytest.mark.usefixtures("two_files")
@pytest.mark.parametrize("exists", [True, False])
def test_what_a_killed_publish_left_is_cleared(store: Store, tmp_path: Path, *, exists: bool) -> None:
    folder = tmp_path / "site"
    if exists:
        folder.mkdir()
    left, used = (folder / f".partial.{pid}" if exists else tmp_path / f".site.partial.{pid}" for pid in "12")
    for each in (left, used):
        (each / "suites").mkdir(parents=True)
    held = os.open(used, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    if exists:  # another one is at work in the folder
        with pytest.raises(PublishError, match="is not empty"):
            publish_site(store, folder)
    else:
        publish_site(store, folder)
    os.close(held)
    assert (left.exists(), used.exists()) == (False, True)
    publish_site(store, folder, force=True)
    assert not used.exists()


def test_a_folder_that_cannot_be_read_gets_one_line(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> Iterator[Path]:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", fail)
    with pytest.raises(PublishError, match=r"cannot be written \(Permission denied\)"):
        publish_site(store, tmp_path)


# --- In a browser --------------------------------------------------------------------------------------------------


@pytest.fixture
def open_site(chromium: Browser, site: Site) -> Iterator[Callable[..., Page]]:
    """Open the site; the test fails if it requests other hosts or reports an error."""
    with range_server(site.folder) as (url, _):
        opener = PageOpener(chromium, url)

        def open_page(query: str = "", **options: Any) -> Page:
            page = opener(f"{url}/index.html{query}", **options)
            wait_shown(page)
            return page

        yield open_page
        opener.close()
    assert not opener.external
    assert not opener.problems


def wait_shown(page: Page) -> None:
    wait_for(
        page,
        "() => document.documentElement.matches('.ax-ready:not(.ax-is-busy)')"
        " && document.documentElement.dataset.shown === location.search",
    )


def marked(latents: list[int], cosines: pd.Series) -> dict[str, Any]:
    return {"latent": latents, "x": latents, "cosine": [cosines[latent] for latent in latents]}


@pytest.mark.browser
def test_a_reader_walks_through_all_pages(open_site: Callable[..., Page], store: Store) -> None:
    page = open_site("?suite=tiny")
    values = question_values(store, sae="l3-w1000-l0-40", letter="s")
    wait_figure(page, "cosine")
    page.locator("[data-concept='first-letter.s']").click()
    expect(page.locator("#headline .where")).to_contain_text("Letter S · layer 3, 1k latents")
    cosines = ask(store, "cosines", values).set_index("latent")["cosine"].astype(float)
    split, absorbing = (ask(store, f"{part}_latents", values)["latent"].tolist() for part in ("split", "absorbing"))
    wait_glyph(page, "cosine", SPLIT, **marked(split, cosines))
    wait_glyph(page, "cosine", ABSORBING, **marked(absorbing, cosines))
    tap(page, "cosine", absorbing[0], cosines[absorbing[0]])
    expect(page.locator("#card h2 .term")).to_have_text(f"Latent {absorbing[0]}")
    assert page.url.endswith(
        f"?page=explore&suite=tiny&sae=l3-w1000-l0-40&concept=first-letter.s&latent={absorbing[0]}"
    )
    # Another SAE, by its width, with the same concept.
    page.get_by_role("radiogroup", name="Width").get_by_role("radio", name="4k").click()
    expect(page.locator("#headline .where")).to_contain_text("4k latents, L0 10")
    expect(page.locator("#card")).to_be_hidden()
    page.locator("#headline h1").click()  # among the widths the arrow keys walk from one to the next
    page.keyboard.press("ArrowRight")
    expect(page.locator("#headline .where")).to_contain_text("Letter T")
    # Atlas: the ring is where the reader is, and a tap on a cell opens it.
    page.keyboard.press("g")
    page.keyboard.press("a")
    wait_figure(page, "absorption-heatmap")
    assert glyphs(page, "absorption-vs-l0")[-1]["data"]["sae"] == ["l3-w4000-l0-10"]
    rings = glyphs(page, "absorption-heatmap")[-1]["data"]
    assert (rings["sae"], rings["concept"]) == (["l3-w4000-l0-10"], ["first-letter.t"])
    page.get_by_role("radio", name="split latents", exact=True).click()
    expect(page.get_by_role("radio", name="split latents", exact=True)).to_be_checked()
    assert "cell=num_split_latents" in page.url
    page.locator("#atlas-table th button", has_text="Rate").click()
    expect(page.locator("#atlas-table th", has_text="Rate")).to_have_attribute("aria-sort", "descending")
    tap(page, "absorption-heatmap", 0, 1)
    expect(page.locator("#headline .where")).to_contain_text("Letter S · layer 3, 1k latents, L0 40, seed 0")
    page.go_back()
    wait_shown(page)
    assert "page=atlas" in page.url
    # A word that is looked for leads to its verdicts.
    page.keyboard.press("/")
    page.get_by_role("combobox", name="Search").fill("short")
    expect(page.locator("#found [role=option]").first).to_contain_text("absorbed on")
    page.keyboard.press("Enter")
    expect(page.locator("#evidence")).to_contain_text("Tokens tested for S")
    shown = page.locator("#evidence .tokens-tested > tbody > tr:visible code.token")
    assert {text.lstrip("␣").lower() for text in shown.all_inner_texts()} == {"short"}
    page.get_by_role("radio", name="absorbed", exact=True).click()
    expect(page.locator("#none-found")).to_be_visible()
    # Another suite, with parts of its own.
    page.locator("#suite").select_option("several")
    expect(page.locator("#evidence")).to_contain_text("Tokens tested for S (200)")
    expect(page.locator("#about")).to_contain_text("several")


_SAID = """() => {
  const text = (id) => document.getElementById(id).textContent.replace(/\\s+/g, " ").trim();
  const rows = [...document.querySelectorAll("#evidence tr[data-token]")];
  const cell = (row, name) => row.querySelector(`.of-${name}`).textContent.replace(/\\s+/g, " ").trim();
  return {
    headline: text("headline"), figures: text("figures"), lists: text("lists"),
    names: [...document.querySelectorAll("#lists li button")].map((each) => each.ariaLabel),
    verdicts: Object.fromEntries(rows.map((row) => [row.dataset.token, [cell(row, "reason"), cell(row, "why")]])),
    cells: [...document.querySelectorAll("#concepts [data-concept]")].map((each) => each.title),
    shades: [...document.querySelectorAll("#concepts [data-concept]")]
      .map((each) => parseInt(each.style.cssText.match(/ (\\d+)%/)?.[1] ?? 0)),
  };
}"""


def _plain(html: str) -> str:
    return " ".join(Texts(html).text.split())


@pytest.mark.browser
def test_thresholds_are_live(open_site: Callable[..., Page], store: Store) -> None:
    page = open_site("?suite=tiny")
    moved: list[dict[str, float]] = [{"cosine_threshold": 0.12}, {"effect_margin": 2.5}, {"tau": 0.2}, {"tau": 0.0}]
    moved += [{"tau": 0.1, "cosine_threshold": -0.1, "effect_margin": 0.0}]
    random = np.random.default_rng(3)
    bounds = {name: ExplorerState.param[name].softbounds for name in ("tau", "cosine_threshold", "effect_margin")}
    moved += [{name: round(random.uniform(*ends), 3) for name, ends in bounds.items()} for _ in range(3)]
    saes = ("l3-w1000-l0-40", "l3-w4000-l0-10-s1")
    places = [("tiny", sae, f"first-letter.{letter}") for sae, letter in product(saes, "sq")]
    seen = set()
    for (suite, sae, concept), thresholds in product([*places, ("several", "l0-w1000-l0-10", "first-letter.s")], moved):
        state = ExplorerState(choices_of(store), suite=suite, sae=sae, concept=concept, **thresholds)
        model = ExplorerModel(store, state, *SHOWN)
        tested = judged(model.whole("concept_evidence"), model.shown)
        cells = concept_cells(model.concepts, model.shown.rate_label)
        lists = lists_html(model, selected=None)
        values = {
            "suite": suite,
            "sae": sae,
            "concept": concept,
            **dict.fromkeys(("tau", "cosine_threshold", "effect_margin")),
            **thresholds,
        }
        page.evaluate("(values) => reader.go(values)", values)
        wait_shown(page)
        said = page.evaluate(_SAID)
        assert said["headline"] == _plain(sentence_html(model, live=False))
        assert said["figures"] == _plain(figures_html(model))
        assert said["lists"] == _plain(lists)
        names = re.findall(r'aria-label="((?:Split|Absorbing) latent [^"]*)"', lists)
        assert said["names"] == [unescape(name) for name in names]
        assert said["cells"] == [f"{cell['name']}: {cell['label']}" for cell in cells]
        assert said["shades"] == [cell["shade"] for cell in cells]
        assert {token: why for token, (_, why) in said["verdicts"].items()} == {
            row["token"]: row["why"] for row in tested
        }
        assert {token: verdict.startswith("absorbed") for token, (verdict, _) in said["verdicts"].items()} == {
            row["token"]: bool(row["absorbed"]) for row in tested
        }
        if sae == saes[0]:  # of the others no cosines are drawn
            drawn = [set(glyphs(page, "cosine")[nth]["data"]["latent"]) for nth in (SPLIT, ABSORBING)]
            split = set(model.split_latents["latent"])
            assert drawn == [split, set(model.absorbing_latents["latent"]) - split]
        seen.add(said["headline"])
    assert len(seen) > 12
    # The slider does the same, and what is moved can be taken back.
    page.locator("[data-threshold=effect_margin]").fill("4")
    wait_for(page, "() => location.search.includes('effect_margin=4')")
    expect(page.locator("#thresholds-head")).to_contain_text("differs from this suite's own")
    page.locator("[data-action=reset]").click()
    wait_for(page, "() => !/tau|margin|threshold/.test(location.search)")
    expect(page.locator("#moved")).to_be_hidden()


_PAIR = """() => {
  const [head, table] = ["pair-head", "pair-table"].map((id) => document.getElementById(id));
  const chosen = [...head.querySelectorAll("option[selected]")].map(({ value }) => value);
  const titles = [...table.querySelectorAll("[title]")].map(({ title }) => title);
  return { head: head.innerHTML, table: table.innerHTML, chosen, titles };
}"""


@pytest.mark.browser
def test_pairs_are_the_pages(open_site: Callable[..., Page], store: Store) -> None:
    page = open_site("?page=compare&suite=tiny&compare_by=pair")
    choices = choices_of(store)
    random = np.random.default_rng(1)
    pairs = [
        (suite, one.id, other_suite, other.id)
        for suite, other_suite in product(choices, choices)
        for one, other in product(choices[suite].saes, choices[other_suite].saes)
        if (suite, one.id) != (other_suite, other.id)
    ]
    seen = set()
    for nth, (suite, sae, other_suite, other) in enumerate(pairs):
        state = ExplorerState(choices, page="compare", compare_by="pair", suite=suite, sae=sae)
        wanted: dict[str, Any] = {
            "suite": suite,
            "other_suite": None if other_suite == suite else other_suite,
            "other_sae": None if nth % 5 == 0 else other,
            "concept": list(choices[suite].concepts)[nth % len(choices[suite].concepts)],
            "mean_policy": state.param.mean_policy.objects[nth % 2],
            "dark": False,
        }
        for name, own in state.thresholds_of_suite._asdict().items():
            moved = nth % 3 and name in state.movable
            wanted[name] = round(random.uniform(*state.param[name].softbounds), 3) if moved else own
        assert not state.apply(wanted)
        model = ExplorerModel(store, state, PairView)
        page.evaluate("(values) => reader.go(values)", wanted | {"page": "compare", "suite": suite, "sae": sae})
        wait_shown(page)
        said = page.evaluate(_PAIR)
        head, table = pair_head_html(model), pair_tables_html(model)
        assert _plain(said["head"]) == _plain(head), wanted
        assert said["chosen"] == re.findall(r'value="([^"]*)" selected', head)
        assert [row for row in Texts(said["table"]).rows if row] == [row for row in Texts(table).rows if row], wanted
        assert _plain(said["table"]).replace(" ", "") == _plain(table).replace(" ", "")
        assert said["titles"] == [unescape(title) for title in re.findall(r'title="([^"]*)"', table)]
        drawn = pair_drawing(model)().layers[2].source()  # type: ignore[union-attr]
        assert page.locator("#pair-rates-plot").is_visible() == bool(len(drawn["concept"]))
        if len(drawn["concept"]):
            data = glyphs(page, "pair-rates")[2]["data"]
            for name in ("concept", "this", "other", "difference", "place"):
                assert list(data[name]) == drawn[name].tolist()
        seen.add(_plain(head))
    assert len(seen) > 12
    # What is chosen on the page stands in its address, and the dialog cites it.
    start = {"page": "compare", "suite": "tiny", "sae": "l3-w1000-l0-40", "other_suite": None, "other_sae": None}
    page.evaluate("(values) => reader.go(values)", start | dict.fromkeys(state.thresholds_of_suite._fields))
    wait_shown(page)
    page.locator("#other").select_option("l3-w4000-l0-10-s1")
    wait_for(page, "() => location.search.includes('other_sae=l3-w4000-l0-10-s1')")
    wait_shown(page)
    page.locator("[data-action=swap]").click()
    wait_for(page, "() => location.search.includes('other_sae=l3-w1000-l0-40')")
    wait_shown(page)
    expect(page.locator("#pair-head strong").first).to_have_text("layer 3, 4k latents, L0 10, seed 1")
    for name, where in [("pair-rates", "compare"), ("cosine", "explore"), ("absorption-heatmap", "atlas")]:
        page.evaluate("(name) => reader.acts.page(name)", where)
        wait_shown(page)
        page.locator(f"[data-page={where}] [data-cite={name}]").click()
        concept = page.evaluate("reader.place.concept")
        state = ExplorerState(choices, suite="tiny", sae="l3-w4000-l0-10-s1", concept=concept)
        model = ExplorerModel(store, state, EMBEDS[name].view)
        address = page.locator("#cite [data-copy]").last.get_attribute("data-copy")
        assert address == page.url
        cited = cite(
            f"{EMBEDS[name].title}: {subject_of(model, EMBEDS[name].view)}",
            cited_suite(model),
            program=version("absorption-explorer"),
            on=datetime.now(UTC).date(),
            address=address,
            name=name,
        )
        assert page.locator("#cite pre").all_text_contents() == [cited.text, cited.bibtex, address]
        page.keyboard.press("Escape")
        expect(page.locator("#cite dialog")).to_have_count(0)


_ATLAS = """() => {
  const text = (cell) => cell.textContent.trim();
  return {
    rows: [...document.querySelectorAll("#atlas-table tbody tr")].map((row) => [...row.cells].map(text)),
    labels: [...document.querySelectorAll("#atlas-table tbody tr:first-child td")].map(({ dataset }) => dataset.label),
    legend: document.querySelector("#absorption-heatmap-head .legend").textContent.replace(/\\s+/g, " ").trim(),
    highest: [...document.querySelectorAll("#absorption-heatmap-table tbody td")].map(text),
  };
}"""


@pytest.mark.browser
def test_atlas_follows_thresholds(open_site: Callable[..., Page], store: Store) -> None:
    page = open_site("?page=atlas&suite=tiny")
    moved: list[dict[str, float]] = [
        {"cosine_threshold": 0.12},
        {"tau": 0.2, "effect_margin": 2.5},
        {"effect_margin": 4},
    ]
    settings = [*product(["tiny"], moved, ["with_candidates"]), ("several", moved[1], "all_concepts")]
    cells = ExplorerState.param.cell.objects
    for nth, (suite, thresholds, policy) in enumerate(settings):
        values = {"suite": suite, "mean_policy": policy, "cell": cells[nth % 2], **thresholds}
        state = ExplorerState(choices_of(store), page="atlas", **values)
        model = ExplorerModel(store, state, Atlas, HeatMapView)
        page.evaluate(
            "(values) => reader.go(values)",
            {"sae": state.sae, "concept": state.concept} | dict.fromkeys(state.thresholds_of_suite._fields) | values,
        )
        wait_shown(page)
        wait_figure(page, "absorption-heatmap")
        said = page.evaluate(_ATLAS)
        rows = dict(zip(said["labels"], zip(*said["rows"], strict=True), strict=True))
        means = model.sae_means.to_dict("records")
        assert list(rows["Rate"]) == [percent(row["absorption_rate"]) for row in means]
        assert list(rows["± letters"]) == [percent(row["absorption_sd"]) for row in means]
        assert list(rows["Splits"]) == [number(row["num_split_latents"], 2) for row in means]
        table = dict(re.findall(r'data-label="([^"]*)">([^<]*)</td>', means_html(model)))
        assert {name: texts[-1] for name, texts in rows.items() if name in table and name != "Rate"} == {
            name: text.strip() for name, text in table.items() if name in rows and name != "Rate"
        }
        assert said["legend"] == _plain(re.search(r'<div class="legend">.*?</div>', map_head_html(model), re.DOTALL)[0])  # type: ignore[index]
        highest = highest_cells(model)
        assert highest is not None
        assert said["highest"] == [str(text) for row in highest.rows() for text in row]
        for name, draw in {
            "absorption-heatmap": map_drawing(model),
            **{panel: panel_drawing(model, panel) for panel in ("absorption-vs-l0", "splits-vs-l0")},
        }.items():
            layers = replacement_data([draw(theme=LIGHT), draw(theme=DARK)])["columns"]
            drawn = glyphs(page, name)
            for layer, glyph in zip(layers, drawn, strict=True):
                for column, its in layers[layer].items():
                    found = glyph["data"][column] if layer != "current" else its
                    if its and isinstance(its[0], float):
                        assert np.allclose(np.array(found, float), np.array(its, float), atol=1e-4, equal_nan=True)
                    else:
                        assert found == its, (name, layer, column)


@pytest.mark.browser
def test_a_tour_compares_two_saes(chromium: Browser, tmp_path: Path) -> None:
    widths = write_tiny_suite(tmp_path / "tiny", saes=[(3, 1000, 40), (3, 4000, 40)])
    with open_store(widths) as store:
        publish_site(store, tmp_path / "site")
        steps = rendered_tour(store, "tiny", "does-a-wider-sae-help").steps
    with range_server(tmp_path / "site") as (url, _):
        opener = PageOpener(chromium, url)
        # What is set before a tour, a step takes back: another SAE to compare with, moved thresholds.
        moved = "suite=tiny&tau=0.05&other_sae=l3-w4000-l0-40-s1"
        page = opener(f"{url}/index.html?page=evidence&{moved}")
        wait_shown(page)
        before = page.url
        page.get_by_role("button", name="Help").click()
        page.get_by_role("button", name="Does a wider SAE help?").click()
        for number, step in enumerate(steps, 1):
            expect(page.locator(f"[data-step$=' {number}'][data-placed]")).to_be_visible()
            expect(page.locator(".ax-tour-ring")).to_be_visible()
            expect(page.get_by_role("dialog", name=step.title)).to_be_visible()
            wait_shown(page)
            told = {"tour": "does-a-wider-sae-help", "tour_step": str(number)}
            assert dict(parse_qsl(urlsplit(page.url).query)) == dict(step.state) | told
            if number == 2:
                page.reload()
                expect(page.locator("[data-step$=' 2'][data-placed]")).to_be_visible()
                expect(page.locator("#pair-head strong").first).to_have_text("layer 3, 1k latents, L0 40, seed 0")
            page.keyboard.press("ArrowRight")
        page.go_back()
        expect(page.get_by_role("dialog", name=steps[-2].title)).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("[data-tour]")).to_have_count(0)
        assert before != page.url
        opener.close()
    assert not opener.external
    assert not opener.problems


def test_a_site_has_what_steps_of_tours_point_at(site: Site) -> None:
    page = (site.folder / "index.html").read_text(encoding="utf-8")
    [names] = re.findall(r"const NAMES = \{(.*?)\}", (STATIC / "guide.js").read_text(encoding="utf-8"))
    named = dict(re.findall(r'([\w-]+): "([\w-]+)"', names))
    ids = set(re.findall(r' id="([^"]+)"', page))
    assert {name for name in ANCHORS if not {named.get(name, name), f"{name}-plot"} & ids} == set(NOT_HERE)


@pytest.mark.browser
def test_a_link_of_the_served_page_leads_to_the_same(open_site: Callable[..., Page]) -> None:
    page = open_site("?page=explore&suite=tiny&sae=l3-w4000-l0-10&concept=first-letter.l&tau=0.03", dark=True)
    expect(page.locator("#headline .where")).to_contain_text("Letter L · layer 3, 4k latents, L0 10")
    page.evaluate("reader.go({page: 'compare'})")  # whose plot is drawn now, for dark, too
    wait_shown(page)
    assert page.evaluate("reader.figures['pair-rates'].model.below[0].axis_line_color") == DARK.rule
    page = open_site("?suite=nowhere&sae=%3Cb%3E&concept=x&latent=-1&page=y&metric=full")
    expect(page.locator("#headline .where")).to_contain_text("Letter A · layer 3, 1k latents")
    expect(page.locator("#refused-names")).to_have_text("nowhere, <b>, x, full, y")
    # One of old, and what is no name of a suite, though every object of JavaScript has it.
    for query, where, refused in [
        ("?layer=3&sae_width=4000&l0=10&letter=L", "Letter L · layer 3, 4k latents, L0 10", None),
        ("?suite=tiny&layer=7&tau=9&metric=x", "Letter A · layer 3, 1k latents", "x, layer=7, tau=9"),
        ("?suite=constructor&concept=toString&sae=", "Letter A · layer 3, 1k latents", "constructor, toString"),
    ]:
        page = open_site(query)
        expect(page.locator("#headline .where")).to_contain_text(where)
        expect(page.locator("#refused")).to_be_visible(visible=refused is not None)
        assert page.locator("#refused-names").text_content() == (refused or "")


@pytest.mark.browser
def test_a_choice_builds_on_one_that_is_still_loading(open_site: Callable[..., Page]) -> None:
    page = open_site("?suite=tiny&sae=l3-w1000-l0-40&concept=first-letter.s")
    page.evaluate("""() => {
      reader.acts.sae("l3-w4000-l0-10");
      reader.acts.concept("first-letter.q");
      reader.acts.page("evidence");
    }""")
    wait_shown(page)
    assert page.url.endswith("?page=evidence&suite=tiny&sae=l3-w4000-l0-10&concept=first-letter.q")
    expect(page.locator("#evidence")).to_contain_text("Tokens tested for Q")


@pytest.mark.browser
def test_a_part_that_does_not_load_is_told_of(chromium: Browser, site: Site) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.goto((site.folder / "index.html").as_uri())
    expect(page.locator("#failed")).to_contain_text("python -m http.server")
    with range_server(site.folder) as (url, _):
        page.goto(f"{url}/index.html?suite=tiny")
        wait_for(page, "() => document.documentElement.matches('.ax-ready:not(.ax-is-busy)')")
        expect(page.locator("#failed")).to_be_hidden()
        page.route("**/several/**", lambda route: route.abort())
        page.locator("#suite").select_option("several")
        expect(page.locator("#failed")).to_be_visible()
        expect(page.locator("#suite")).to_have_value("tiny")
        page.unroute("**/several/**")
        page.locator("#suite").select_option("several")
        expect(page.locator("#headline .where")).to_contain_text("layer 0")
        expect(page.locator("#failed")).to_be_hidden()
        page.route("**/search.bin", lambda route: route.abort())
        page.get_by_role("combobox", name="Search").fill("s")
        expect(page.get_by_text("The search could not be loaded.")).to_be_visible()
    context.close()


@pytest.mark.browser
@pytest.mark.parametrize("width", [1440, 390])
def test_nothing_serious_stands_in_anybodys_way(open_site: Callable[..., Page], width: int) -> None:
    page = open_site("?suite=tiny&sae=l3-w1000-l0-40&concept=first-letter.s", width=width)
    page.locator("#lists [data-action=latent]").last.click()
    expect(page.locator("#card")).to_be_visible()
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8"))
    for name in ("explore", "compare", "atlas", "evidence"):
        page.evaluate("(name) => reader.acts.page(name)", name)
        expect(page.locator(f"[data-page={name}]:not(.away)")).to_have_count(1)
        for theme in ("light", "dark"):
            if page.evaluate("reader.isDark()") != (theme == "dark"):
                page.locator("[data-action=dark]").click()
            found = page.evaluate("() => axe.run({resultTypes: ['violations'], rules: {region: {enabled: false}}})")
            serious = [
                (rule["id"], [node["html"][:160] for node in rule["nodes"]])
                for rule in found["violations"]
                if rule["impact"] in ("serious", "critical")
            ]
            assert serious == [], (name, theme)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
