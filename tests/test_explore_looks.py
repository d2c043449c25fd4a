"""Light and dark theme, screen readers, and a phone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from explorer.theme import DARK, LIGHT
from tests.browser import figure, glyphs, point, tap, wait_figure, wait_model
from tests.explore import (
    buttons,
    cell,
    choose,
    expect_theme,
    expect_view,
    open_view,
    part,
    query_of,
    rgb,
    shifted,
    unfold,
    wait_ready,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from explorer.theme import Theme
    from tests.browser import PageOpener
    from tests.explore import View


pytestmark = pytest.mark.browser


def test_theme_is_switched_and_remembered(open_page: PageOpener, home: View) -> None:
    page = open_view(open_page, home.but(letter="s"))
    expect_theme(page, LIGHT)
    page.get_by_role("button", name="Dark mode").click()
    expect_theme(page, DARK)
    unfold(page, "splitting")
    wait_figure(page, "k-sparse")
    assert glyphs(page, "k-sparse")[0]["data"]["colour"][0] == DARK.split
    page.reload()
    wait_ready(page)
    expect_theme(page, DARK)
    assert query_of(page) == home.but(letter="s").query
    page.get_by_role("button", name="Dark mode").click()
    expect_theme(page, LIGHT)
    # A new visitor has the system's theme until another one is chosen.
    page = open_view(open_page, home, dark=True)
    expect_theme(page, DARK)
    page.get_by_role("button", name="Dark mode").click()
    expect_theme(page, LIGHT)
    page.reload()
    wait_ready(page)
    expect_theme(page, LIGHT)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_figures_follow_the_page_theme(open_page: PageOpener, home: View, theme: Theme) -> None:
    view = home.but(letter="s")
    page = open_view(open_page, view, dark=theme is DARK)
    latent = view.split[0]
    page.mouse.move(*point(page, "cosine", latent, view.cosines[latent]))
    # The line has its own tooltip, which the tooltip of the mark covers.
    tooltip = page.locator(".bk-Tooltip").filter(has_text=f"split latent{latent}cosine{view.cosines[latent]:.4f}")
    expect(tooltip).to_be_visible()
    expect(tooltip).to_have_css("background-color", rgb(theme.paper))
    expect(tooltip).to_have_css("color", rgb(theme.ink))
    expect(tooltip.get_by_text("split latent")).to_have_css("color", rgb(theme.muted))
    # The figure has the focus either way, and an outline for keyboard users only.
    plot = page.locator(".bk-events").first
    tap(page, "cosine", latent, view.cosines[latent])
    expect(plot).to_be_focused()
    expect(plot).to_have_css("outline-width", "0px")
    page.get_by_label("Export the cosines").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")  # past Cite
    expect(plot).to_be_focused()
    expect(plot).to_have_css("outline", f"{rgb(theme.split)} solid 2px")


def test_every_control_has_a_name(open_page: PageOpener, home: View) -> None:
    view = home.but(letter="s")
    page = open_view(open_page, view.but(latent=view.absorbing[0]))
    for name in ("splitting", "scores"):
        unfold(page, name)
    for name in ("cosine", "k-sparse", "precision-vs-l0"):
        wait_figure(page, name)
        expect(page.get_by_role("figure", name=f"{name.replace('-', ' ')} plot")).to_be_visible()
    for group, chosen in (("Layer", "4"), ("Width", "2k"), ("L0", "6")):
        radios = page.get_by_role("radiogroup", name=group, exact=True).get_by_role("radio")
        expect(radios.and_(page.locator("[aria-checked=true]"))).to_have_accessible_name(chosen)
    expect(page.get_by_role("slider", name="tau, the minimum F1 gain")).to_have_attribute("aria-valuetext", "0.030")
    control = r"^ *- '?(?:button|checkbox|combobox|dialog|figure|link|radio|radiogroup|slider|textbox)\b(?! \")"
    snapshot = page.locator("body").aria_snapshot()
    assert re.findall(f"{control}.*", snapshot, re.MULTILINE) == []
    assert len(re.findall(r"^ *- '?(?:button|radio|checkbox) \"", snapshot, re.MULTILINE)) > 60


def test_page_fits_a_phone(open_page: PageOpener, chromium: Browser, home: View) -> None:
    context = chromium.new_context(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844})
    view = home.but(letter="s")
    page = open_view(open_page, view, width=390, height=844, context=context)
    fits = "() => document.documentElement.scrollWidth <= window.innerWidth"
    assert page.evaluate(fits)
    assert shifted(page) < 0.1
    strip = part(page, "concept").locator(".grid")
    assert strip.evaluate("(strip) => strip.scrollWidth > strip.clientWidth")
    assert figure(page, "cosine").height + 100 >= 260
    # The selected concept is visible; others are reached by scrolling the strip.
    expect(cell(page, "s")).to_be_in_viewport()
    cell(page, "a").scroll_into_view_if_needed()
    assert page.evaluate("() => [window.scrollX, window.scrollY]") == [0, 0]
    cell(page, "a").tap()
    expect_view(page, home)

    layer = buttons(page, "layer").first
    expect(layer).not_to_be_in_viewport()
    page.get_by_role("button", name="Open the menu").tap()
    expect(layer).to_be_in_viewport()
    expect(part(page, "tasks").locator("summary").first).to_be_visible()
    choose(page, "layer", 8)
    page.locator(".ax-scrim").tap(position={"x": 370, "y": 600})
    expect(layer).not_to_be_in_viewport()
    view = home.but(layer=8, l0=7)
    expect_view(page, view)
    page.get_by_role("button", name="Open the menu").tap()
    expect(layer).to_be_in_viewport()
    page.keyboard.press("Escape")
    expect(layer).not_to_be_in_viewport()

    latent = view.split[0]
    tap(page, "cosine", latent, view.cosines[latent])
    expect_view(page, view.but(latent=latent))
    for name in ("splitting", "scores", "decision"):
        unfold(page, name)
    for name in ("k-sparse", "precision-vs-recall"):
        wait_figure(page, name)
    page.locator("[data-key=pack-absorbed]").tap()
    expect(part(page, "tester").locator("table")).to_be_visible()
    assert page.evaluate(fits)
    wait_model(page, "cosine", "({toolbar}) => !toolbar.active_drag?.type")
    context.close()
