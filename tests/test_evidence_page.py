"""Evidence in the browser: filters, a token's ablation bars, and thresholds that are shared by all pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser import tap, wait_figure
from tests.explore import cell, open_view, part, set_widget, wait_query, wait_ready

if TYPE_CHECKING:
    from tests.browser import PageOpener
    from tests.explore import View

pytestmark = pytest.mark.browser


def test_tokens_are_filtered_opened_and_linked_to_explore(open_page: PageOpener) -> None:
    page = open_page("/dashboard?page=evidence")
    wait_ready(page)
    table = part(page, "evidence").filter(has_text="Tested tokens of the suite")
    expect(table.locator("h2 .term")).to_have_text("Tested tokens of the suite (10,357)")
    table.get_by_label("Letter").select_option("first-letter.s")
    wait_query(page, {"facet_letter": "s"})
    table.get_by_role("searchbox", name="Token").fill("semi")
    table.get_by_role("button", name="Filter").click()
    wait_query(page, {"evidence_token": "semi", "facet_letter": "s"})
    first = table.locator("[data-key=token-0]")
    expect(first).to_contain_text("emi")
    first.click()
    expect(table.locator(".bars tbody tr")).to_have_count(10)
    table.get_by_role("searchbox", name="Token").fill("100% 'no\" <b>\N{GRINNING FACE}")
    table.get_by_role("searchbox", name="Token").press("Enter")
    expect(table).to_contain_text("No tested tokens match")
    page.go_back()
    wait_query(page, {"evidence_token": "semi"})
    latent = table.locator("[data-key=top_latent-0]").inner_text()
    table.locator("[data-key=top_latent-0]").click()
    wait_query(page, {"page": "explore", "letter": "s", "latent": latent})


def test_thresholds_recompute_the_verdicts_on_every_page(open_page: PageOpener, home: View) -> None:
    view = home.but(letter="s")
    page = open_view(open_page, view)
    before = cell(page, "s").inner_text()
    set_widget(page, "cosine_threshold", 0.3)
    wait_query(page, {"cosine_threshold": "0.3"})
    expect(part(page, "thresholds")).to_contain_text("differs from this suite's own (cosine threshold 0.025)")
    expect(cell(page, "s")).not_to_have_text(before)
    expect(part(page, "evidence").filter(has_text="Tokens tested for S")).to_contain_text("< 0.3000")
    page.get_by_role("link", name="Evidence").click()
    expect(part(page, "page-head").filter(has_text="Evidence")).to_contain_text("At the suite's own thresholds: 1,488")
    part(page, "thresholds").get_by_role("button", name="Reset").click()
    wait_query(page, {"cosine_threshold": None})
    expect(part(page, "page-head").filter(has_text="Evidence")).to_contain_text("1,488 of 10,357 tested tokens")


def test_tap_on_the_sensitivity_plot_moves_the_threshold(open_page: PageOpener) -> None:
    page = open_page("/dashboard?page=evidence&letter=s&layer=4&width=2048&l0=6")
    wait_figure(page, "threshold-sensitivity")
    page.get_by_role("radiogroup", name="Threshold").get_by_text("effect margin").click()
    wait_query(page, {"sensitivity_of": "effect_margin"})
    head = part(page, "section").filter(has_text="Absorption rate by threshold")
    expect(head).to_contain_text("the suite's own, 1.000")
    tap(page, "threshold-sensitivity", 2.0, 0.005)
    wait_query(page, {"effect_margin": "2.0"})
    expect(head).to_contain_text("in force, 2.000")
    expect(part(page, "thresholds")).to_contain_text("differs from this suite's own (effect margin 1.000)")
