"""At every width, all text of every page is visible, and the visual order is that of the document."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from explorer.state import ExplorerState
from ingest import import_results
from tests.browser import wait_for
from tests.explore import open_parts, open_token, part, wait_ready
from tests.saebench_results import write_results

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.browser import PageOpener, Server

pytestmark = pytest.mark.browser

WIDTHS = (1920, 1440, 1280, 1024, 768, 390)
#: Clipped on purpose: on phones the strip of concepts scrolls sideways; contexts show the surroundings of a peak.
CUT = ".concept .grid, .contexts li, .ax-header"

COLUMNS = ExplorerState.param.evidence_columns.objects

_WALK = """
const parent = (node) => node.assignedSlot ?? node.parentNode ?? node.host ?? null
function* walk(root) {
  for (const node of root.childNodes) {
    yield node
    if (node.shadowRoot) yield* walk(node.shadowRoot)
    yield* walk(node)
  }
}
"""

_CLIPPED = f"""(allowed) => {{
  {_WALK}
  const clipped = []
  const range = document.createRange()
  for (const text of walk(document.body)) {{
    const owner = text.parentElement
    if (text.nodeType !== Node.TEXT_NODE || !text.data.trim()) continue
    if (!owner?.checkVisibility({{visibilityProperty: true, opacityProperty: true}})) continue
    if (owner.closest("script, style, svg, .sr, option")) continue
    range.selectNodeContents(text)
    const rects = [...range.getClientRects()].filter(({{width, height}}) => width && height)
    if (!rects.length) continue
    const left = Math.min(...rects.map((rect) => rect.left)), right = Math.max(...rects.map((rect) => rect.right))
    const top = Math.min(...rects.map((rect) => rect.top)), bottom = Math.max(...rects.map((rect) => rect.bottom))
    let isAllowed = false, by = null
    for (let node = owner; node; node = parent(node)) {{
      if (!(node instanceof Element)) continue
      if (node.matches(allowed)) isAllowed = true
      const box = node.getBoundingClientRect(), style = getComputedStyle(node)
      const beyond = left < box.left - 1 || right > box.right + 1
      const isCell = node.matches("td, th, dt, dd, .cell") && node.contains(owner)
      const isBody = node === document.body || node === document.documentElement
      if (!isBody && beyond && (style.overflowX !== "visible" || style.clipPath !== "none" || isCell)) by ??= node
      if (!isBody && style.overflowY === "hidden" && (top < box.top - 1 || bottom > box.bottom + 1)) by ??= node
      if (style.position === "fixed") break
    }}
    if (left < -1 || right > document.documentElement.clientWidth + 1) by ??= document.body
    const by_what = by && `${{by.tagName.toLowerCase()}}.${{by.className}}`
    if (by && !isAllowed) clipped.push(`${{JSON.stringify(text.data.trim().slice(0, 40))}} by ${{by_what}}`)
  }}
  return clipped
}}"""

# Elements whose visual order differs from that of the document.
_ORDERED = f"""() => {{
  {_WALK}
  const orders = [...walk(document.body)].filter((node) => {{
    if (!(node instanceof Element) || !node.checkVisibility()) return false
    const {{order, flexDirection}} = getComputedStyle(node)
    return order !== "0" || flexDirection.endsWith("reverse") || node.tabIndex > 0
  }})
  return orders.map((node) => `${{node.tagName.toLowerCase()}}.${{node.className}}`)
}}"""

_AT_REST = """() => {
  const main = document.querySelector("main").getBoundingClientRect()
  const size = `${innerWidth} ${document.documentElement.scrollHeight} ${main.width}`
  const rests = window.testSize === size
  window.testSize = size
  return rests && document.getAnimations().every((each) => each.effect.getTiming().iterations === Infinity)
}"""


def resized(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    wait_for(page, "(width) => innerWidth === width", width)
    for _ in range(2):
        wait_for(page, _AT_REST)


@pytest.mark.parametrize(
    ("query", "act"),
    [
        ("letter=s&latent=47&tau=0.05", open_parts),
        ("page=compare", None),
        ("page=compare&compare_by=concept", None),
        ("page=compare&compare_by=pair", None),
        ("page=atlas", None),
        ("page=evidence&facet_latent=47", None),
        ("page=evidence&evidence_token=s", open_token),
        (f"page=evidence&cosine_threshold=0.1&evidence_columns={'.'.join(COLUMNS)}", None),
    ],
)
def test_no_text_is_clipped_at_any_width(open_page: PageOpener, query: str, act: Callable[[Page], None] | None) -> None:
    page = open_page(f"/dashboard?{query}")
    wait_ready(page)
    if act is not None:
        act(page)
    _expect_all_is_read(page)


def test_no_text_of_published_results_is_clipped(
    open_page: PageOpener, serve: Callable[..., Server], tmp_path: Path
) -> None:
    """Their metric is another one, an absorption fraction."""
    import_results(write_results(tmp_path / "source"), tmp_path / "published")
    url = serve(tmp_path / "published").url
    for query in ("letter=s", "page=atlas", "page=evidence"):
        page = open_page(f"{url}/dashboard?{query}")
        wait_ready(page)
        if query == "letter=s":
            expect(part(page, "figures").locator("dt")).to_have_count(8)
        _expect_all_is_read(page)


def _expect_all_is_read(page: Page) -> None:
    clipped = {}
    for width in WIDTHS:
        resized(page, width)
        if found := page.evaluate(_CLIPPED, CUT):
            clipped[width] = found
        assert page.evaluate(_ORDERED) == []
    assert clipped == {}


def test_slider_announces_the_displayed_value(open_page: PageOpener) -> None:
    page = open_page("/dashboard?letter=s&tau=0.035&effect_margin=1.05")
    wait_ready(page)
    for label, read, step in (
        ("Minimum cosine", "0.025", 0.005),
        ("tau: minimum F1 gain", "0.035", 0.005),
        ("Minimum effect margin", "1.05", 0.05),
    ):
        slider = page.get_by_role("slider", name=label)
        expect(slider).to_have_attribute("aria-valuetext", read)
        slider.press("ArrowRight")
        expect(slider).to_have_attribute("aria-valuetext", f"{float(read) + step:.{len(read) - 2}f}")


def test_sidebar_order_is_visual_and_the_title_is_visible_on_phones(open_page: PageOpener) -> None:
    page = open_page("/dashboard?letter=s")
    wait_ready(page)
    tops = [box["y"] for each in page.locator(".ax-sidebar > *").all() if (box := each.bounding_box())]
    assert len(tops) == len(("choices", "concepts", "thresholds", "tasks"))
    assert tops == sorted(tops)
    # On a phone, a link at the top of the drawer leads to the tasks at its end.
    to_tasks = page.get_by_role("link", name="Discovery tasks")
    expect(to_tasks).to_be_hidden()
    resized(page, 390)
    # While the drawer is open, the keyboard reaches it and not the page behind it.
    menu, main = page.locator("[data-menu]"), page.locator(".ax-main")
    menu.click()
    page.keyboard.press("Tab")
    expect(to_tasks).to_be_focused()
    assert main.evaluate("(it) => it.inert")
    to_tasks.click()
    expect(part(page, "tasks").locator("summary").first).to_be_in_viewport()
    page.keyboard.press("Escape")
    expect(menu).to_be_focused()
    assert not main.evaluate("(it) => it.inert")
    name = part(page, "brand").locator(".name")
    for width in (720, 390, 360, 320):
        resized(page, width)
        # Completely visible beside the tools.
        assert name.evaluate(
            "(it) => it.scrollWidth <= it.clientWidth && it.scrollHeight <= it.parentNode.clientHeight"
        )
        box, search = name.bounding_box(), part(page, "search").bounding_box()
        assert box
        assert search
        assert box["x"] + box["width"] <= search["x"]
