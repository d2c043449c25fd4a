"""Learn in the browser: sliders, steps, training, formulas and links to real cases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser import wait_figure
from tests.explore import part, unfold, wait_query, wait_ready

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser import PageOpener

pytestmark = pytest.mark.browser


def test_steps_are_interactive_and_link_real_cases(open_page: PageOpener) -> None:
    page = open_page("/dashboard?page=learn&letter=l&absorption=0.98")
    wait_ready(page)
    wait_figure(page, "toy-loss")
    both = part(page, "kinds").locator("tbody tr").first
    expect(both).to_contain_text("parent and child")
    expect(both.locator("td").nth(1)).to_have_text("0.02")
    slider = page.get_by_role("slider", name="absorption α: from none to absorbed")
    slider.press("ArrowRight")
    slider.press("ArrowRight")
    expect(both.locator("td.silent")).to_have_text("0.00")
    wait_query(page, {"absorption": "1"})
    _has_formulas_in_the_font_that_comes_along(page)

    page.get_by_role("radio", name="1. A toy SAE").press("ArrowRight")
    wait_query(page, {"learn_step": "2", "absorption": "1"})
    ended = part(page, "section").filter(has_text="starts")
    expect(ended).to_contain_text("All 8 starts ended at an absorption of 1.00; in theory the loss is lowest at 1.00.")
    wait_figure(page, "toy-training")
    page.get_by_role("slider", name="P(child | no parent)").press("PageUp")
    expect(ended).to_contain_text("in theory the loss is lowest at 0.", timeout=30_000)

    foot = part(page, "learn-foot")
    foot.get_by_role("button", name="3. What a probe sees").click()
    wait_figure(page, "toy-cosines")
    expect(part(page, "kinds").filter(has_text="Probe, logit")).to_contain_text("0.00, silent")
    foot.get_by_role("button", name="4. Split or absorbed?").click()
    wait_figure(page, "toy-k-sparse")
    wait_figure(page, "suite-k-sparse")
    foot.get_by_role("button", name="5. A token's verdict").click()
    verdict = part(page, "verdict")
    expect(verdict.locator(".walk li")).to_have_count(5)
    expect(verdict).to_contain_text("Every condition holds")
    token = verdict.get_by_role("combobox", name="Token")
    token.select_option(index=token.locator("option").count() - 1)
    expect(verdict).to_contain_text("Not absorbed")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    foot.get_by_role("link", name="on Evidence").click()
    wait_query(page, {"page": "evidence", "facet_letter": "l"})
    page.go_back()
    wait_query(page, {"page": "learn", "learn_step": "5"})


def test_learn_and_help_link_to_each_other(open_page: PageOpener) -> None:
    page = open_page("/dashboard?page=learn")
    wait_ready(page)
    page.get_by_role("button", name="Tours of this suite").click()
    help_ = page.get_by_role("dialog", name="Help")
    expect(help_.get_by_role("button", name="Start the tour").first).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Atlas").click()
    wait_query(page, {"page": "atlas"})
    page.get_by_role("button", name="Help").click()
    help_.get_by_role("button", name="Start with Learn").click()
    wait_query(page, {"page": "learn"})
    expect(help_).to_have_count(0)


def test_figure_names_are_unique_in_a_session(open_page: PageOpener) -> None:
    page = open_page("/dashboard?page=explore&learn_step=4")
    wait_ready(page)
    unfold(page, "splitting")
    wait_figure(page, "k-sparse")
    page.get_by_role("link", name="Learn").click()
    wait_figure(page, "suite-k-sparse")
    names = page.evaluate(
        "[...Bokeh.documents[0].all_models].filter(({type}) => type === 'Figure').map(({name}) => name)"
    )
    assert len(names) == len(set(names)) > 2


def _has_formulas_in_the_font_that_comes_along(page: Page) -> None:
    formula = part(page, "lesson").locator("math").first
    assert "Noto Sans Math" in formula.evaluate("(formula) => getComputedStyle(formula).fontFamily")
    assert page.evaluate("[...document.fonts].map((font) => [font.family, font.status].join(' '))") == [
        "Noto Sans Math loaded"
    ]
