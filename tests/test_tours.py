"""Tours: their files, their texts for suites of all shapes, their steps on the live page; help and presentation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from playwright.sync_api import expect

from explorer import ask, open_store
from explorer.model import choices_of
from explorer.state import ExplorerState
from explorer.store import ARCHITECTURES, SWEEPS
from explorer.text.tour_files import TOURS, TourError, read_tour
from explorer.tours import enter_step, query_of, render_tour, rendered_tour, rendered_tours, with_existing_steps
from tests.browser import figure, wait_for
from tests.explore import part, wait_ready
from tests.hostile_suite import Reader, write_hostile_suite
from tests.questions import DECIDING, FAMILY
from tests.several_metrics import write_several_metrics
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from queries import Store
    from tests.browser import PageOpener, Server

OFFERED = {
    SWEEPS.name: ["first-absorbed-word", "does-a-wider-sae-help"],
    ARCHITECTURES.name: ["first-absorbed-word", "is-it-only-letters"],
}


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with open_store(ARCHITECTURES, SWEEPS) as opened:
        yield opened


# --- Files ---------------------------------------------------------------------------------------------------------


def test_tour_texts_contain_no_literal_numbers() -> None:
    assert list(TOURS) == ["first-absorbed-word", "does-a-wider-sae-help", "is-it-only-letters"]
    slot = re.compile(r"\[\[.*?\]\]|\[%.*?%\]", re.DOTALL)
    for tour in TOURS.values():
        for text in (tour.title, tour.about, tour.unless, *(f"{step.title} {step.text}" for step in tour.step)):
            assert not re.search(r"(?<![A-Za-z])\d", slot.sub("", text)), (tour.name, text)


_GOOD = """
place = 1
title = "T"
about = "A"
unless = "U"
[[ask]]
name = "case"
query = "telling_case"
[[step]]
at = "headline"
title = "One"
text = "[[ case.sae ]]"
[[step]]
at = "cosine"
title = "Two"
text = "t"
"""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ((("place = 1", "place"),), "t.toml: is not TOML"),
        ((('title = "T"\n', ""),), "t.toml: title: field required"),
        ((('at = "cosine"', 'at = "nowhere"'),), "t.toml: step 2 points at 'nowhere'; choose one of concept, "),
        ((('text = "t"', 'text = ""'),), "t.toml: step 2 text: string should have at least 1 character"),
        ((('text = "t"', 'txt = "t"'),), "t.toml: step 2 text: field required"),
        ((('title = "T"', 'title = "T"\nname = "x"'),), "t.toml: contains a name; the name of a tour"),
        ((("telling_case", "no_question"),), "t.toml: there is no query 'no_question'"),
        ((("case.sae ", "case.sea "),), "t.toml: 'dict object' has no attribute 'sea'"),
    ],
)
def test_errors_of_a_tour_file_are_one_line(store: Store, changes: tuple[tuple[str, str], ...], message: str) -> None:
    text = _GOOD
    for before, after in changes:
        text = text.replace(before, after)
    with pytest.raises(TourError, match=f"^{re.escape(message)}") as error:
        render_tour(store, SWEEPS.name, read_tour("t", text))
    assert "\n" not in str(error.value)


# --- Their texts ---------------------------------------------------------------------------------------------------


def test_suites_offer_possible_tours_whose_states_are_valid(store: Store) -> None:
    for suite, names in OFFERED.items():
        tours = rendered_tours(store, suite)
        assert [tour.name for tour in tours if tour.steps] == names
        assert all(bool(tour.steps) != bool(tour.why_not) for tour in tours)
        for tour in tours:
            for number, step in enumerate(tour.steps, 1):
                state = ExplorerState(choices_of(store))
                assert state.from_query(query_of(step, tour.name, number, present=False)) == []
                written = dict(parse_qsl(state.to_query()))
                assert step.state.items() <= written.items()
                assert (written["tour"], written.get("tour_step", "1")) == (tour.name, str(number))
                assert not re.search(r"\[\[|\[%|None|nan", step.html + step.title)


def _text(store: Store, suite: str, tour: str) -> str:
    return " ".join(" ".join(Reader(step.html).texts) for step in rendered_tour(store, suite, tour).steps)


def test_numbers_match_the_store(store: Store) -> None:
    # Recomputed from the table of means: the pair of SAEs whose wide one absorbs most.
    means = ask(store, "sae_means", suite=SWEEPS.name).query("repeat_of.isna()")
    pairs = means.merge(means, on=["layer", "hook", "architecture"], suffixes=("", "_wide")).query(
        "width < width_wide and 0.75 * l0 <= l0_wide <= 1.25 * l0"
    )
    best = pairs.sort_values("num_absorbed_wide").iloc[-1]
    text = _text(store, SWEEPS.name, "does-a-wider-sae-help")
    assert f"The mean rate is {best.absorption_rate:.1%}" in text
    assert f"{best.absorption_rate_wide:.1%}" + " on B" in text
    higher = (pairs["absorption_rate_wide"] > pairs["absorption_rate"]).sum()
    assert f"This suite has {len(pairs)} such pairs. The wider SAE has the higher rate in {higher} of them" in text

    # The concept, other than letters, that exceeds chance most, from the rates of each family by each metric.
    suite, most = ARCHITECTURES.name, (0.0, 0.0)
    for family in set(choices_of(store)[suite].families) - {FAMILY}:
        for metric in ("ig_ablation", "full"):
            rates = ask(store, "concept_rates", suite=suite, family=family, metric=metric)
            known = rates[(rates["num_absorbed"] > 0) & (rates["num_tested"] > 0)]
            above = known["absorption_rate"] - known["random_rate"]
            most = max(most, *zip(above, known["absorption_rate"], strict=True)) if len(known) else most
    assert f"The rate is {most[1]:.1%}" in _text(store, suite, "is-it-only-letters")

    # The first word is absorbed by the named latent.
    case = ask(store, "telling_case", suite=SWEEPS.name).iloc[0]
    place = {"suite": SWEEPS.name, "sae": case.sae, "concept": case.concept}
    absorbing = ask(store, "absorbing_latents", **place).set_index("latent")
    text = _text(store, SWEEPS.name, "first-absorbed-word")
    token = rendered_tour(store, SWEEPS.name, "first-absorbed-word").steps[-1].state["evidence_token"]
    assert token in [each.strip() for each in absorbing.loc[case.latent, "tokens"]]
    assert f"is absorbed by latent {case.latent}." in text
    summary = store.fetch("summary", **place, family=FAMILY, **DECIDING).iloc[0]
    assert f"{summary.num_absorbed} of the tested words are absorbed, by {summary.num_absorbing_latents} differ" in text


def test_every_suite_renders_tours_or_gives_a_reason(tmp_path: Path) -> None:
    bare: dict[str, Any] = {
        "cosines": False,
        "examples": False,
        "activations": False,
        "without": ("k_sparse", "encoder_top", "latents"),
    }
    for folder in (
        write_tiny_suite(tmp_path / "bare", name="bare", **bare),
        write_hostile_suite(tmp_path / "hostile"),
        write_several_metrics(tmp_path / "several"),
    ):
        with open_store(folder) as opened:
            (suite,) = opened.suites
            tours = rendered_tours(opened, suite)
            assert all(bool(tour.steps) != bool(tour.why_not) for tour in tours)
            assert [found for tour in tours for step in tour.steps for found in Reader(step.html).found] == []


def test_page_without_a_server_offers_tours_with_most_steps(store: Store) -> None:
    tour = rendered_tour(store, SWEEPS.name, "does-a-wider-sae-help")
    kept = with_existing_steps(tour, lambda step: step.at != "pair")
    assert kept is not None
    assert kept.steps == tuple(step for step in tour.steps if step.at != "pair")
    # A snapshot of the wide SAE has two steps of the comparison.
    assert with_existing_steps(tour, lambda step: step.state["page"] == "explore") is None


def test_address_opens_its_step(store: Store) -> None:
    def opened(query: str) -> tuple[ExplorerState, list[str]]:
        state = ExplorerState(choices_of(store))
        return state, state.from_query(query) + enter_step(store, state, query)

    # A link without other values opens a suite that can show it, and sets the step's state.
    state, refused = opened("tour=does-a-wider-sae-help&tour_step=2")
    assert (state.suite, state.page, state.compare_by, state.tour_step) == (SWEEPS.name, "compare", "pair", 2)
    assert refused == []
    # A link copied after the visitor has navigated elsewhere keeps the displayed state.
    state, refused = opened(
        f"suite={SWEEPS.name}&page=explore&concept=first-letter.s&tour=does-a-wider-sae-help&tour_step=2"
    )
    assert (state.page, state.concept, state.tour_step, refused) == ("explore", "first-letter.s", 2, [])
    state, refused = opened(f"suite={ARCHITECTURES.name}&tour=does-a-wider-sae-help")
    assert state.tour is None
    assert "no two SAEs with about the same L0 that differ mainly in width" in refused[0]
    assert "tour" not in state.to_query()
    state, refused = opened("tour=first-absorbed-word&tour_step=50")
    assert (state.tour_step, refused) == (7, [])
    state, refused = opened("tour=no-tour&tour_step=99")
    assert "tour" not in state.to_query()
    assert "tour = 'no-tour' does not exist here" in refused[0]


# --- On the live page ----------------------------------------------------------------------------------------------

_COVERED = """() => {
  const card = [...Bokeh.index.query(({model}) => model.name === "tour")][0].el.shadowRoot.querySelector("[data-tour]");
  const [a, b] = [card, document.querySelector(".ax-tour-ring")].map((each) => each.getBoundingClientRect());
  const seen = Math.min(b.bottom, card.classList.contains("docked") ? a.top : innerHeight) - Math.max(b.top, 49);
  const apart = a.left >= b.right - 4 || a.right <= b.left + 4 || a.top >= b.bottom - 4 || a.bottom <= b.top + 4;
  return {seen: Math.round(seen), apart: apart || card.classList.contains("docked")};
}"""


def _at_step(page: Page, number: int) -> None:
    """Wait for a step; its view is visible and not covered."""
    expect(page.locator(f"[data-step$=' {number}'][data-placed]")).to_be_visible()
    wait_ready(page)
    wait_for(page, "() => document.querySelector('.ax-tour-ring').hidden === false")
    found: dict[str, Any] = page.evaluate(_COVERED)
    assert found["apart"]
    assert found["seen"] >= 40, found


def _query(page: Page) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(page.url).query))


@pytest.mark.browser
@pytest.mark.parametrize(
    "shown",
    [(SWEEPS, "does-a-wider-sae-help", 1440), (ARCHITECTURES, "is-it-only-letters", 390)],
    ids=["widths", "letters, on a phone"],
)
def test_complete_tour_can_be_followed(
    open_page: PageOpener, serve: Callable[..., Server], store: Store, shown: tuple[Path, str, int]
) -> None:
    suite, name, width = shown
    steps = rendered_tour(store, suite.name, name).steps
    page = open_page(f"{serve(suite).url}/dashboard?page=evidence", width=width)
    wait_ready(page)
    before = page.url
    page.get_by_role("button", name="Help").click()
    title = TOURS[name].title
    page.get_by_role("button", name=f"Start the tour “{title}”").click()
    for number, step in enumerate(steps, 1):
        _at_step(page, number)
        card = page.get_by_role("dialog", name=step.title)
        expect(card).to_be_visible()
        assert step.state.items() <= _query(page).items()
        if number == 1:
            expect(card).to_be_focused()
            expect(card.get_by_role("button", name="Back")).to_be_disabled()
        if number == 2 and width > 390:  # the next step sets its own state despite changes by the visitor
            page.keyboard.press("Shift+ArrowLeft")
            wait_for(page, "(concept) => !location.search.includes(concept)", f"concept={step.state['concept']}&")
        page.keyboard.press("ArrowRight")
    _at_step(page, len(steps))  # the arrow key stops here
    if width > 390:
        page.keyboard.press("ArrowLeft")
        _at_step(page, len(steps) - 1)
        page.go_back()
        _at_step(page, len(steps))
    expect(page.locator(".ax-tour-announcement")).to_contain_text(steps[-1].title)
    page.keyboard.press("Escape")
    expect(page.locator("[data-tour]")).to_have_count(0)
    expect(page.locator(".ax-tour-ring")).to_have_count(0)
    wait_for(page, "(before) => location.href === before", before)


@pytest.mark.browser
def test_step_without_its_view_is_docked_at_the_edge(open_page: PageOpener) -> None:
    # Other values of the address are kept, here a page other than the step's.
    query = urlencode({"suite": ARCHITECTURES.name, "page": "atlas", "tour": "first-absorbed-word", "tour_step": 3})
    page = open_page(f"/dashboard?{query}")
    wait_ready(page)
    card = page.locator("[data-step$=' 3'][data-placed]")
    expect(card).to_be_visible()
    expect(card).to_have_class(re.compile("docked"))
    expect(page.locator(".ax-tour-ring")).to_be_hidden()
    card.get_by_role("button", name="Next").click()
    _at_step(page, 4)


@pytest.mark.browser
def test_help_can_be_searched_and_presentations_have_keys(open_page: PageOpener) -> None:
    query = urlencode({"tour": "first-absorbed-word", "tour_step": 3, "present": 1})
    page = open_page(f"/dashboard?{query}")
    wait_ready(page)
    root = page.locator("html")
    expect(root).to_have_class(re.compile("ax-present"))
    expect(page.locator(".ax-sidebar")).to_be_hidden()
    _at_step(page, 3)
    assert _query(page)["present"] == "1"
    assert figure(page, "cosine").height > 400  # 300 outside of presentations
    page.keyboard.press("PageDown")
    _at_step(page, 4)
    page.keyboard.press("Escape")  # first the tour, then the presentation
    expect(page.locator("[data-tour]")).to_have_count(0)
    expect(root).to_have_class(re.compile("ax-present"))
    sae = _query(page)["sae"]
    page.keyboard.press("]")
    wait_for(page, "(sae) => !location.search.includes(`sae=${sae}&`)", sae)
    page.keyboard.press("[")
    wait_for(page, "(sae) => location.search.includes(`sae=${sae}&`)", sae)
    page.keyboard.press("Escape")
    expect(root).not_to_have_class(re.compile("ax-present"))
    expect(page.locator(".ax-sidebar")).to_be_visible()
    page.get_by_role("button", name="Present").click()
    expect(root).to_have_class(re.compile("ax-present"))
    page.get_by_role("button", name="Leave the presentation").click()
    expect(root).not_to_have_class(re.compile("ax-present"))

    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Help")
    expect(dialog.get_by_text("previous SAE, next SAE")).to_be_in_viewport()
    dialog.get_by_role("button", name="Glossary").click()
    expect(dialog.get_by_role("heading", name="Glossary")).to_be_in_viewport()
    dialog.get_by_role("searchbox").fill("harmonic mean")
    expect(part(page, "help").locator("dt:visible")).to_have_text(["F1"])
    expect(dialog.get_by_role("status")).to_have_text("1 found")
    dialog.get_by_role("searchbox").fill("")
    dialog.get_by_text("How absorption is decided").click()
    expect(dialog.locator("math").first).to_be_visible()
