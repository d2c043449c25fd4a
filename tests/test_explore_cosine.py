"""The cosine plot: clicks, zoom, its three forms, and selections."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser import drag, figure, glyphs, point, tap, wait_glyph, wait_model
from tests.explore import (
    ABSORBING,
    BAND,
    LINE,
    RING,
    SPLIT,
    cell,
    choose,
    expect_marks,
    expect_view,
    open_view,
    part,
    wait_card_seen,
    wait_query,
)

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser import PageOpener
    from tests.explore import View


pytestmark = pytest.mark.browser


def history(page: Page) -> int:
    length: int = page.evaluate("window.history.length")
    return length


def test_highest_cosines_expand_and_follow_the_concept(open_page: PageOpener, home: View) -> None:
    page = open_view(open_page, home.but(letter="s"))
    table = part(page, "plot-tables").filter(has_text="highest cosines")
    expect(table.locator("tr")).to_have_count(0)
    # The focus stays in place for keyboard users.
    table.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(table.locator("tbody")).to_be_visible()
    page.keyboard.press("Enter")
    expect(table.locator("tbody")).to_be_hidden()
    page.keyboard.press("Enter")
    for letter in ("s", "l"):
        cell(page, letter).click()
        cosines = home.but(letter=letter).cosines
        highest = sorted(cosines, key=cosines.__getitem__, reverse=True)[:25]
        expect(table.locator("tbody td:nth-child(2)")).to_have_text(list(map(str, highest)))
    # It stays as the visitor left it.
    table.locator("summary").click()
    cell(page, "s").click()
    expect_view(page, home.but(letter="s"))
    expect(table.locator("tbody")).to_be_hidden()


def test_tap_opens_the_card_of_the_tapped_latent(open_page: PageOpener, home: View) -> None:
    view = home.but(letter="s", width=8192, l0=13)
    page = open_view(open_page, view)
    cosines = view.cosines
    first, second = view.absorbing[:2] if len(view.absorbing) > 1 else (view.absorbing[0], view.split[0])
    expect(part(page, "card")).to_have_count(0)
    tap(page, "cosine", first, cosines[first])
    expect_view(page, view.but(latent=first))
    expect(part(page, "selection")).to_contain_text(f"absorbing latent of S · cosine {cosines[first]:.4f}")
    visited = history(page)
    tap(page, "cosine", first, cosines[first])
    tap(page, "cosine", 4000, 0.65)  # nothing is there
    tap(page, "cosine", second, cosines[second])
    expect_view(page, view.but(latent=second))
    assert history(page) == visited + 1, "a tap on nothing or on the selected latent is no step"
    # Between the marks, any latent can be tapped at its peak of the line.
    lonely = max(
        (latent for latent in cosines if latent not in {*view.split, *view.absorbing}), key=cosines.__getitem__
    )
    tap(page, "cosine", lonely, cosines[lonely])
    expect_view(page, view.but(latent=lonely))
    part(page, "selection").get_by_role("button", name="Clear").click()
    expect_view(page, view)


def test_zooming_resamples_the_line(open_page: PageOpener, home: View) -> None:
    view = home.but(letter="s", width=8192, l0=13)
    page = open_view(open_page, view)
    assert _span(page) == pytest.approx((-0.04 * 8192, 1.04 * 8192))
    assert len(_drawn(page)) < 2100
    latent = view.absorbing[0]
    low, high = latent - 150, latent + 150
    drag(page, "cosine", "BoxZoomTool", (low, 0.6), (high, -0.2))
    _wait_sampled(page, view, narrower_than=400)
    expect_marks(page, view)
    shown = _span(page)
    # Another concept or an SAE with as many latents keeps the zoom, and the line stays exact in it.
    page.keyboard.press("ArrowLeft")
    expect_view(page, view.but(letter="r"))
    _wait_sampled(page, view.but(letter="r"), narrower_than=400)
    page.keyboard.press("ArrowDown")
    expect_view(page, view.but(letter="r", l0=27))
    _wait_sampled(page, view.but(letter="r", l0=27), narrower_than=400)
    assert _span(page) == pytest.approx(shown)
    # An SAE with fewer latents is shown completely, and so is one with more after it.
    choose(page, "width", 2048)
    expect_view(page, home.but(letter="r", l0=26))
    wait_model(page, "cosine", "({x_range}) => x_range.end > 2000")
    assert _span(page) == pytest.approx((-0.04 * 2048, 1.04 * 2048))
    assert max(_drawn(page)) > 2000
    choose(page, "width", 8192)
    expect_view(page, view.but(letter="r", l0=27))
    wait_model(page, "cosine", "({x_range}) => x_range.end > 8000")
    assert _span(page) == pytest.approx((-0.04 * 8192, 1.04 * 8192))
    assert max(_drawn(page)) > 8000


def test_zooming_out_stops_at_the_full_range(open_page: PageOpener, home: View) -> None:
    view = home.but(letter="s")
    page = open_view(open_page, view)
    whole = _span(page)
    latent = view.split[0]
    tap(page, "cosine", latent, view.cosines[latent])  # before the tap, the wheel scrolls the page
    wait_card_seen(page)  # to which the page scrolls
    page.mouse.move(*point(page, "cosine", latent, view.cosines[latent]))
    page.mouse.wheel(0, -600)
    wait_model(page, "cosine", "({x_range: {start, end}}, width) => end - start < width", (whole[1] - whole[0]) / 2)
    for _ in range(5):
        page.mouse.wheel(0, 500)
    wait_model(page, "cosine", "({x_range: {start, end}}, whole) => start === whole[0] && end === whole[1]", whole)
    page.mouse.wheel(0, 500)
    assert _span(page) == whole
    assert figure(page, "cosine").y_range == (-0.3, 0.7)


_SAMPLED = """({renderers, x_range: {start, end}}, [cosines, narrower]) => {
  const {x, cosine} = renderers[0].data_source.data;
  const drawn = new Map([...x].map((place, nth) => [place, cosine[nth]]));
  const wanted = cosines.filter(([latent]) => start <= latent && latent <= end);
  return end - start < narrower && drawn.size < wanted.length + 10
    && wanted.every(([latent, value]) => Math.abs(drawn.get(latent) - value) < 1e-6);
}"""


def _wait_sampled(page: Page, view: View, *, narrower_than: int) -> None:
    """Wait until the line has the exact cosine of every latent in a narrow window, and few others."""
    wait_model(page, "cosine", _SAMPLED, [list(map(list, view.cosines.items())), narrower_than])


#: Whether a band covers a range of cosines, or there is none.
_BAND = """({renderers}, [nth, brushed]) => {
  const {left, right, bottom, top} = renderers.filter(({type}) => type === "GlyphRenderer")[nth].data_source.data;
  const same = ([edge], nth) => Math.abs(edge - brushed[nth]) < 0.02;
  return brushed ? top.length === 1 && [[left, right], [bottom, top]].some((edges) => edges.every(same)) : !top.length;
}"""


def _span(page: Page) -> tuple[float, float]:
    return figure(page, "cosine").x_range


def _drawn(page: Page) -> list[int]:
    drawn: list[int] = glyphs(page, "cosine")[LINE]["data"]["x"]
    return drawn


def test_overlapping_marks_show_one_tooltip(open_page: PageOpener, home: View) -> None:
    page = open_view(open_page, home.but(letter="s"))
    part(page, "section").get_by_role("radio", name="rank").click()
    wait_query(page, {"cosine_view": "rank"})
    shown = home.but(letter="s")
    highest, cosines = shown.split[0], shown.cosines
    ranks = {latent: rank for rank, latent in enumerate(sorted(cosines, key=cosines.__getitem__, reverse=True), 1)}
    rank = ranks[highest]
    wait_glyph(page, "cosine", SPLIT, x=sorted(ranks[latent] for latent in shown.split))
    page.mouse.move(*point(page, "cosine", rank, cosines[highest]))
    tooltips = page.locator(".bk-Tooltip")
    expect(tooltips).to_have_count(2)  # of the line, and of the marks on it
    expect(tooltips.filter(visible=True)).to_have_text(re.compile(f"split latent{highest}"))
    expect(tooltips.filter(visible=True)).to_have_css("opacity", "1")


def test_rank_and_distribution_support_taps_and_selections(open_page: PageOpener, home: View) -> None:
    view = home.but(letter="s")
    page = open_view(open_page, view)
    cosines = view.cosines
    ranked = sorted(cosines, key=cosines.__getitem__, reverse=True)
    rank = {latent: place for place, latent in enumerate(ranked, start=1)}

    page.get_by_role("radio", name="rank").click()
    wait_query(page, {"cosine_view": "rank"})
    for nth, latents in ((SPLIT, view.split), (ABSORBING, view.absorbing)):
        placed = sorted(latents, key=rank.__getitem__)
        wait_glyph(page, "cosine", nth, x=[rank[latent] for latent in placed], latent=placed)
    drawn = glyphs(page, "cosine")[LINE]["data"]["cosine"]
    assert drawn == sorted(drawn, reverse=True)
    latent = view.absorbing[0]
    tap(page, "cosine", rank[latent], cosines[latent])
    wait_query(page, {"latent": str(latent)})
    wait_glyph(page, "cosine", RING, x=[rank[latent]])

    page.get_by_role("radio", name="distribution").click()
    wait_query(page, {"cosine_view": "distribution", "latent": str(latent)})
    wait_glyph(page, "cosine", RING, cosine=[cosines[latent]])
    tap(page, "cosine", cosines[view.split[0]], 1)
    wait_query(page, {"latent": str(view.split[0])})

    # A selection from the middle of a gap upwards lists the latents above the gap, highest first.
    gaps = {place: cosines[ranked[place - 1]] - cosines[ranked[place]] for place in range(3, 30)}
    place = max(gaps, key=gaps.__getitem__)
    low = (cosines[ranked[place - 1]] + cosines[ranked[place]]) / 2
    brushed = part(page, "selection").locator("[data-action=latent]")
    for start, end in (((low, 100), (0.69, 10)), ((500, 0.69), (900, low))):
        drag(page, "cosine", "BoxSelectTool", start, end)
        expect(brushed).to_have_text([str(latent) for latent in ranked[:place]])
        expect(part(page, "selection")).to_contain_text(f"{place} latents with a cosine from")
        wait_model(page, "cosine", _BAND, [BAND, [low, 0.69]])
        brushed.nth(2).click()
        wait_query(page, {"latent": str(ranked[2])})
        expect(part(page, "selection").locator("strong")).to_have_text(f"Latent {ranked[2]}")
        expect(brushed.and_(page.locator("[aria-pressed=true]"))).to_have_text([str(ranked[2])])
        page.get_by_role("button", name="Clear range").click()
        expect(brushed).to_have_count(0)
        wait_model(page, "cosine", _BAND, [BAND, None])
        expect(part(page, "selection").locator("strong")).to_have_text(f"Latent {ranked[2]}")
        page.get_by_role("radio", name="index").click()
        expect_marks(page, view.but(latent=ranked[2]))
