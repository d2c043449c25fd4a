"""Standalone snapshots: the contents of the file, its safety, and its use without a network."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import expect
from typer.testing import CliRunner, Result

from explorer import Explorer, SnapshotError, open_store, save_snapshot
from explorer.cli import app
from explorer.model import choices_of
from explorer.plots.cosine import cosine_plot
from explorer.plots.standalone import standalone
from explorer.state import ExplorerState
from explorer.theme import DARK, LIGHT
from explorer.views.markup import Markup, visible
from queries import QueryError
from queries.schema import concept_id
from tests.browser import PageOpener, ask_model, drag, figure, glyphs, point, tap, wait_figure, wait_for, wait_glyph
from tests.cited import cited_texts
from tests.explore import ABSORBING, LINE, RING, SPLIT
from tests.hostile_suite import EVIL, HOSTILE, Reader, write_hostile_suite
from tests.questions import DECIDING, THRESHOLDS, keys
from tests.tiny_sae import LETTERS
from tests.tiny_suite import write_tiny_suite
from tests.unmeasured import list_letters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from queries import Store

SAE: dict[str, Any] = {"layer": 3, "width": 4000, "l0": 10}
SAES = [(3, 4000, 10)]


class _Page(HTMLParser):
    """Collects scripts, and everything that could access resources outside the file."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[tuple[str | None, str]] = []
        self.reaches: list[str] = []
        self.handlers: list[str] = []
        self.policy = ""
        self._type: str | None = None
        self._is_script = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._is_script = tag == "script"
        self._type = given.get("type")
        self.handlers += [name for name in given if name.startswith("on")]
        self.reaches += [given[name] or "" for name in ("src", "srcset", "data") if name in given]
        if tag != "a" and "href" in given:
            self.reaches.append(given["href"] or "")
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""

    def handle_data(self, data: str) -> None:
        if self._is_script:
            self.scripts.append((self._type, data))

    def handle_endtag(self, _tag: str) -> None:
        self._is_script = False


@dataclass(frozen=True)
class Snapshot:
    path: Path

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def data(self) -> dict[str, Any]:
        (text,) = (text for kind, text in _Page(self.text).scripts if kind == "application/json")
        assert "<" not in text
        return json.loads(text)

    @property
    def parts(self) -> dict[str, str]:
        """The compressed parts, by file name."""
        return {path.rpartition("/")[-1]: part for path, part in self.data["parts"].items()}

    @property
    def start(self) -> dict[str, Any]:
        (suite,) = self.data["suites"].values()
        return suite["start"]

    @property
    def labels(self) -> dict[str, str]:
        (suite,) = self.data["suites"].values()
        (family,) = suite["families"].values()
        return {concept: label for concept, (label, _) in family.items()}

    def concept(self, letter: str) -> dict[str, Any]:
        return unpacked(self.parts[f"{concept_id(letter)}.bin"])

    def fragments(self) -> list[str]:
        """All HTML that the script puts into the page."""
        found = [card["html"] for card in unpacked(self.parts["cards.bin"]).values()]
        found += [unpacked(self.parts["sae.bin"])["strip"], *unpacked(self.parts["family.bin"])["prose"].values()]
        for packed in (self.parts[f"{concept}.bin"] for concept in self.labels):
            concept = unpacked(packed)
            found += concept["opened"]
            found += [value for value in concept.values() if isinstance(value, str)]
        return found

    def cosines(self, letter: str) -> np.ndarray:
        low, high = np.frombuffer(_bytes(self.parts[f"{concept_id(letter)}.cos"]), np.uint8).reshape(2, -1).astype(int)
        whole = low + 256 * high
        whole = np.where(whole >= 2**15, whole - 2**16, whole)
        return np.where(whole == -(2**15), np.nan, whole / 10_000)


def _bytes(packed: str) -> bytes:
    return zlib.decompress(base64.b64decode(packed))


def unpacked(packed: str) -> dict[str, Any]:
    return json.loads(_bytes(packed))


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return list_letters(write_tiny_suite(tmp_path_factory.mktemp("suites") / "tiny", saes=SAES))


@pytest.fixture(scope="module")
def store(suite: Path) -> Iterator[Store]:
    with open_store(suite) as store:
        yield store


@pytest.fixture(scope="module")
def snapshot(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return Snapshot(save_snapshot(store, tmp_path_factory.mktemp("made") / "tiny.html", letter="s"))


def fetch(store: Store, query: str, letter: str, **params: Any) -> pd.DataFrame:
    thresholds = {} if query in ("cosines", "token_latents") else DECIDING
    thresholds = {"tau": THRESHOLDS["tau"]} if query in ("split_latents", "k_sparse") else thresholds
    return store.fetch(query, **keys(suite="tiny", **SAE, letter=letter, **thresholds, **params))


# --- Contents of the file ------------------------------------------------------------------------------------------


def test_snapshot_contains_every_number_of_all_concepts(store: Store, snapshot: Snapshot) -> None:
    assert list(snapshot.labels.items()) == [(concept_id(letter), letter.upper()) for letter in sorted(LETTERS)]
    for letter in LETTERS:
        held = snapshot.concept(letter)
        cosines = fetch(store, "cosines", letter)
        # Four decimals are displayed, so rounding to four loses nothing.
        shown = [f"{cosine:.4f}" for cosine in cosines["cosine"]]
        assert [f"{cosine:.4f}".replace("-0.0000", "0.0000") for cosine in snapshot.cosines(letter)] == [
            cosine.replace("-0.0000", "0.0000") for cosine in shown
        ]
        marks = {int(latent): cosine for latent, cosine in held["marks"].items()}
        split = fetch(store, "split_latents", letter)["latent"].tolist()
        absorbing = fetch(store, "absorbing_latents", letter)["latent"].tolist()
        assert (held["split"], held["absorbing"]) == (split, absorbing)
        exact = cosines.set_index("latent")["cosine"]
        assert marks == {latent: exact[latent] for latent in {*split, *absorbing}}
    tested = {letter: len(snapshot.concept(letter)["opened"]) for letter in LETTERS}
    assert tested == {"a": 6, "b": 4, "l": 4, "q": 0, "s": 12, "t": 6}
    cards = unpacked(snapshot.parts["cards.bin"])
    assert {str(latent) for letter in LETTERS for latent in snapshot.concept(letter)["marks"]} <= set(cards)
    assert all("Top activating contexts" in card["html"] for card in cards.values())


def test_rows_are_sorted_by_unrounded_values(store: Store, snapshot: Snapshot) -> None:
    order = snapshot.concept("s")["order"]
    latents = fetch(store, "token_latents", "s", token=None)
    strongest = latents.groupby("token")["effect"].first()
    tokens = [re.sub("<[^>]+>", "", text) for text in re.findall(r'<code class="token">.*?</code>', _rows(snapshot))]
    assert len(tokens) == len(order["token"]["rows"])
    assert set(order) >= {"token", "top_latent", "top_effect", "margin", "reason"}
    assert all(sorted(column["rows"]) == list(range(12)) for column in order.values())
    assert len(strongest) == 12
    assert order["top_effect"]["rows"] == list(range(12)), "the page's own order comes first"


def _rows(snapshot: Snapshot) -> str:
    return str(snapshot.concept("s")["evidence"])


def test_no_text_of_the_suite_becomes_markup(tmp_path: Path) -> None:
    with open_store(write_hostile_suite(tmp_path / "hostile")) as store:
        snapshot = Snapshot(save_snapshot(store, tmp_path / "hostile.html", letter="s"))
    fragments = [Reader(fragment) for fragment in snapshot.fragments()]
    assert len(fragments) > 50
    assert not {found for fragment in fragments for found in fragment.found}
    assert Reader(snapshot.text).found == [
        "link href='data:,'",
        "a href='#ax-main'",
        *["<script>"] * 6,
    ]
    # Nor was it omitted: all of it is contained, as text.
    texts = "\n".join(text for fragment in fragments for text in fragment.texts)
    for hostile in (*HOSTILE.values(), "<script>alert(1)</script>"):
        assert hostile in texts or visible(hostile) in texts, hostile
    assert EVIL in texts
    assert EVIL in "\n".join(Reader(snapshot.text).texts)


def test_file_uses_no_network_and_runs_only_its_own_scripts(snapshot: Snapshot) -> None:
    page = _Page(snapshot.text)
    assert page.reaches == ["data:,"]
    assert not page.handlers
    scripts = [text for kind, text in page.scripts if kind is None]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    assert len(scripts) == 5
    allowed = dict(part.strip().partition(" ")[::2] for part in page.policy.split(";"))
    assert allowed["default-src"] == "'none'"
    assert allowed["script-src"].split() == [f"'sha256-{each}'" for each in hashes]
    assert (allowed["base-uri"], allowed["form-action"]) == ("'none'", "'none'")
    assert "sourceMappingURL" not in snapshot.text


def test_thresholds_and_origin_are_named(store: Store, snapshot: Snapshot, tmp_path: Path) -> None:
    assert "effect margin 1.0 logits, the suite's own" in snapshot.text
    assert "from suite tiny" in snapshot.text
    assert "Numbers drawn at random." in snapshot.text
    other = Snapshot(save_snapshot(store, tmp_path / "other.html", tau=0.1, letter="t"))
    assert "tau 0.1," in other.text
    assert "the suite was measured with tau 0.03" in other.text
    assert "tau=0.1" in other.text, "the address of the same view"
    assert (
        other.concept("t")["split"]
        == store.fetch("split_latents", **keys(suite="tiny", **SAE, letter="t", tau=0.1))["latent"].tolist()
    )


def test_missing_tables_are_named(tmp_path: Path) -> None:
    without = ("k_sparse", "encoder_top", "latents")
    bare = write_tiny_suite(tmp_path / "bare", cosines=False, examples=False, activations=False, without=without)
    with open_store(bare) as store:
        snapshot = Snapshot(save_snapshot(store, tmp_path / "bare.html", **SAE))
    missing = "the cosines of this SAE; text, output tokens and histograms of its latents; scores of k-sparse probes"
    assert f"not in this snapshot: {missing}.</p>" in snapshot.text
    assert not len(snapshot.cosines("s"))
    assert snapshot.concept("s")["bars"] is None
    assert "This suite stores no cosines for this SAE" in snapshot.concept("s")["no_plot"]


def test_sixteen_thousand_latents_take_less_than_eight_megabytes(tmp_path: Path) -> None:
    suite = write_tiny_suite(tmp_path / "wide", saes=[(0, 16000, 10)])
    with open_store(suite) as store:
        snapshot = Snapshot(save_snapshot(store, tmp_path / "wide.html"))
    of_concepts = sum(len(part) for name, part in snapshot.parts.items() if name.startswith("first-letter."))
    assert len(snapshot.cosines("s")) == 16_384
    # The suite has six letters, and random cosines, which compress worse than real ones.
    assert snapshot.path.stat().st_size + of_concepts * (26 / len(LETTERS) - 1) < 8e6


def test_plots_have_the_colours_of_both_themes() -> None:
    frame = pd.DataFrame({"latent": [0, 1, 2], "cosine": [0.1, 0.2, 0.3]})
    made = standalone(
        lambda theme: cosine_plot(frame, split=[0], absorbing=[1], selected=2, threshold=0.025, theme=theme).draw(),
        ("line", "band", "split", "absorbing", "selected"),
    )
    light, dark = made["themes"]["light"], made["themes"]["dark"]
    assert [change[:2] for change in light] == [change[:2] for change in dark]
    assert {value for *_, value in light} <= {LIGHT.ink, LIGHT.muted, LIGHT.rule, LIGHT.paper, *_marks(LIGHT)}
    assert {value for *_, value in dark} <= {DARK.ink, DARK.muted, DARK.rule, DARK.paper, *_marks(DARK)}
    assert set(_marks(DARK)) <= {value for *_, value in dark}
    assert "BoxSelectTool" not in json.dumps(made["item"])


def _marks(theme: Any) -> tuple[str, ...]:
    return theme.split, theme.absorbing, theme.other


# --- Making it -----------------------------------------------------------------------------------------------------


def test_progress_is_reported(store: Store, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    save_snapshot(store, tmp_path / "a.html", progress=lambda *step: steps.append(step))
    assert [what for what, *_ in steps] == [
        *(f"Letter {letter.upper()}" for letter in sorted(LETTERS)),
        "Cards",
        "Done",
    ]
    assert [done for _, done, _ in steps] == list(range(8))
    assert {total for *_, total in steps} == {7}


def test_existing_file_is_replaced_only_with_force(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text("mine")
    with pytest.raises(SnapshotError, match=r"a\.html: exists already"):
        save_snapshot(store, path)
    assert path.read_text() == "mine"
    save_snapshot(store, path, force=True)
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_failed_snapshot_leaves_no_files(suite: Path, tmp_path: Path) -> None:
    with open_store(suite) as store:
        pass
    path = tmp_path / "a.html"
    path.write_text("mine")
    with pytest.raises(SnapshotError, match="the store is closed"):
        save_snapshot(store, path, force=True)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with open_store(suite) as store, pytest.raises(KeyboardInterrupt):
        save_snapshot(store, path, force=True, progress=stop)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "mine"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["snapshot", *map(str, arguments)])


def test_command_writes_and_prints_the_size(suite: Path, tmp_path: Path) -> None:
    made = run(suite, "-o", tmp_path / "a.html", "--layer", 3, "--width", 4000, "--l0", 10, "--letter", "T")
    assert made.exit_code == 0, made.stderr
    assert re.fullmatch(rf"{tmp_path}/a\.html: \d\.\d MB\n", made.stdout)
    assert Snapshot(tmp_path / "a.html").start["concept"] == concept_id("t")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["-o", "there.html"], "{here}/there.html: exists already; give another name, or --force"),
        (["-o", "."], "{here}: is a folder"),
        (["-o", "no/a.html"], "{here}/no/a.html: cannot be written (No such file or directory)"),
        (["-o", "there.html/a.html"], "{here}/there.html/a.html: cannot be written (Not a directory)"),
        (["-o", "a.html", "--layer", "9"], "layer = '9' does not exist here (there is 3)"),
        (["-o", "a.html", "--letter", "7"], "concept = 'first-letter.7' does not exist here"),
        (["-o", "a.html", "--concept", "S"], "concept = 'S' does not exist here"),
        (
            ["-o", "a.html", "--sae", "l3"],
            "sae = 'l3' does not exist here (there is l3-w4000-l0-10, l3-w4000-l0-10-s1)",
        ),
        (["-o", "a.html", "--latent", "99999"], "latent = '99999' does not exist here"),
    ],
)
def test_invalid_input_is_reported_in_one_line(suite: Path, tmp_path: Path, arguments: list[str], line: str) -> None:
    (tmp_path / "there.html").touch()
    arguments = [arguments[0], str(tmp_path / arguments[1]), *arguments[2:]]
    result = run(suite, *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"absorption-explorer: {line.format(here=tmp_path)}")
    assert result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["there.html"]


def test_missing_suite_is_named(tmp_path: Path) -> None:
    result = run(tmp_path / "none", "-o", tmp_path / "a.html")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"absorption-explorer: {tmp_path / 'none'}: no such folder")


def test_page_sends_a_snapshot_of_its_state(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, bytes, str]] = []
    shown: set[str] = set()

    def send(header: Markup, name: str, pieces: Iterable[bytes], kind: str, _: object) -> None:
        shown.add(header.html)
        sent.append((name, b"".join(pieces), kind))

    monkeypatch.setattr(Markup, "send_file", send)
    explorer = Explorer(store, letter="t", tau=0.1)
    parts: list[Any] = explorer.layout.select(Markup)
    header = next(part for part in parts if part.css_name == "header")
    header._handle_msg({"action": "snapshot"})
    ((name, content, kind),) = sent
    assert (name, kind) == ("tiny_l3-w4000-l0-10_snapshot.html", "text/html")
    assert b"tau 0.1," in content
    assert "100%" in shown.pop()
    assert "%" not in header.html
    with monkeypatch.context() as broken:
        broken.setattr(store, "fetch", _fail)
        header._handle_msg({"action": "snapshot"})
    assert len(sent) == 1
    assert explorer.model.error == "No snapshot was created: out of order"


def _fail(*_: object, **__: object) -> None:
    raise QueryError("out of order")


# --- Opened from disk, in a browser without a network --------------------------------------------------------------


@pytest.fixture
def open_snapshot(chromium: Browser, snapshot: Snapshot) -> Iterator[Callable[..., Page]]:
    """Open a snapshot from disk; the test fails if it requests anything outside the file or reports an error."""
    opener = PageOpener(chromium, snapshot.path.as_uri())

    def open_page(fragment: str = "", path: Path = snapshot.path, **options: Any) -> Page:
        page = opener(f"{path.as_uri()}{fragment}", **options)
        page.wait_for_selector("html[data-shown]")
        return page

    yield open_page
    opener.close()
    assert not opener.external
    assert not opener.problems


@pytest.fixture
def s(store: Store) -> dict[str, Any]:
    """The expected contents for S."""
    cosines = fetch(store, "cosines", "s").set_index("latent")["cosine"].astype(float)
    absorbing = fetch(store, "absorbing_latents", "s")["latent"].tolist()
    split = fetch(store, "split_latents", "s")["latent"].tolist()
    return {"cosines": cosines, "split": split, "absorbing": absorbing}


def marked(latents: list[int], cosines: pd.Series) -> dict[str, Any]:
    return {"latent": latents, "x": latents, "cosine": [cosines[latent] for latent in latents]}


@pytest.mark.browser
def test_concepts_and_latents_are_selected_as_on_the_page(
    open_snapshot: Callable[..., Page], s: dict[str, Any], store: Store
) -> None:
    page = open_snapshot()
    wait_figure(page, "cosine")
    wait_glyph(page, "cosine", SPLIT, **marked(s["split"], s["cosines"]))
    wait_glyph(page, "cosine", ABSORBING, **marked(s["absorbing"], s["cosines"]))
    latent = s["absorbing"][-1]
    tap(page, "cosine", latent, s["cosines"][latent])
    page.wait_for_selector(f"#card h2:has-text('Latent {latent}')")
    assert page.locator("#selection").inner_text().startswith(f"Latent {latent} · absorbing latent of S · cosine 0.")
    assert f"#concept=first-letter.s&latent={latent}" in page.url
    wait_glyph(page, "cosine", RING, **marked([latent], s["cosines"]))
    # A latent without a role: the contents of its card are in the file, too.
    other = int(s["cosines"].drop([*s["split"], *s["absorbing"]]).idxmax())
    page.evaluate("(hash) => { location.hash = hash }", f"concept=first-letter.s&latent={other}")
    page.wait_for_selector(f"#card h2:has-text('Latent {other}')")
    assert "is not in this snapshot" in page.locator("#card").inner_text()
    assert f"{s['cosines'][other]:.4f}" in page.locator("#card").inner_text()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#headline:has-text('Letter T')")
    split = fetch(store, "split_latents", "t")["latent"].tolist()
    wait_glyph(
        page, "cosine", SPLIT, **marked(split, fetch(store, "cosines", "t").set_index("latent")["cosine"].astype(float))
    )
    assert page.locator("#card").is_hidden()
    page.locator("[data-concept='first-letter.c']").click(force=True)
    assert "concept=first-letter.t" in page.url
    assert (
        page.locator("[data-concept='first-letter.c']").get_attribute("title")
        == "C: not measured on this SAE, nothing to show"
    )
    page.go_back()
    page.wait_for_selector(f"#card h2:has-text('Latent {other}')")
    page.locator("[data-concept='first-letter.a']").click()
    page.wait_for_selector("[data-concept='first-letter.a'][aria-checked=true]")
    assert page.locator("#headline").inner_text().startswith("Letter A")


@pytest.mark.browser
def test_every_peak_is_kept_at_every_zoom(open_snapshot: Callable[..., Page], s: dict[str, Any]) -> None:
    page = open_snapshot()
    seen = wait_figure(page, "cosine")
    crowd = s["cosines"].drop([*s["split"], *s["absorbing"]])
    peaks = [int(crowd.idxmax()), int(crowd.idxmin())]
    line = glyphs(page, "cosine")[LINE]["data"]
    assert len(line["x"]) < len(crowd) / 2
    drawn = dict(zip(line["latent"], line["cosine"], strict=True))
    assert [drawn.get(peak) for peak in peaks] == [round(float(crowd[peak]), 4) for peak in peaks]
    left, right = peaks[0] - 200, peaks[0] + 200
    drag(page, "cosine", "BoxZoomTool", (left, seen.y_range[0] + 0.01), (right, seen.y_range[1] - 0.01))
    wait_for(page, "([all]) => Bokeh.documents[0].roots()[0].x_range.end < all", [len(crowd) - 1])
    within = figure(page, "cosine").x_range
    page.wait_for_function(
        "([low, high]) => { const line = Bokeh.documents[0].roots()[0].renderers[0].data_source.data.latent;"
        " return line[0] <= low && line.at(-1) >= high && line.length >= high - low }",
        arg=[int(np.ceil(within[0])), int(np.floor(within[1]))],
    )
    x, y = point(page, "cosine", peaks[0], float(crowd[peaks[0]]))
    page.mouse.move(x, y)
    page.wait_for_function(
        "(text) => [...document.querySelectorAll('.bk-Tooltip')]"
        ".some(({ shadowRoot }) => shadowRoot.textContent.includes(text))",
        arg=f"{crowd[peaks[0]]:.4f}",
    )


@pytest.mark.browser
def test_tested_tokens_are_sorted_and_opened(open_snapshot: Callable[..., Page]) -> None:
    page = open_snapshot("#concept=first-letter.s")
    tokens = page.locator("#evidence tbody code.token")
    effects = [float(text.replace("−", "-")) for text in page.locator("#evidence td.of-top_effect").all_inner_texts()]
    assert effects == sorted(effects)
    page.locator("#evidence th button:has-text('Effect')").first.click()
    turned = [float(text.replace("−", "-")) for text in page.locator("#evidence td.of-top_effect").all_inner_texts()]
    assert turned == effects[::-1]
    page.locator("#evidence th button:has-text('Token')").click()
    shown = tokens.all_inner_texts()
    assert shown == sorted(shown, key=lambda token: token.replace("␣", " ").replace("⏎", "\n").strip().lower())
    assert "<script>alert(1)</script>" in shown
    row = page.locator("#evidence tr", has_text="alert(1)")
    row.locator("[data-action=open]").click()
    assert "Latents that were ablated on" in page.locator("#evidence tr.opened").inner_text()
    page.locator("#evidence th button:has-text('Token')").click()
    assert "alert(1)" in page.locator("#evidence tr.opened").evaluate("(row) => row.previousElementSibling.textContent")
    latent = page.locator("#evidence tr.opened .bars td button").first
    number = latent.inner_text()
    latent.click()
    page.wait_for_selector(f"#card h2:has-text('Latent {number}')")


@pytest.mark.browser
def test_k_sparse_bars_follow_the_concept(open_snapshot: Callable[..., Page], store: Store) -> None:
    page = open_snapshot("#concept=first-letter.t", dark=True)
    page.locator("summary", has_text="How splitting is measured").click()
    wait_figure(page, "k-sparse")
    for letter in "ts":
        scores = fetch(store, "k_sparse", letter)
        colours = [DARK.split if is_split else DARK.other for is_split in scores["is_split"]]
        wait_glyph(page, "k-sparse", 0, k=scores["k"].tolist(), top=scores["f1"].tolist(), colour=colours)
        page.locator("[data-concept='first-letter.s']").click()
    second = int(scores["latent"].iloc[1])
    tap(page, "k-sparse", 2, float(scores["f1"].iloc[1]) / 2)
    page.wait_for_selector(f"#card h2:has-text('Latent {second}')")
    wait_glyph(page, "k-sparse", 1, k=[2], latent=[second])
    page.locator("[data-action=dark]").click()
    assert glyphs(page, "k-sparse")[0]["data"]["colour"][0] == LIGHT.split


_COLOURS = """async (id) => {
  const picture = document.getElementById(id);
  await picture.decode();
  const canvas = new OffscreenCanvas(picture.naturalWidth, picture.naturalHeight);
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const found = new Set();
  for (let at = 0; at < data.length; at += 4) {
    const parts = [0, 1, 2].map((of) => data[at + of].toString(16).padStart(2, "0"));
    if (data[at + 3] === 255) found.add("#" + parts.join(""));
  }
  return [...found];
}"""


@pytest.mark.browser
def test_views_are_cited_as_on_the_page(open_snapshot: Callable[..., Page], store: Store) -> None:
    page = open_snapshot("#concept=first-letter.s")
    page.locator("#lists [data-action=latent]").last.click()
    expect(page.locator("#card")).to_be_visible()
    names = {button.get_attribute("data-cite") or "" for button in page.locator("[data-cite]").all()}
    assert names == {"cosine", "latents", "card", "evidence", "k-sparse", "token-shares"}
    state = ExplorerState(
        choices_of(store), **SAE, concept="first-letter.s", latent=page.evaluate("reader.place.latent")
    )
    for name in sorted(names):
        page.evaluate("(name) => document.querySelector(`[data-cite=${name}]`).click()", name)
        expect(page.locator("#cite dialog")).to_be_visible()
        address = page.locator("#cite [data-copy]").last.get_attribute("data-copy") or ""
        assert address == page.url
        assert page.locator("#cite pre").all_text_contents() == cited_texts(store, state, name, address)
        page.keyboard.press("Escape")
        expect(page.locator("#cite dialog")).to_have_count(0)


@pytest.mark.browser
def test_theme_is_switched_and_prints_are_light(open_snapshot: Callable[..., Page]) -> None:
    page = open_snapshot(dark=True)
    wait_figure(page, "cosine")
    assert glyphs(page, "cosine")[LINE]["line"] == DARK.other
    # Prints use the light theme; a canvas is replaced by an image.
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    colours = set(page.evaluate(_COLOURS, "printed-plot"))
    assert {LIGHT.other, LIGHT.split, LIGHT.absorbing} <= colours
    assert not {DARK.other, DARK.split, DARK.absorbing} & colours
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() > 0
    assert glyphs(page, "cosine")[LINE]["line"] == DARK.other
    page.locator("[data-action=dark]").click()
    assert glyphs(page, "cosine")[LINE]["line"] == LIGHT.other
    assert page.locator("html").get_attribute("data-theme") == "light"
    assert ask_model(page, "cosine", "({x_range}) => x_range.bounds[0] < 0")


@pytest.mark.browser
def test_snapshot_without_cosines_explains_what_is_missing(open_snapshot: Callable[..., Page], tmp_path: Path) -> None:
    suite = write_tiny_suite(tmp_path / "bare", cosines=False, examples=False, saes=SAES)
    with open_store(suite) as store:
        path = save_snapshot(store, tmp_path / "bare.html", letter="s")
        latent = fetch(store, "absorbing_latents", "s")["latent"].iloc[0]
    page = open_snapshot(f"#concept=first-letter.s&latent={latent}", path)
    assert "This suite stores no cosines for this SAE" in page.locator("#no-plot").inner_text()
    assert page.locator("#cosine-plot").is_hidden()
    assert "Not stored in this suite: contexts" in page.locator("#card").inner_text()
    page.evaluate("location.hash = 'concept=%3Cb%3E&latent=x'")
    page.wait_for_selector("html[data-shown='#concept=%3Cb%3E&latent=x']")
    assert page.locator("#headline").inner_text().startswith("Letter S")


@pytest.mark.browser
def test_button_downloads_while_the_page_stays_usable(open_page: PageOpener, tmp_path: Path) -> None:
    page = open_page("/dashboard?layer=4&width=2048&letter=l")
    wait_figure(page, "cosine")
    with page.expect_download() as download:
        page.locator("[data-action=snapshot]").click()
        page.locator("[data-action=snapshot][aria-disabled=true]").wait_for()
        page.locator("[data-concept='first-letter.m']").click()
        page.locator("h1", has_text="M").wait_for()
        assert page.locator("[data-action=snapshot]").get_attribute("aria-disabled") == "true"
    page.locator("[data-action=snapshot][aria-disabled=false]").wait_for()
    assert download.value.suggested_filename.startswith("smollm2-135m_l4-w2048-l0-")
    download.value.save_as(tmp_path / "got.html")
    got = Snapshot(tmp_path / "got.html")
    assert (got.start["concept"], len(got.labels)) == (concept_id("l"), 26)
