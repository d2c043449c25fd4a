"""Choosing letter, SAE and suite: by mouse, by keyboard, and in quick succession."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from explorer.theme import LIGHT
from tests.browser import figure, wait_calm, wait_figure, wait_for
from tests.explore import (
    SPLIT,
    buttons,
    cell,
    choose,
    expect_theme,
    expect_view,
    open_view,
    part,
    row,
    wait_query,
    wait_ready,
)

if TYPE_CHECKING:
    from tests.browser import PageOpener
    from tests.explore import Pair, View


pytestmark = pytest.mark.browser


def test_letter_changes_by_click_and_by_keys(open_page: PageOpener, home: View) -> None:
    page = open_view(open_page, home)
    page.keyboard.press("ArrowLeft")  # there is nothing before A
    page.keyboard.press("ArrowRight")
    expect_view(page, home.but(letter="b"))
    cell(page, "s").click()
    expect_view(page, home.but(letter="s"))
    # In the strip, which has the focus now, arrow keys also change the letter, and the focus follows.
    page.keyboard.press("ArrowLeft")
    expect_view(page, home.but(letter="r"))
    expect(cell(page, "r")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect_view(page, home.but(letter="s"))
    page.keyboard.press("ArrowDown")  # a row is four letters
    expect_view(page, home.but(letter="w"))
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    expect_view(page, home.but(letter="s"))
    cell(page, "z").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")  # there is nothing after Z
    expect_view(page, home.but(letter="z"))
    page.keyboard.press("ArrowLeft")
    expect_view(page, home.but(letter="y"))
    page.keyboard.press("ArrowRight")
    expect_view(page, home.but(letter="z"))
    assert page.title().startswith("Z, layer 4")


def test_sae_chosen_on_another_page_is_opened(open_page: PageOpener, home: View) -> None:
    """Its L0 is not available for the former SAE, and not the first one available for the new one."""
    page = open_page("/dashboard?page=atlas&layer=12&width=8192&l0=7&letter=s")
    wait_ready(page)
    page.get_by_role("button", name="Open layer 4, 2k latents, L0 26 in Explore").click()
    there = home.but(letter="s", l0=26)
    expect_view(page, there)
    page.go_back()
    wait_query(page, {"page": "atlas", "layer": "12", "width": "8192", "l0": "7"})
    page.go_forward()
    expect_view(page, there)


def test_sae_changes_by_click_and_by_keys(open_page: PageOpener, home: View) -> None:
    page = open_view(open_page, home.but(letter="s", l0=26))
    assert buttons(page, "l0").all_inner_texts() == ["6", "13", "26"]
    choose(page, "layer", 8)  # its SAEs have other L0s: the nearest one is used
    expect_view(page, home.but(letter="s", layer=8, l0=27))
    assert buttons(page, "l0").all_inner_texts() == ["7", "13", "27"]
    choose(page, "width", 8192)
    wide = home.but(letter="s", layer=8, width=8192, l0=7)
    expect_view(page, wide.but(l0=27))
    choose(page, "l0", 7)
    expect_view(page, wide)
    assert figure(page, "cosine").x_range == pytest.approx((-0.04 * 8192, 1.04 * 8192))
    part(page, "headline").click()  # takes the focus from the choices
    page.keyboard.press("ArrowUp")  # there is no lower L0
    page.keyboard.press("ArrowDown")
    expect_view(page, wide.but(l0=14))
    choose(page, "l0", 27)
    page.keyboard.press("ArrowDown")  # there is no higher L0
    page.keyboard.press("ArrowUp")
    expect_view(page, wide.but(l0=14))


def test_headline_and_plot_change_together(open_page: PageOpener, home: View) -> None:
    page = open_view(open_page, home)
    for name, view in (("l0", home.but(l0=13)), ("layer", home.but(layer=8, l0=13))):
        part(page, "headline").evaluate(_WATCH)
        choose(page, name, getattr(view, name))
        expect_view(page, view)
        assert page.evaluate("window.seen") == sorted(view.split)


def test_lost_ping_does_not_block_the_page(open_page: PageOpener, home: View) -> None:
    page = open_view(open_page, home)
    page.evaluate("""() => {
      const models = Bokeh.documents.flatMap((doc) => [...doc._all_models.values()])
      const session = models.find(({pong}) => pong !== undefined)
      session.setv({pong: session.pong + 5}, {sync: false})
    }""")
    for letter in ("t", "l"):
        cell(page, letter).click()
        expect_view(page, home.but(letter=letter))
        wait_calm(page)


def test_page_is_busy_until_everything_is_answered(open_page: PageOpener, home: View) -> None:
    page = open_view(open_page, home)
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    wait_for(page, "() => document.documentElement.classList.contains('ax-is-busy')")
    wait_calm(page)
    assert part(page, "headline").locator(".where").inner_text().strip() == home.but(letter="i").where
    # An idle page has no running animations.
    wait_for(page, "() => document.getAnimations().every(({playState}) => playState !== 'running')")


#: Remembers which split latents the plot shows as soon as the headline has changed.
_WATCH = """(headline) => {
  const {renderers} = Bokeh.documents[0].get_model_by_name("cosine");
  const points = renderers.filter(({type}) => type === "GlyphRenderer")[SPLIT];
  const observer = new MutationObserver(() => {
    window.seen = [...points.data_source.data.latent];
    observer.disconnect();
  });
  observer.observe(headline, {childList: true, subtree: true});
}""".replace("SPLIT", str(SPLIT))


def test_suites_are_selected_and_kept_separate(open_page: PageOpener, pair: Pair) -> None:
    page = open_page(f"{pair.url}/dashboard?suite=bare&letter=t")
    wait_ready(page)
    expect(page.get_by_role("combobox", name="Suite")).to_have_value("bare")
    page.get_by_role("combobox", name="Suite").select_option(label="Full")
    expect_view(page, pair.full.but(letter="t"))
    page.get_by_role("combobox", name="Suite").select_option(label="Bare")
    wait_query(page, {"suite": "bare", "letter": "t"})
    page.go_back()
    expect_view(page, pair.full.but(letter="t"))
    expect(page.get_by_role("combobox", name="Suite")).to_have_value("full")
    page.get_by_role("button", name="Help").click()
    dialog = page.get_by_role("dialog", name="Help")
    expect(dialog).to_contain_text("tiny-model")
    expect(dialog).to_contain_text("tau 0.03, cosine 0.025, effect margin 1")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_quick_changes_end_at_the_last_choice(open_page: PageOpener, home: View) -> None:
    page = open_view(open_page, home)
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    expect_view(page, home.but(letter="i"))
    # All at once, faster than any response.
    part(page, "concept").evaluate(_CLICK_ALL, "bcdefghklmnopqrst")
    expect_view(page, home.but(letter="t"))
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    cell(page, "s").dblclick()
    view = home.but(letter="s", l0=13)
    expect_view(page, view)
    latent = view.split[0]
    row(page, "split", latent).dblclick()
    expect_view(page, view.but(latent=latent))
    page.get_by_role("button", name="Dark mode").dblclick()
    toggle = part(page, "disclosure").locator("[data-key=splitting]")
    toggle.dblclick()
    toggle.click()
    wait_figure(page, "k-sparse")
    expect_theme(page, LIGHT)
    expect_view(page, view.but(latent=latent))


_CLICK_ALL = """(strip, letters) => {
  for (const letter of letters) strip.querySelector(`[data-concept="first-letter.${letter}"]`).click();
}"""
