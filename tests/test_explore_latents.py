"""A selected latent: its card, the word tester, embedded and imported pages, and escaped texts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import pytest
from playwright.sync_api import expect

from queries.schema import letter_of
from tests.browser import tap
from tests.explore import buttons, choose, expect_view, open_view, part, results, row, task, wait_card_seen, wait_ready
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Locator

    from tests.browser import PageOpener, Server
    from tests.explore import Pair, View


pytestmark = pytest.mark.browser


def test_rows_and_concepts_of_a_card_are_links(open_page: PageOpener, home: View) -> None:
    """From the list to the card, and from the card to another concept in which the same latent has a role."""
    home = home.but(width=8192, l0=7)
    view, other = next(
        (start, start.but(letter=letter))
        for start in (
            home.but(letter=letter, latent=latent) for letter in "aist" for latent in home.but(letter=letter).absorbing
        )
        for letter in start.ask("latent_roles")["concept"].map(letter_of)
        if letter != start.letter
    )
    page = open_view(open_page, view.but(latent=None))
    assert view.latent is not None
    row(page, "absorbing", view.latent).focus()
    page.keyboard.press("Enter")
    expect_view(page, view)
    expect(row(page, "absorbing", view.latent)).to_be_focused()
    card = part(page, "card")
    contexts = view.ask("latent_contexts")
    expect(card.locator(".contexts li")).to_have_count(min(20, len(contexts)))
    expect(card.locator(".contexts li").first.locator("b")).to_have_text(contexts["tokens"][0][contexts["position"][0]])
    expect(card.locator(".logits td code")).to_have_count(2 * len(view.ask("latent_logits")["raised_tokens"][0]))
    expect(card.locator("svg rect")).to_have_count(len(view.ask("latent_histogram")["counts"][0]))
    for concept in view.ask("latent_roles")["concept"]:
        expect(card.locator(f"[data-action=role][data-value='{concept}']")).to_be_visible()
    card.locator(f"[data-action=role][data-value='{other.concept}']").click()
    expect_view(page, other)
    part(page, "selection").get_by_role("button", name="Show its card").click()
    expect(card.locator("h2")).to_be_in_viewport()


@pytest.mark.parametrize("width", [1440, 390])
def test_card_opens_in_view_below_the_lists(open_page: PageOpener, home: View, width: int) -> None:
    """However the latent is selected; its heading is below the contents that stick to the top of the page."""
    view = home.but(letter="s")
    page = open_view(open_page, view, width=width, height=844)
    split, absorbing = view.split[0], view.absorbing

    def expect_in_view(latent: int) -> None:
        expect(part(page, "card").locator("h2 .term").first).to_have_text(f"Latent {latent}")
        wait_card_seen(page)
        lists, card = part(page, "latents").bounding_box(), part(page, "card").bounding_box()
        assert lists
        assert card
        assert 0 <= card["y"] - (lists["y"] + lists["height"]) < 48

    tap(page, "cosine", split, view.cosines[split])
    expect_in_view(split)
    row(page, "absorbing", absorbing[0]).click()
    expect_in_view(absorbing[0])
    page.evaluate("scrollTo(0, 0)")
    tap(page, "cosine", absorbing[1], view.cosines[absorbing[1]])
    expect_in_view(absorbing[1])
    latent = part(page, "evidence").locator("[data-key^=top_latent-]").last
    number = int(latent.inner_text())
    latent.click()
    expect_in_view(number)
    part(page, "selection").get_by_role("button", name="Clear").click()
    expect(part(page, "card").and_(page.locator(":visible"))).to_have_count(0)
    row(page, "split", split).click()
    expect_in_view(split)
    # A latent from a link does not scroll the page.
    page = open_view(open_page, view.but(latent=split), width=width)
    expect(part(page, "card").locator("h2 .term").first).to_have_text(f"Latent {split}")
    assert page.evaluate("scrollY") == 0
    part(page, "selection").get_by_role("button", name="Show its card").click()
    wait_card_seen(page)


def test_neuronpedias_page_comes_first_without_data(
    open_page: PageOpener, serve: Callable[..., Server], tmp_path: Path
) -> None:
    """Neuronpedia's page is below the heading; one line states that the suite stores nothing."""
    suite = write_tiny_suite(tmp_path / "hosted", name="hosted", neuronpedia=True, examples=False, without=("latents",))
    page = open_page(f"{serve(suite).url}/dashboard?layer=0&width=1000&l0=10&letter=s")
    wait_ready(page)
    page.locator("[data-key^=absorbing-]").first.click()
    expect(part(page, "neuronpedia").locator("iframe")).to_be_visible()
    order = ["card", "neuronpedia", "tester"]
    tops = [box["y"] for name in order if (box := part(page, name).bounding_box())]
    assert tops == sorted(tops)
    assert len(tops) == len(order)
    in_document = page.locator(".ax").evaluate_all("(all) => all.map((each) => each.className.replace('ax ', ''))")
    assert sorted(order, key=in_document.index) == order
    card = part(page, "card")
    expect(card.locator(".lacks")).to_have_text("Not stored in this suite: contexts, histogram, output tokens.")
    expect(card.locator(".empty")).to_have_count(0)
    assert card.inner_text().count("store") == 1
    # If both exist, the suite's own data come first.
    page = open_view(open_page, "/dashboard?letter=s&latent=47")
    expect(part(page, "card").locator(".lacks")).to_have_count(0)


def test_word_tester_answers(open_page: PageOpener, home: View) -> None:
    view = home.but(letter="s")
    view = view.but(latent=view.absorbing[0])
    main = view.split[0]
    page = open_view(open_page, view)
    tester = part(page, "tester")

    tester.locator("[data-key=pack-absorbed-here]").click()
    tokens = view.ask("absorbed_tokens").query(f"latent == {view.latent}")["token"].tolist()
    expect(tester.locator("td code")).to_have_text([token.replace(" ", "␣") for token in tokens])
    expect(tester.locator("th").nth(2)).to_have_text(f"Latent {view.latent}")
    expect(tester.locator("th").nth(3)).to_have_text(f"Main latent {main}")
    answers = view.ask("word_activations", words=tokens, main_latent=main)
    shown = results(page)
    for column, name in ((2, "activation"), (3, "main_activation")):
        assert [cells[column] for cells in shown] == [f"{value:.2f}" for value in answers[name]]
    assert all(cells[4] == "main latent silent" for cells in shown if cells[3] == "0.00")
    expect(task(page, "identify_absorbing")).to_be_checked()

    # New random words are drawn; the shown results stay until they are requested again.
    pack = tester.locator("[data-key=pack-concept]")
    pack.click()
    words = view.ask("random_tokens", seed=0).query("of_concept")["token"].tolist()
    expect(tester.locator("td code")).to_have_text([word.replace(" ", "␣") for word in words])
    tester.get_by_role("button", name="New sample").click()
    others = view.ask("random_tokens", seed=1).query("of_concept")["token"].tolist()
    expect(pack).to_have_attribute(
        "title", f"Test these words: {' '.join(word.replace(' ', '␣') for word in others[:8])}"
    )
    pack.click()
    expect(tester.locator("td code")).to_have_text([word.replace(" ", "␣") for word in others])

    # Both forms of a word are tested if both are tokens.
    typed = 'said,  zzzqqq "quoted" <img/src=x/onerror=window.hacked=1> {{7*7}} \'; --'
    tester.locator("#words").fill(typed)
    page.keyboard.press("Enter")
    expect(tester.locator("td code")).to_have_text(["␣said", "said"])
    unknown = ["zzzqqq", '"quoted"', "<img/src=x/onerror=window.hacked=1>", "{{7*7}}", "';", "--"]
    expect(tester.locator("p code")).to_have_text(unknown)
    expect(tester.locator("#words")).to_have_value(typed)
    assert page.evaluate("window.hacked") is None
    # Another latent starts with an empty tester.
    row(page, "split", main).click()
    expect_view(page, view.but(latent=main))
    expect(tester.locator("table")).to_have_count(0)
    expect(tester.locator("#words")).to_have_value("")


def test_neuronpedia_is_embedded_with_the_words_to_test(open_page: PageOpener, pair: Pair) -> None:
    view = pair.full.but(letter="s")
    page = open_view(open_page, f"{pair.url}{view.path}")
    expect(part(page, "badge")).to_contain_text("canonical")
    expect(buttons(page, "l0")).to_have_text(["10*", "40"])
    latent = view.absorbing[0]
    row(page, "absorbing", latent).click()
    frame = part(page, "neuronpedia").locator("iframe")
    address, query = _address(frame)
    assert address == f"https://neuronpedia.org/tiny-model/0-tiny-res-1k/{latent}"
    words = view.ask("absorbed_tokens").query(f"latent == {latent}")["token"]
    assert query["defaulttesttext"] == "".join(words)
    assert query["embed"] == query["embedplots"] == query["embedtest"] == "true"
    assert query["embedsteer"] == "false"
    page.get_by_label("Plots").uncheck()
    page.get_by_label("Steering").check()
    expect(frame).to_have_attribute("src", re.compile("embedplots=false.*embedsteer=true"))
    row(page, "split", view.split[0]).click()
    expect(frame).to_have_attribute("src", re.compile(f"/{view.split[0]}\\?embed=true.*embedplots=false"))
    frame.scroll_into_view_if_needed()
    assert all(url.startswith("https://neuronpedia.org/") for url in open_page.external)
    choose(page, "l0", 40)
    expect(part(page, "badge")).to_contain_text("not canonical")
    row(page, "split", view.but(l0=40).split[0]).click()
    expect(frame).to_have_count(0)


def _address(frame: Locator) -> tuple[str, dict[str, str]]:
    address, _, query = (frame.get_attribute("src") or "").partition("?")
    return address, dict(parse_qsl(query))


def test_imported_page_is_shown_in_a_sandbox(open_page: PageOpener, pair: Pair) -> None:
    view = pair.full.but(layer=3, width=4000, l0=40, letter="s")
    page = open_view(open_page, f"{pair.url}{view.path}")
    original = part(page, "original")
    row(page, "absorbing", view.absorbing[0]).click()
    expect(original).to_contain_text("It needs the network")
    expect(original.locator("iframe")).to_have_count(0)
    original.get_by_role("button", name="Show the original page").click()
    frame = original.locator("iframe")
    expect(frame).to_have_attribute("sandbox", "allow-scripts")
    # Restyled to one column, without the column of other features; its own script runs without access to anything else.
    inside = original.frame_locator("iframe")
    expect(inside.locator("#column-2")).to_have_text("drawn by the page's own script")
    expect(inside.locator("#column-0")).to_be_hidden()
    expect(inside.locator(".grid-container")).to_have_css("display", "block")
    assert (
        inside.locator("body").evaluate(
            "() => { try { return parent.document.title } catch (error) { return error.name } }"
        )
        == "SecurityError"
    )
    original.get_by_role("button", name="Hide").click()
    expect(frame).to_have_count(0)
    row(page, "split", view.but(letter="s").split[0]).click()
    expect(original).to_contain_text("Show the original page")
    assert open_page.external == []


def test_awkward_tokens_are_shown_as_text(open_page: PageOpener, pair: Pair) -> None:
    view = pair.full.but(letter="s", layer=3)
    page = open_view(open_page, f"{pair.url}{view.path}")
    page.evaluate("() => { window.alert = () => { window.hacked = true } }")
    shown = {
        token.replace(" ", "␣").replace("\n", "⏎")
        for tokens in view.ask("absorbing_latents")["tokens"]
        for token in tokens
    }
    chips = page.get_by_role("region", name="Absorbing latents").locator("code.token")
    assert set(chips.all_inner_texts()) == shown
    row(page, "absorbing", view.absorbing[0]).click()
    card = part(page, "card")
    expect(card.locator(".logits td code").filter(has_text="<script>alert(1)</script>").first).to_be_visible()
    expect(card.locator(".contexts")).to_contain_text("<script>alert(1)</script>")
    expect(card.locator(".contexts")).to_contain_text("<b>strong</b>")
    expect(card.locator(".contexts")).to_contain_text("s⏎newline")
    expect(card.locator("script, strong, .contexts b b")).to_have_count(0)
    page.locator("[data-key=pack-absorbed]").click()
    tokens = view.ask("absorbed_tokens")["token"].tolist()
    expect(part(page, "tester").locator("td code")).to_have_text(
        [token.replace(" ", "␣").replace("\n", "⏎") for token in tokens]
    )
    page.locator("#words").fill('s"quoted"; s\\back <script>alert(1)</script>')
    page.keyboard.press("Enter")
    expect(part(page, "tester").locator("td code")).to_have_text(["s\\back", "<script>alert(1)</script>"])
    assert page.evaluate("window.hacked") is None
