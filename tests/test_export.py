"""Exports: files of all tables and plots, and SQL that gives the same results."""

from __future__ import annotations

import base64
import io
import json
import re
import struct
from pathlib import Path
from threading import Semaphore
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import expect

import explorer
from explorer import files
from explorer.files import as_csv, as_json, as_parquet
from explorer.model import QUESTIONS, ExplorerModel, choices_of
from explorer.pages import Pages
from explorer.plots.legend import legend_of
from explorer.request import Request
from explorer.state import ExplorerState
from explorer.store import SWEEPS
from explorer.theme import LIGHT
from explorer.views import background
from explorer.views.concepts import Concepts
from explorer.views.export import Export
from explorer.views.markup import Markup
from queries import catalog
from queries.literal import literal
from tests.browser import figure, wait_figure
from tests.explore import open_view, part, wait_query, wait_ready

if TYPE_CHECKING:
    from playwright.sync_api import Download

    from explorer.plots.legend import Key
    from tests.browser import PageOpener
    from tests.explore import View

TEMPLATES = Path(explorer.__file__).parent / "templates"
_BUTTON = re.compile(r"""export\("([a-z_ ]+)\"""")


def test_exported_files_read_back_as_the_frame() -> None:
    frame = pd.DataFrame(
        {
            "token": [" a\"b'c", "d,e\nf", "\N{GRINNING FACE}<b>"],
            "latent": pd.array([1, None, 3], "Int64"),
            "effect": np.array([-1.25, np.nan, 0.1]),
            "tokens": [np.array([" x", 'y"']), None, np.array([], object)],
            "activations": [np.array([0.5, 2.0]), np.array([]), None],
        }
    )
    read = pd.read_csv(io.BytesIO(b"".join(as_csv(frame))), dtype={"latent": "Int64"})
    pd.testing.assert_frame_equal(
        read[["token", "latent", "effect"]], frame[["token", "latent", "effect"]], check_dtype=False
    )
    assert json.loads(read["tokens"][0]) == [" x", 'y"']
    assert json.loads(read["activations"][0]) == [0.5, 2.0]
    assert read["tokens"].isna().tolist() == [False, True, False]
    back = pd.read_parquet(io.BytesIO(b"".join(as_parquet(frame))))
    assert back["token"].tolist() == frame["token"].tolist()
    assert back["activations"][0].tolist() == [0.5, 2.0]


def test_missing_numbers_are_null_in_json_and_in_lists() -> None:
    lists = np.empty(3, object)
    lists[:] = [np.array([0.1, np.nan], np.float32), None, {"trainer": "x"}]
    frame = pd.DataFrame({"rate": [0.5, np.nan, np.inf], "n": pd.array([1, None, 3], "Int64"), "lists": lists})
    parsed = json.loads(b"".join(as_json(frame, {"total": 3})))
    assert parsed == {
        "total": 3,
        "rows": [
            {"rate": 0.5, "n": 1, "lists": [0.1, None]},
            {"rate": None, "n": None, "lists": None},
            {"rate": None, "n": 3, "lists": {"trainer": "x"}},
        ],
    }
    assert json.loads(b"".join(as_json(frame.head(0), {}))) == {"rows": []}
    assert b'"[0.1, null]"' in b"".join(as_csv(frame))


def test_chunks_make_up_the_file_that_pandas_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports in several chunks have the same bytes as in one, for all types of columns."""
    monkeypatch.setattr(files, "_PIECE_BYTES", 2**15)
    rows = 3001
    lists = [None, np.array([], np.float32), np.array([0.5, 1e-9], np.float32), np.array([1], np.float32)]
    frame = pd.DataFrame(
        {
            "token": [f' "{number},\n' for number in range(rows)],
            "latent": pd.array([number if number % 7 else None for number in range(rows)], "Int64"),
            "effect": np.linspace(-1, 1, rows, dtype=np.float32),
            "margin": [np.nan, 1e-300, *[0.1] * (rows - 2)],
            "absorbed": [number % 2 == 0 for number in range(rows)],
            "published": np.array([None, *[True] * (rows - 1)], object),
            "activations": [*[None] * 2000, *(lists[number % 4] for number in range(rows - 2000))],
            "tokens": [np.array(["a", '"']) if number % 2 else None for number in range(rows)],
            "none": np.array([None] * rows, object),
        }
    )
    for rows_of in (frame, frame.head(1), frame.head(0)):
        listed = {
            name: [cell if cell is None else json.dumps([kind(str(part)) for part in cell]) for cell in rows_of[name]]
            for name, kind in (("activations", float), ("tokens", str))
        }
        assert b"".join(as_csv(rows_of)) == rows_of.assign(**listed).to_csv(index=False).encode()
        whole = io.BytesIO()
        rows_of.to_parquet(whole, index=False)
        assert b"".join(as_parquet(rows_of)) == whole.getvalue()
    assert len(list(as_csv(frame))) > 1
    assert max(map(len, as_csv(frame))) < 2**17


def test_every_query_has_an_export_button() -> None:
    templates = "".join(file.read_text(encoding="utf-8") for file in TEMPLATES.glob("*.html"))
    offered = {name for names in _BUTTON.findall(templates) for name in names.split()} | {
        "suite_evidence",
        "concept_evidence",
    }
    assert offered <= QUESTIONS.keys() | catalog().keys()
    # Those of Compare are named by its view, which has two kinds of small plots, and their marks can be counted; an
    # imported page is not a table, counts at the suite's own thresholds are shown beside others, and the words to test
    # have a button that copies them; similar tokens are links.
    of_view = {"compared_cosines", "sae_cosines"}
    of_others = {"compared_counts", "latent_dashboard", "own_info", "random_tokens", "absorbed_tokens"}
    of_others |= {"similar_tokens"}
    assert QUESTIONS.keys() - offered == of_view | of_others


@pytest.fixture(scope="module")
def model(home: View) -> ExplorerModel:
    return ExplorerModel(home.store, ExplorerState(choices_of(home.store), letter="s"), Concepts, Pages)


def test_all_pages_of_an_answer_are_written(model: ExplorerModel) -> None:
    shown = model.concept_evidence
    assert shown is not None
    whole = model.whole("concept_evidence")
    assert len(whole) == len(shown) > 25
    assert whole["top_latent"].dtype == "Int64"
    pd.testing.assert_frame_equal(whole.head(len(shown)), shown, check_dtype=False)
    model.ask(Request(model), "token_latents", lambda _: None, token=whole["token"].iloc[0])
    assert len(model.whole("token_latents")) == 5  # all that are active
    with pytest.raises(KeyError):
        model.whole("word_activations")


def test_notebook_receives_a_file_in_chunks(model: ExplorerModel, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(files, "_PIECE_BYTES", 2**10)
    monkeypatch.setattr(Markup, "_send_msg", lambda _, message: sent.append(message))
    dialog: Any = Export(model, shared=False).__panel__()
    dialog._handle_msg({"action": "csv", "value": "cosines"})
    *pieces, last = sent
    assert [piece["nth"] for piece in pieces] == list(range(len(pieces)))
    content = b"".join(base64.b64decode(piece["content"]) for piece in pieces)
    assert content == b"".join(as_csv(model.whole("cosines")))
    assert last["save"].endswith("_first-letter.s_cosines.csv")
    assert len(pieces) > 1


class Visitor:
    """A document whose browser accepts no file."""

    def __init__(self) -> None:
        self.session_context = SimpleNamespace(destroyed=False)
        self.callbacks: list[object] = []
        self.add_next_tick_callback = self.callbacks.append
        self.on_session_destroyed = self.callbacks.append


def test_unresponsive_browser_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    visitor: Any = Visitor()
    caller = background.Caller(visitor)
    (leave,) = visitor.callbacks
    caller.run_in_session(print, after=Semaphore(1))
    assert visitor.callbacks == [leave, print]
    for name in ("PIECE_SECONDS", "FILE_SECONDS"):
        with monkeypatch.context() as patched:
            patched.setattr(background, name, 0)
            with pytest.raises(background.SlowBrowserError):
                caller.run_in_session(print, after=Semaphore(0))
    leave(None)
    assert caller.token.is_cancelled
    with pytest.raises(background._SessionGoneError):
        caller.run_in_session(print, after=Semaphore(0))
    assert visitor.callbacks == [leave, print]


def expect_legend(svg: str, legend: list[Key]) -> None:
    """Check that every legend entry is above the figure, in its colour, and nowhere else."""
    assert legend
    for key in legend:
        assert svg.count(f">{key.label}<") >= 1, key
        assert key.colour in svg


def test_file_is_named_after_the_state(model: ExplorerModel) -> None:
    """The name contains the subject and changed settings, and no defaults."""
    dialog: Any = Export(model, shared=False)
    state = model.state
    place = f"{state.suite}_l4-w2048-l0-6_first-letter.s"
    assert dialog._figure("cosine", "cosines")["file"] == f"{place}_cosine"
    state.apply({"latent": 47, "cosine_threshold": 0.1, "cosine_view": "rank"})
    assert dialog._figure("cosine", "cosines")["file"] == (
        f"{place}_cosine-threshold-0.1_cosine-view-rank_latent-47_cosine"
    )
    state.apply({"page": "atlas", "mean_policy": "all_concepts"})
    assert dialog._figure("absorption-vs-l0", "sae_means")["file"] == (
        f"{state.suite}_cosine-threshold-0.1_mean-policy-all_concepts_absorption-vs-l0"
    )
    state.apply({"page": "explore", "latent": "", "cosine_threshold": 0.025, "cosine_view": "index"})


@pytest.mark.browser
def test_dialog_exports_table_figure_and_sql(
    open_page: PageOpener, home: View, model: ExplorerModel, tmp_path: Path
) -> None:
    page = open_view(open_page, home.but(letter="s"))
    dialog = part(page, "export")

    def saved(button: str) -> bytes:
        with page.expect_download() as download:
            dialog.get_by_role("button", name=button, exact=True).first.click()
        file: Download = download.value
        file.save_as(tmp_path / file.suggested_filename)
        names.append(file.suggested_filename)
        return (tmp_path / file.suggested_filename).read_bytes()

    names: list[str] = []
    page.get_by_label("Export the cosines").click()
    cosines = model.cosines
    pd.testing.assert_frame_equal(pd.read_csv(io.BytesIO(saved("CSV"))), cosines, check_dtype=False)
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(saved("Parquet"))), cosines, check_dtype=False)
    assert saved("CSV for spreadsheets") == b"".join(as_csv(cosines.astype({"latent": "Int64"}), for_spreadsheets=True))
    expect(dialog).to_contain_text("an apostrophe precedes each text that begins with =, +, - or @")
    shown = figure(page, "cosine")
    png, svg = saved("PNG"), saved("SVG").decode()
    assert png.startswith(b"\x89PNG")
    expect_legend(svg, legend_of("cosine", model.cosines, cell="", rate="", by=None, theme=LIGHT))
    drawn_width, drawn_height = (int(size) for size in re.findall(r'^<svg[^>]* width="(\d+)" height="(\d+)"', svg)[0])
    assert drawn_width > shown.width
    assert drawn_height > shown.height + 60  # axis and legend
    assert struct.unpack(">II", png[16:24]) == (2 * drawn_width, 2 * drawn_height)
    state = model.state
    about = f"{state.suite}_{state.sae}_{state.concept}_cosines"
    assert names == [
        f"{about}.csv",
        f"{about}.parquet",
        f"{about}_for-spreadsheets.csv",
        f"{about.removesuffix('s')}.png",
        f"{about.removesuffix('s')}.svg",
    ]
    dialog.get_by_role("button", name="Close").click()

    page.get_by_label("Export the tested tokens").click()
    with duckdb.connect() as bare:
        bare.execute(f"SET file_search_path = {literal(str(SWEEPS.parent))}")
        sql = dialog.locator("pre").inner_text()
        assert str(SWEEPS.parent) not in sql
        answer = bare.execute(sql).df()
    pd.testing.assert_frame_equal(answer, model.whole("concept_evidence"), check_dtype=False)


@pytest.mark.browser
@pytest.mark.parametrize(
    "query", ["letter=s&latent=47", "page=compare", "page=compare&compare_by=pair", "page=atlas", "page=evidence"]
)
def test_every_export_button_offers_its_contents(open_page: PageOpener, home: View, query: str) -> None:
    state = ExplorerState(choices_of(home.store))
    state.from_query(query)
    model = ExplorerModel(home.store, state, Concepts, Pages)
    page = open_page(f"/dashboard?suite={SWEEPS.name}&{query}")
    wait_ready(page)
    wait_query(page, dict(pair.split("=") for pair in query.split("&")))
    dialog = part(page, "export")
    # By name, because some are added above others when they come into view.
    buttons = [
        [button.get_attribute(name) or "" for name in ("data-export", "data-figures", "aria-label")]
        for button in page.locator("button[data-export]:visible").all()
    ]
    assert buttons
    for answers, figures, label in buttons:
        button = page.locator(f'button[data-export="{answers}"][aria-label="{label}"]:visible').first
        button.scroll_into_view_if_needed()
        for name in figures.split():
            wait_figure(page, name)  # some are built when they come into view
        button.click()
        wanted = [f"Plot {name}" for name in figures.split()] + [f"Table {name}" for name in answers.split()]
        expect(dialog.locator(".offer h3")).to_have_text(wanted)
        for name in figures.split():
            with page.expect_download() as download:
                dialog.locator(f"[data-save-figure={name}][data-as=svg]").click()
            file = download.value.suggested_filename
            assert re.fullmatch(rf"{SWEEPS.name}_(?:[a-z0-9.-]+_)*{name}\.svg", file), file
            rows = getattr(model, answers.split()[0])
            svg = Path(download.value.path()).read_text(encoding="utf-8")
            expect_legend(
                svg, legend_of(name, rows, cell="absorption_rate", rate="absorption rate", by=None, theme=LIGHT)
            )
        dialog.get_by_role("button", name="Close").click()
