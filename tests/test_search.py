"""The search in the header: its results, their links, and its handling of arbitrary input."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from explorer.model import ExplorerModel, choices_of
from explorer.pages import Pages
from explorer.state import SEARCH_CHARACTERS, ExplorerState
from explorer.views.markup import Markup, visible
from explorer.views.search import Search
from queries import Store
from queries.schema import LETTERS, concept_id
from tests.explore import open_view, part, query_of, wait_query, wait_ready
from tests.questions import ask, question_values, sae_id
from tests.tiny_sae import VOCABULARY
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pandas as pd
    from playwright.sync_api import Browser, Locator, Page

    from tests.browser import PageOpener
    from tests.explore import Pair, View

SAE = (0, 1000, 10)
#: Each tries to break out of a string, a pattern, a tag or an encoding; none begins a token.
HOSTILE = [
    "'; DROP TABLE saes; --",
    '"quoted"',
    "100%",
    "s_",
    "\\s",
    "<img src=x onerror=alert(1)>",
    "</p><script>alert(1)</script>",
    "{{ 7 * 191 }}",
    "z\nzz",
    "s\0",
    "\N{GRINNING FACE}",
    "\N{SUPERSCRIPT TWO}",
    "99999999999999999999",
    "-1",
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("suites")
    with Store(write_tiny_suite(folder / "tiny"), write_tiny_suite(folder / "twin", name="twin", seed=1)) as store:
        yield store


class Asked:
    """A search, and actions of its user."""

    def __init__(self, store: Store, **state: Any) -> None:
        self.model = ExplorerModel(store, ExplorerState(choices_of(store), letter="s", **state), Pages)
        self.state = self.model.state
        field = Search(self.model).__panel__()
        assert isinstance(field, Markup)
        self.field = field
        self.number = 0

    def __call__(self, text: str) -> str:
        """Type, and return the list that comes."""
        self.number += 1
        self.field._handle_msg({"action": "search", "value": {"number": self.number, "text": text}})
        return self.shown

    def go(self, action: str, value: object) -> None:
        self.field._handle_msg({"action": action, "value": value})

    @property
    def shown(self) -> str:
        return self.field.html[self.field.html.index('<div class="found"') :]

    @property
    def tokens(self) -> list[str]:
        return [unescape(token) for token in re.findall(r'<code class="token">(.*?)</code>', self.shown)]


def all_rows(store: Store) -> pd.DataFrame:
    """Every tested token of the suite on every SAE."""
    return ask(store, "evidence", question_values(store, sae=SAE, evidence_page=None))


@pytest.mark.parametrize("text", ["s", " SH", "Short", "a", "<b", 's"', "zz"])
def test_tokens_are_found_with_the_saes_that_absorb_them(tiny: Store, text: str) -> None:
    rows = all_rows(tiny)
    plain = rows["token"].str.lstrip(" ")
    begins = rows[plain.str.lower().str.startswith(text.lower().strip())].assign(length=plain.str.len())
    counted = begins.groupby(["token", "concept", "length"])["absorbed"].agg(["size", "sum"]).reset_index()
    wanted = counted.sort_values(["length", "sum", "token"], ascending=[True, False, True]).head(11)
    everything = ask(tiny, "search", question_values(tiny, sae=SAE, search=text))
    found = everything[everything["kind"] == "token"]
    columns = ["token", "concept", "num_saes", "num_absorbed"]
    assert found[columns].to_numpy().tolist() == wanted[["token", "concept", "size", "sum"]].to_numpy().tolist()
    assert set(everything["kind"]) <= {"concept", "token", "word"}
    # A letter is found only by its own name.
    letter = text.strip().lower()
    concepts = [concept_id(letter)] if letter in tuple(LETTERS) else []
    assert everything.loc[everything["kind"] == "concept", "concept"].tolist() == concepts
    # In addition, words of the vocabulary that were not tested on any SAE.
    words = {token.text: token.letter for token in VOCABULARY if token.letter}
    untested = [
        word
        for word in sorted(words, key=lambda word: (len(word.lstrip(" ")), word))
        if word.lstrip(" ").lower().startswith(text.lower().strip()) and word not in set(rows["token"])
    ]
    listed = everything.loc[everything["kind"] == "word", ["token", "concept"]]
    assert listed.to_numpy().tolist() == [[word, concept_id(words[word])] for word in untested[:3]]


@pytest.mark.parametrize("text", ["first letter S", "letter s", " starts with  S", "FIRST s"])
def test_concept_is_found_by_family_and_label(tiny: Store, text: str) -> None:
    asked = Asked(tiny)
    asked(text)
    assert re.findall(r'data-action="concept" data-value="([^"]*)"', asked.shown) == [concept_id("s")]


def test_token_result_lists_and_opens_all_tested_saes(tiny: Store) -> None:
    asked = Asked(tiny)
    found = ask(tiny, "search", question_values(tiny, sae=SAE, search="s"))
    asked("s")
    assert asked.tokens == [visible(token) for token in found["token"].dropna()]
    assert 'data-action="concept" data-value="first-letter.s"><b>S</b>' in asked.shown
    assert "letter: starts with S" in asked.shown
    for row in found[found["kind"] == "token"].astype({"num_saes": int, "num_absorbed": int}).itertuples():
        expected = f"tested on {row.num_saes} SAE{'s' if row.num_saes > 1 else ''}, absorbed on {row.num_absorbed}"
        assert expected in re.sub(r"<[^>]+>", "", asked.shown)
        asked.state.apply({"facet_layer": 3, "facet_l0": 40})
        asked.go("token", row.token)
        assert (asked.state.page, asked.state.token) == ("token", row.token)
        assert asked.model.token_saes is not None
        rows = asked.model.token_saes.query("concept == @row.concept")
        assert rows["is_tested"].sum() == row.num_saes
        assert rows["absorbed"].sum() == row.num_absorbed


def test_number_finds_the_latent_on_this_sae_and_on_all(tiny: Store) -> None:
    asked = Asked(tiny, layer=3, width=1000, l0=40, page="compare")
    latent = int(all_rows(tiny).query("sae == 'l3-w1000-l0-40'")["top_latent"].iloc[0])
    shown = asked(f" {latent} ")
    assert f"<b>Latent {latent}</b>" in shown
    assert "of this SAE (layer 3, 1k latents, L0 40, seed 0)" in shown
    assert "in the evidence of all SAEs" in shown
    asked.go("latent", str(latent))
    assert (asked.state.page, asked.state.latent, asked.state.sae) == ("explore", latent, sae_id(3, 1000, 40))
    asked.state.apply({"evidence_token": "sh", "evidence_verdict": "absorbed"})
    asked.go("latent_evidence", str(latent))
    assert (asked.state.page, asked.state.facet_latent, asked.state.evidence_token) == ("evidence", latent, "")
    assert asked.model.suite_evidence is not None
    assert set(asked.model.suite_evidence["top_latent"]) == {latent}
    assert "Nothing begins with “1024”, and this SAE has 1,024 latents." in asked("1024")


def test_untested_word_opens_its_page(tiny: Store) -> None:
    asked = Asked(tiny, page="atlas")
    found = ask(tiny, "search", question_values(tiny, sae=SAE, search="t"))
    word = found.loc[found["kind"] == "word", "token"].iloc[0]
    shown = asked("t")
    assert "Nothing begins with" not in shown
    assert f'data-action="token" data-value="{word}"' in shown
    assert "tested on no SAE" in shown
    asked.go("token", word)
    assert (asked.state.page, asked.state.token) == ("token", word)
    assert asked.model.token_saes is not None
    assert set(asked.model.token_saes["concept"]) == {concept_id("t")}
    assert not asked.model.token_saes["is_tested"].any()


@pytest.mark.parametrize("text", [*HOSTILE, "\ud83d", "x" * 10_000, "9" * 10_000])
def test_any_input_is_treated_as_text(tiny: Store, text: str) -> None:
    asked = Asked(tiny)
    shown = asked(text)
    assert "Nothing begins with “" in shown
    assert asked.tokens == []
    assert asked.model.error == ""
    assert {"<script", "<img", "1337"} & set(re.findall(r"<script|<img|1337", asked.field.html)) == set()
    assert max(len(run) for run in re.findall(r"x+|9+", shown) or [""]) <= SEARCH_CHARACTERS
    asked("sh")
    assert asked.tokens


def test_failed_search_is_not_called_empty(tmp_path: Path) -> None:
    with Store(write_tiny_suite(tmp_path / "tiny", saes=[SAE])) as store:
        asked = Asked(store)
    shown = asked("sh")
    assert "The search failed" in shown
    assert "Nothing begins" not in shown
    assert "closed" in asked.model.error


@pytest.mark.parametrize("text", ["", "  ", "\n\t"])
def test_without_text_the_list_is_closed(tiny: Store, text: str) -> None:
    asked = Asked(tiny)
    assert " hidden>" in asked.shown
    assert " hidden>" not in asked("sh")
    assert " hidden>" in asked(text)
    assert asked.tokens == []


def test_another_suite_empties_the_list(tiny: Store) -> None:
    asked = Asked(tiny)
    asked("sh")
    asked.state.apply({"suite": "twin"})
    assert " hidden>" in asked.shown
    assert asked.tokens == []
    asked("sh")
    assert asked.tokens


# --- In the browser ------------------------------------------------------------------------------------------------


def field(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Search a concept, token or latent")


def options(page: Page) -> Locator:
    return part(page, "search").get_by_role("option")


def expect_closed(page: Page) -> None:
    expect(options(page).and_(page.locator(":visible"))).to_have_count(0)
    expect(field(page)).to_have_attribute("aria-expanded", "false")


@pytest.mark.browser
def test_keys_find_and_open_a_token(open_page: PageOpener, home: View) -> None:
    page = open_view(open_page, home.but(letter="s"))
    hint = part(page, "search").locator("kbd")
    expect(hint).to_be_visible()
    expect_closed(page)
    page.keyboard.press("/")
    expect(field(page)).to_be_focused()
    expect(field(page)).to_have_value("")
    expect(hint).to_be_hidden()
    found = ask(home.store, "search", question_values(home.store, suite=home.suite, sae=(4, 2048, 6), search="sh"))
    page.keyboard.type("SH")
    expect(options(page)).to_have_count(len(found))
    expect(field(page)).to_have_attribute("aria-expanded", "true")
    expect(options(page).and_(page.locator("[aria-selected]"))).to_have_count(0)
    for press, chosen in (("ArrowDown", 0), ("ArrowDown", 1), ("ArrowUp", 0), ("ArrowUp", None), ("ArrowDown", 0)):
        page.keyboard.press(press)
        expect(options(page).and_(page.locator("[aria-selected=true]"))).to_have_count(int(chosen is not None))
        if chosen is not None:
            expect(options(page).nth(chosen)).to_have_attribute("aria-selected", "true")
            name = options(page).nth(chosen).get_attribute("id")
            assert field(page).get_attribute("aria-activedescendant") == name
    page.keyboard.press("ArrowDown")
    # Here arrow keys belong to the list, not to the page.
    assert query_of(page)["letter"] == "s"
    page.keyboard.press("Enter")
    token = found["token"].iloc[1]
    wait_query(page, {"page": "token", "token": token})
    expect_closed(page)
    expect(field(page)).not_to_be_focused()
    expect(field(page)).to_have_value("")
    expect(part(page, "token-page").get_by_role("heading", level=1)).to_have_text(visible(token))
    verdicts = part(page, "token-page").locator("[data-action=verdict]")
    expect(verdicts).to_have_count(int(found["num_saes"].iloc[1]))


@pytest.mark.browser
def test_keys_find_and_open_a_latent(open_page: PageOpener, home: View) -> None:
    view = home.but(letter="s")
    latent = view.absorbing[0]
    page = open_page(view.path.replace("explore", "evidence") + "&evidence_token=sh&facet_letter=s")
    wait_ready(page)
    page.keyboard.press("/")
    # Enter before the results arrive opens the first one.
    page.keyboard.type(str(latent))
    page.keyboard.press("Enter")
    wait_query(page, {"page": "explore", "latent": str(latent), "letter": "s"})
    expect(part(page, "card").locator("h2 .term").first).to_have_text(f"Latent {latent}")
    page.keyboard.press("/")
    page.keyboard.type(str(latent))
    everywhere = options(page).filter(has_text="in the evidence of all SAEs")
    everywhere.click()
    wanted = {"page": "evidence", "facet_latent": str(latent), "evidence_token": None, "facet_letter": None}
    wait_query(page, wanted)
    expect_closed(page)


@pytest.mark.browser
def test_escape_closes_then_leaves(open_page: PageOpener, home: View) -> None:
    page = open_view(open_page, home)
    field(page).click()
    page.keyboard.type("sh")
    expect(options(page).first).to_be_visible()
    page.keyboard.press("Escape")
    expect_closed(page)
    expect(field(page)).to_be_focused()
    expect(field(page)).to_have_value("sh")
    page.keyboard.press("ArrowDown")
    expect(options(page).first).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(field(page)).not_to_be_focused()
    # A click elsewhere and Tab also leave it.
    for leave in (lambda: part(page, "brand").locator(".name").click(), lambda: page.keyboard.press("Tab")):
        page.keyboard.press("/")
        page.keyboard.press("ArrowDown")
        expect(options(page).first).to_be_visible()
        leave()
        expect_closed(page)
        expect(field(page)).not_to_be_focused()
    expect(page.get_by_role("button", name="Copy link")).to_be_focused()
    # An empty field has no results.
    page.keyboard.press("/")
    page.keyboard.press("ArrowDown")
    expect(options(page).first).to_be_visible()
    page.keyboard.press("Backspace")
    expect_closed(page)
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Help")).to_contain_text("search for a concept, token or latent")
    page.keyboard.press("Escape")
    assert query_of(page) == home.query


@pytest.mark.browser
def test_unusual_input_is_shown_unchanged(open_page: PageOpener, home: View) -> None:
    page = open_view(open_page, home)
    status = part(page, "search").get_by_role("status")
    for text in HOSTILE:
        field(page).fill(text)
        # The field accepts no line breaks, and markup no null characters.
        typed = text.replace("\n", " ").replace("\0", "")
        expect(status).to_contain_text(f"Nothing begins with “{typed}”")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("(text) => navigator.clipboard.writeText(text)", "\N{GRINNING FACE}y" * 5_000 + "\nline")
    field(page).fill("")
    field(page).press("ControlOrMeta+v")
    expect(status).to_contain_text("\N{GRINNING FACE}y\N{GRINNING FACE}y")
    assert len(field(page).input_value()) <= SEARCH_CHARACTERS
    assert part(page, "search").locator("img, script").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    field(page).fill("sh")
    expect(options(page).first).to_be_visible()


@pytest.mark.browser
def test_another_suite_closes_the_list(open_page: PageOpener, pair: Pair) -> None:
    page = open_view(open_page, f"{pair.url}{pair.full.but(letter='s').path}")
    page.get_by_label("Suite", exact=True).select_option("bare")
    wait_query(page, {"suite": "bare"})
    page.keyboard.press("/")
    page.keyboard.type("s")
    expect(options(page).first).to_be_visible()
    page.evaluate("history.back()")
    wait_query(page, {"suite": "full"})
    expect_closed(page)
    expect(field(page)).to_be_focused()
    # Unusual tokens are found, shown and opened unchanged.
    for token in ('s"quoted"', " <b>strong</b>", " s'apostrophe", "s\\back"):
        field(page).fill(token)
        expect(options(page).first.locator(".token")).to_have_text(visible(token))
        options(page).first.click()
        wait_query(page, {"page": "token", "token": token})


@pytest.mark.browser
def test_phone_opens_the_field_over_the_header(open_page: PageOpener, chromium: Browser, home: View) -> None:
    context = chromium.new_context(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844})
    page = open_view(open_page, home.but(letter="s"), width=390, height=844, context=context)
    buttons = ("Open the menu", "Copy link", "Dark mode", "Help")
    for name in buttons:
        expect(page.get_by_role("button", name=name)).to_be_in_viewport(ratio=1)
    part(page, "search").locator("label").tap()
    expect(field(page)).to_be_focused()
    box = field(page).bounding_box()
    assert box
    assert box["width"] > 300
    page.keyboard.type("sh")
    expect(options(page).first).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    part(page, "search").get_by_role("button", name="Close the search").tap()
    expect_closed(page)
    for name in buttons:
        page.get_by_role("button", name=name).click(trial=True)
    part(page, "search").locator("label").tap()
    page.keyboard.type("wh")
    options(page).first.tap()
    wait_query(page, {"page": "token"})
    expect(field(page)).not_to_be_focused()
