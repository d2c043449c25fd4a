"""Suites with missing data, and suites that cannot be opened."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from explorer.headline import headline
from tests.browser import start_server, wait_figure
from tests.explore import cell, expect_view, open_view, part, row, unfold, wait_query, wait_ready
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.browser import PageOpener, Server
    from tests.explore import Pair


pytestmark = pytest.mark.browser


def test_letter_without_rows_is_explained(open_page: PageOpener, pair: Pair) -> None:
    view = pair.full.but(letter="b")
    page = open_view(open_page, f"{pair.url}{view.path}")
    expect(page.locator("[data-concept][aria-disabled=true]")).to_have_count(20)
    empty = cell(page, "c")
    expect(empty).to_have_attribute("title", re.compile("not measured"))
    empty.click(force=True)
    page.locator("h1").first.click()
    page.keyboard.press("ArrowRight")  # passes over the concepts without data
    expect_view(page, pair.full.but(letter="l"))

    page = open_page(f"{pair.url}{pair.full.but(letter='c').path}")
    wait_ready(page)
    expect(part(page, "headline").locator("h1")).to_contain_text("Nothing was measured for C")
    expect(part(page, "figures")).to_contain_text("not measured on this letter")
    expect(part(page, "message")).to_contain_text("none for C")
    _expect_no_plot(page)
    expect(part(page, "latents").locator(".guide")).to_have_count(0)
    expect(page.get_by_role("region", name="Split latents")).to_contain_text("No split latent is known for C")
    expect(page.get_by_role("region", name="Absorbing latents")).to_contain_text("not measured")
    unfold(page, "splitting")
    expect(part(page, "section")).to_contain_text(["", "No k-sparse probes for C"])
    wait_query(page, {"letter": "c"})
    cell(page, "s").click()
    expect_view(page, pair.full.but(letter="s"))
    wait_figure(page, "k-sparse")


def _expect_no_plot(page: Page) -> None:
    """Wait until the cosine plot is removed completely: no legend, no choice of its form, no empty space."""
    expect(page.locator(".legend")).to_have_count(0)
    expect(page.get_by_role("radiogroup", name="Form of the cosine plot")).to_have_count(0)
    expect(part(page, "selection")).not_to_contain_text("plot")
    message, lists = part(page, "message").bounding_box(), part(page, "latents").bounding_box()
    assert message
    assert lists
    assert lists["y"] - (message["y"] + message["height"]) < 100


def test_suite_without_saes_is_shown(open_page: PageOpener, serve: Callable[..., Server], tmp_path: Path) -> None:
    url = serve(write_tiny_suite(tmp_path / "empty", name="empty", saes=())).url
    page = open_page(f"{url}/dashboard?latent=5")
    wait_ready(page)
    expect(part(page, "headline").locator("h1")).to_have_text(headline(None, "–", "concept", has_sae=False))
    expect(part(page, "notices")).to_contain_text("latent = '5' does not exist here (this suite holds no SAE)")
    assert page.title() == "explore · Absorption Explorer"
    for name in ("splitting", "scores"):
        unfold(page, name)
    text = page.locator("body").inner_text()
    for name in (
        "this SAE",
        "the strip",
        "Choose a letter",
        "Choose a concept",
        "Layer",
        "Split latents",
        "None",
        "try the other",
    ):
        assert name not in text, f"{name!r} is shown"
    page.get_by_role("link", name="Compare").click()
    expect(part(page, "page-head").locator(":visible", has_text="This suite has no SAEs")).not_to_have_count(0)
    page.get_by_role("link", name="Atlas").click()
    expect(part(page, "atlas-table")).to_contain_text("This suite has none")
    assert "brush" not in part(page, "atlas-table").inner_text()


def test_missing_tables_are_explained(open_page: PageOpener, pair: Pair) -> None:
    view = pair.bare.but(letter="s")
    page = open_page(f"{pair.url}{view.path}")
    wait_ready(page)
    expect(part(page, "headline").locator("h1")).to_contain_text("of the S words that the probe finds")
    expect(part(page, "message")).to_contain_text("This suite stores no cosines for this SAE")
    _expect_no_plot(page)
    expect(part(page, "latents").locator(".guide")).to_have_count(2)
    row(page, "absorbing", view.absorbing[0]).click()
    expect(part(page, "card").locator("h2 .term").first).to_have_text(f"Latent {view.absorbing[0]}")
    expect(part(page, "card").locator(".lacks")).to_have_text(
        "Not stored in this suite: contexts, histogram, output tokens. Neuronpedia does not host this SAE."
    )
    page.locator("[data-key=pack-absorbed]").click()
    expect(part(page, "tester")).to_contain_text(f"stores no activations of latent {view.absorbing[0]}")
    unfold(page, "splitting")
    expect(part(page, "section").filter(has_text="No k-sparse probes for S")).to_be_visible()
    unfold(page, "scores")
    expect(part(page, "section").filter(has_text="No scores for this choice")).to_be_visible()
    text = " ".join(page.locator(".ax").all_inner_texts())
    assert "absorbing" in text
    assert not re.search(r"\b(nan|None|null|undefined)\b", text, re.IGNORECASE), text


def test_own_command_serves_the_same_page(open_page: PageOpener, pair: Pair, tmp_path: Path) -> None:
    own = start_server(tmp_path / "log", pair.full.store.suites["full"].root, own_command=True)
    try:
        page = open_view(open_page, f"{own.url}{pair.full.but(letter='s').path}")
        expect_view(page, pair.full.but(letter="s"))
    finally:
        own.stop()


@pytest.mark.parametrize("damage", ["cut short", "missing"])
def test_suite_that_cannot_be_opened_is_named(
    open_page: PageOpener, serve: Callable[..., Server], tmp_path: Path, damage: str
) -> None:
    suite = write_tiny_suite(tmp_path / "suite", name="damaged")
    file = suite / "measurements.parquet"
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-20])
    server = serve(suite)
    page = open_page(f"{server.url}/dashboard")
    expect(page.locator(".empty")).to_contain_text(f"No suite is open{file.relative_to(tmp_path)}: ")
    expect(page.locator(".empty")).to_contain_text("restore it or import the suite again")
    expect(page.locator(".ax-skeleton")).to_be_hidden()
    assert f"{file}: " in server.output
    assert "Traceback" not in server.output


def test_header_with_a_suite_picker_fits_a_phone(open_page: PageOpener, pair: Pair) -> None:
    page = open_view(open_page, f"{pair.url}{pair.full.path}", width=390, height=844)
    for name in ("Dark mode", "Help"):
        expect(page.get_by_role("button", name=name)).to_be_in_viewport(ratio=1)
    expect(page.get_by_label("Suite", exact=True)).to_be_in_viewport(ratio=1)
