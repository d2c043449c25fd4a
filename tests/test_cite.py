"""Citations of a view, and embedded views with their own address."""

from __future__ import annotations

import hashlib
import re
from datetime import date
from html import unescape
from itertools import accumulate
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import panel as pn
import pytest
from playwright.sync_api import expect

from explorer import Explorer, open_store
from explorer.cite import CitedSuite, cite
from explorer.embed import EMBEDS, subject_of
from explorer.embed_address import embed_query, parse_address
from explorer.figures import FIGURES
from explorer.guard import EMBED_IN, allow_embedding, headers
from explorer.model import ExplorerModel, choices_of
from explorer.state import ExplorerState
from explorer.store import SWEEPS
from explorer.views.atlas import Atlas
from explorer.views.cite import Cite
from explorer.views.evidence_table import SuiteEvidence
from explorer.views.heat_map import HeatMapView
from explorer.views.markup import Markup
from explorer.views.sae_scores import SaeScoresView
from explorer.views.token import TokenView
from tests.browser import tap, wait_figure, wait_for
from tests.explore import part, wait_ready
from tests.tiny_suite import write_tiny_suite
from tests.visitors import ask, open_session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queries import Store
    from tests.browser import PageOpener, Server

SUITE = CitedSuite("tiny", "tiny-model", "2026-01-01", "ab" * 32)
ON = date(2026, 11, 30)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(write_tiny_suite(tmp_path_factory.mktemp("suites") / "tiny")) as opened:
        yield opened


# --- References ------------------------------------------------------------------------------------------------------


def test_citation_contains_view_program_suite_address_and_date() -> None:
    address = "http://localhost:5006/dashboard?sae=l3&concept=first-letter.s"
    cited = cite("Cosines: letter S", SUITE, program="0.1.0", on=ON, address=address, name="cosine")
    assert cited.text == (
        "Cosines: letter S. Absorption Explorer 0.1.0. Suite tiny (of 2026-01-01; model tiny-model), SHA-256 of its"
        f" manifest {SUITE.checksum}. {address}, accessed on 2026-11-30."
    )
    assert cited.bibtex.splitlines() == [
        "@misc{absorption-explorer-tiny-cosine,",
        "  title        = {{Cosines: letter S}},",
        "  author       = {{Absorption Explorer contributors}},",
        "  year         = {2026},",
        "  howpublished = {Absorption Explorer 0.1.0},",
        f"  note         = {{Suite tiny (of 2026-01-01; model tiny-model), SHA-256 of its manifest {SUITE.checksum}}},",
        f"  url          = {{{address}}},",
        "  urldate      = {2026-11-30},",
        "}",
    ]


@pytest.mark.parametrize(
    "address", [None, "", "javascript:alert(1)", "http://x/}, note={", "http://x/\n", "http://x/ y"]
)
def test_invalid_addresses_are_omitted_and_texts_escaped(address: str | None) -> None:
    suite = SUITE._replace(version=None)
    cited = cite("~^ 50% of {x} & $y_1 #\\", suite, program="0.1.0", on=ON, address=address, name="cosine")
    assert "url  " not in cited.bibtex
    assert "http" not in cited.text
    assert "version not stated" in cited.text
    title = cited.bibtex.splitlines()[1]
    assert title.endswith(
        r"= {{\textasciitilde{}\textasciicircum{} 50\% of \textbraceleft{}x\textbraceright{} \& \$y\_1"
        r" \#\textbackslash{}}},"
    )
    for text in ("}", "{", "\\}", "}}, note = {"):  # BibTeX counts braces, also escaped ones
        hostile = suite._replace(name=text, model=text)
        entry = cite(text, hostile, program="0.1.0", on=ON, address=address, name="cosine").bibtex
        depths = [*accumulate({"{": 1, "}": -1}.get(letter, 0) for letter in entry)]
        assert (min(depths[len("@misc{") - 1 : -1]), depths[-1]) == (1, 0), text


def test_dialog_cites_the_view_in_its_state(store: Store) -> None:
    explorer = Explorer(store, letter="s", tau=0.05)
    dialog: Any = Cite(explorer.model, has_address=True).__panel__()
    dialog._handle_msg({"action": "show", "value": {"view": "cosine", "page": "https://x.example/dashboard"}})
    shown = unescape(dialog.html)
    address = f"https://x.example/dashboard?{explorer.state.to_query()}"
    assert f'<pre tabindex="0">{address}</pre>' in shown
    assert f'<iframe src="{address}&embed=cosine"' in unescape(shown)  # as a page has it, shown as text
    manifest = store.suites["tiny"].root / "manifest.json"  # type: ignore[operator]
    assert shown.count(hashlib.sha256(manifest.read_bytes()).hexdigest()) == 4  # twice, to be read and to be copied
    assert "Cosine of every latent with the probe: Tiny, layer 0" in shown
    assert "letter S" in shown
    dialog._handle_msg({"action": "close", "value": None})
    assert dialog.html == ""
    dialog._handle_msg({"action": "show", "value": {"view": "nothing", "page": ""}})
    assert dialog.html == ""
    text = "</pre><script>1</script>"
    dialog._handle_msg({"action": "show", "value": {"view": "cosine", "page": text}})
    assert "<script>" not in dialog.html
    in_notebook: Any = Cite(explorer.model, has_address=False).__panel__()
    in_notebook._handle_msg({"action": "show", "value": {"view": "cosine", "page": "http://localhost:8888/lab"}})
    assert "8888" not in in_notebook.html
    assert "iframe" not in in_notebook.html


# --- Embedded views --------------------------------------------------------------------------------------------------


def test_every_view_can_be_embedded_and_cited(store: Store) -> None:
    offered = set()
    for name, embed in EMBEDS.items():
        state = ExplorerState(choices_of(store), letter="s", latent=0, token=" short")  # noqa: S106 - a word
        assert state.apply({"page": embed.page, **embed.state}) == []
        model = ExplorerModel(store, state, embed.view)
        view: Any = pn.panel(embed.make(model))
        markup = "".join(part.html for part in view.select(Markup))
        offered |= set(re.findall('data-cite="([^"]*)"', markup))
        place = subject_of(model, embed.view)
        about_one = not issubclass(embed.view, Atlas | HeatMapView | SaeScoresView | SuiteEvidence | TokenView)
        assert place.startswith("Tiny")
        assert place.endswith("token ␣short") is (embed.view is TokenView)
        assert ("layer 0" in place or "letter S" in place) is about_one, (name, place)
    assert offered <= EMBEDS.keys()
    assert {
        "cosine",
        "latents",
        "card",
        "evidence",
        "suite-evidence",
        "k-sparse",
        "absorption-heatmap",
        "token",
    } <= offered
    assert {"absorption-vs-l0", "precision-vs-l0", "threshold-sensitivity", "pair-rates", "splitting-tree"} <= offered
    assert set(FIGURES) <= EMBEDS.keys()


def test_embed_addresses_are_parsed_as_written() -> None:
    assert parse_address("page=explore&latent=3") == (None, None, "page=explore&latent=3")
    for dark in (None, False, True):
        query = f"sae=l3-w4&latent=3&{embed_query('cosine', dark=dark)}"
        assert parse_address(f"?{query}") == ("cosine", dark, "sae=l3-w4&latent=3")
    assert parse_address("dark=1") == (None, None, "dark=1")  # a parameter of the page, which rejects it
    assert parse_address("embed=cosine&dark=black").dark is None


def test_embedded_view_is_served_without_header_and_sidebar(own_command: Server) -> None:
    page = ask(own_command.url, "/dashboard?letter=s&embed=cosine&dark=1")
    assert page.status == 200
    assert b'class="ax-main ax-alone"' in page.body
    assert not any(part in page.body for part in (b'class="ax-header"', b'class="ax-sidebar"'))
    assert b'const chosen = "1"' in page.body
    for name in ("nothing", "<script>"):
        visit = open_session(f"{own_command.url}/dashboard", embed=name)
        found: list[Any] = list(visit.document.select({"name": "message"}))
        message = found[0].data.html
        assert "No such view" in message
        assert "there is cosine, latents, card" in message
        assert "<script>" not in message
        visit.close()


@pytest.mark.parametrize(
    "origin",
    [
        "https://x.example; script-src *",
        "*",
        "https://x.example/path",
        "x.example",
        "javascript://x",
        "https://x y",
        "'none'",
        "https://x.example:65536",
    ],
)
def test_invalid_origins_do_not_enter_the_policy(origin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EMBED_IN, "")
    with pytest.raises(ValueError, match="is not an origin; give scheme, host and port only"):
        allow_embedding(["https://course.example", origin])
    assert headers("n")["Content-Security-Policy"].endswith("frame-ancestors 'self'")
    monkeypatch.setenv(EMBED_IN, origin)
    policy = headers("n")["Content-Security-Policy"]
    assert "script-src 'nonce-n' 'strict-dynamic'; " in policy
    assert set(policy.partition("frame-ancestors 'self'")[2].split()) <= {"https://x"}
    allow_embedding(["https://course.example", "http://*.lab.example:8080"])
    policy = headers("n")["Content-Security-Policy"]
    assert policy.endswith("frame-ancestors 'self' https://course.example http://*.lab.example:8080")


@pytest.mark.browser
def test_embedded_view_reacts_and_links_to_the_full_page(open_page: PageOpener) -> None:
    page = open_page("/dashboard?sae=l12-w8192-l0-7&letter=l&embed=cosine&dark=1", width=390)
    wait_ready(page)
    wait_figure(page, "cosine")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    link = page.get_by_role("link", name="Open in Absorption Explorer")
    with open_store(SWEEPS) as store:
        explorer = Explorer(store, sae="l12-w8192-l0-7", concept="first-letter.l")
        cosines = explorer.to_dataframe("cosines").set_index("latent")["cosine"]
        main = int(explorer.to_dataframe("split_latents")["latent"].iloc[0])
    tap(page, "cosine", main, float(cosines[main]))
    wait_for(page, "latent => location.search.includes(`latent=${latent}`)", main)
    assert page.url.endswith("&embed=cosine&dark=1")
    assert page.evaluate("history.length") == 2  # about:blank and this one: the embedding page has the history
    leads = parse_qs(urlsplit(str(link.get_attribute("href"))).query)
    assert (leads["latent"], leads["concept"]) == ([str(main)], ["first-letter.l"])
    assert "embed" not in leads
    assert [cookie["name"] for cookie in page.context.cookies() if cookie["name"] == "ax_dark"] == []
    page.reload()
    wait_ready(page)
    page.get_by_text(f"Latent {main}").first.wait_for()


@pytest.mark.browser
def test_cite_dialog_contains_the_address_of_the_page(open_page: PageOpener) -> None:
    page = open_page("/dashboard?sae=l12-w8192-l0-7&letter=l")
    wait_ready(page)
    page.get_by_label("Cite the cosines").click()
    dialog = part(page, "cite")
    expect(dialog.get_by_text(page.url, exact=True)).to_be_visible()
    expect(dialog.get_by_text("@misc{absorption-explorer-smollm2-135m-cosine")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog.locator("dialog")).to_have_count(0)
