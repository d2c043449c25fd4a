"""axe-core finds no serious or moderate problem on any page, in both themes, with all collapsed contents open."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser import wait_for
from tests.explore import open_parts, part, wait_ready
from tests.related_saes import write_related_saes
from tests.several_metrics import write_several_metrics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Locator, Page

    from tests.browser import PageOpener, Server

pytestmark = pytest.mark.browser

_BARRED = ("moderate", "serious", "critical")
#: axe-core fetches all style sheets for media, of which the page has none.
_OPTIONS: dict[str, Any] = {
    "resultTypes": ["violations"],
    "iframes": False,
    "preload": False,
}
#: Themes differ in colours alone (templates/page.html).
_BY_THEME: dict[str, dict[str, Any]] = {
    "light": _OPTIONS,
    "dark": _OPTIONS | {"runOnly": ["color-contrast", "link-in-text-block"]},
}


def _violations(where: Locator, options: dict[str, Any]) -> list[str]:
    """Return the problems that axe-core finds in a part of a page."""
    page = where.page
    if not page.evaluate("'axe' in window"):
        page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8"))
    found: dict[str, Any] = where.evaluate("(part, options) => axe.run(part, options)", options)
    return [
        f"{rule['id']} ({rule['impact']}): {node['target']} {node['html'][:200]} {node['failureSummary']}"
        for rule in found["violations"]
        if rule["impact"] in _BARRED
        for node in rule["nodes"]
    ]


# Each opens something, and returns the part to check then.


def _nothing(page: Page) -> Locator:
    return page.locator("html")


def _open_all(page: Page) -> Locator:
    """Select a latent on the page Explore, unfold everything, and open a token."""
    page.locator("[data-key^=absorbing-]").first.click()
    expect(part(page, "card").locator("h2")).to_be_visible()
    open_parts(page)
    folded = page.locator("details:not([open]) > summary:visible")
    while folded.count():
        folded.first.click()
    expect(page.locator("details[data-unfold]:visible")).to_have_count(0)
    return page.locator("html")


def _term(page: Page) -> Locator:
    """Skip to the content and open a definition, by keyboard alone."""
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.locator("main button.term:visible").first.focus()
    page.keyboard.press("Enter")
    opened = page.locator(".definition:popover-open")
    expect(opened).to_be_in_viewport(ratio=1)
    return opened


def _search(page: Page) -> Locator:
    page.get_by_role("combobox", name="Search").fill("sh")
    expect(page.get_by_role("option").first).to_be_visible()
    return page.locator("html")


def _help(page: Page) -> Locator:
    page.get_by_role("button", name="Help").click()
    part(page, "help").locator("details > summary").first.click()
    return part(page, "help").locator("dialog")


def _tour(page: Page) -> Locator:
    _help(page).locator("[data-action=tour]").first.click()
    expect(page.locator("[data-placed]")).to_be_visible()
    return page.locator("html")


def _export(page: Page) -> Locator:
    page.locator("button.export:visible").first.click()
    return part(page, "export").locator("dialog")


def _cite(page: Page) -> Locator:
    page.locator("button[data-cite]:visible").first.click()
    return part(page, "cite").locator("dialog")


def _drawer(page: Page) -> Locator:
    page.get_by_role("button", name="Open the menu").click()
    wait_for(page, "() => document.documentElement.classList.contains('ax-drawer-open')")
    return page.locator(".ax-sidebar")


#: By page: the width of the window, and addresses with the actions to perform on each in turn. Dialogs that any page
#: can open are opened on the page with the fewest other contents.
_VISITS: dict[str, tuple[int, dict[str, tuple[Callable[[Page], Locator], ...]]]] = {
    "Explore": (1440, {"letter=s&tau=0.05": (_nothing, _open_all)}),
    "other pages": (
        1440,
        {
            "page=compare": (_nothing,),
            "page=compare&compare_by=concept": (_nothing,),
            "page=compare&compare_by=pair": (_nothing,),
            "page=atlas": (_nothing,),
            "page=evidence&facet_latent=47": (_nothing,),
            "page=token&token=using": (_nothing,),
            "page=learn&absorption=1": (_nothing,),
            "page=learn&learn_step=5": (_nothing,),
            "page=evidence&evidence_token=no+such+token&letter=nonsense": (
                *(_term, _search, _help),
                *(_export, _cite, _tour),
            ),
        },
    ),
    "narrow": (
        390,
        {"letter=s&latent=47": (_nothing, _drawer), "page=evidence&evidence_token=no+such+token": (_nothing,)},
    ),
}


def _found(page: Page, acts: tuple[Callable[[Page], Locator], ...]) -> dict[tuple[str, str, str], list[str]]:
    """Run axe-core after each action, in both themes; return problems by address, action and theme."""
    found = {}
    wait_ready(page)
    for act in acts:
        opened = act(page)
        expect(opened).to_be_visible()
        for theme, options in _BY_THEME.items():
            page.evaluate("(theme) => { document.documentElement.dataset.theme = theme }", theme)
            if violations := _violations(opened, options):
                found[page.url, act.__name__, theme] = violations
        page.evaluate("document.documentElement.dataset.theme = 'light'")
        page.keyboard.press("Escape")
        expect(page.locator("dialog[open], :popover-open")).to_have_count(0)
    return found


@pytest.mark.parametrize(("width", "visits"), _VISITS.values(), ids=_VISITS)
def test_pages_have_no_serious_accessibility_violations(
    open_page: PageOpener, width: int, visits: dict[str, tuple[Callable[[Page], Locator], ...]]
) -> None:
    context = None
    found: dict[tuple[str, str, str], list[str]] = {}
    for query, acts in visits.items():
        page = open_page(f"/dashboard?{query}", width=width, context=context)
        context = page.context
        found |= _found(page, acts)
        page.close()
    assert found == {}


def _open_kin(page: Page) -> Locator:
    """Unfold all kin of a latent, or the table of the tree."""
    where = part(page, "card") if "latent=" in page.url else page.locator("html")
    more = where.locator("[data-action=more-kin], details[data-unfold]:not([open]) > summary").locator("visible=true")
    more.first.click()
    expect(more).to_have_count(0)
    return page.locator("html")


@pytest.mark.parametrize("width", [1440, 390])
def test_kin_have_no_serious_accessibility_violations(
    open_page: PageOpener, serve: Callable[..., Server], tmp_path: Path, width: int
) -> None:
    server = serve(write_related_saes(tmp_path / "related"))
    for query in ("page=compare&compare_by=splitting", "page=explore&latent=3"):
        page = open_page(f"{server.url}/dashboard?{query}", width=width)
        assert _found(page, (_open_kin,)) == {}
        page.close()


def _open_token(page: Page) -> Locator:
    """Open the values of a token by each metric, and the tables of soft absorption."""
    part(page, "evidence").locator("[data-key=token-0]").first.click()
    expect(page.locator(".by-metric")).to_be_visible()
    tables = page.locator("details[data-unfold]:not([open]) > summary").locator("visible=true")
    while tables.count():
        tables.first.click()
    return page.locator("html")


@pytest.mark.parametrize("width", [1440, 390])
def test_tokens_by_metric_have_no_serious_accessibility_violations(
    open_page: PageOpener, serve: Callable[..., Server], tmp_path: Path, width: int
) -> None:
    server = serve(write_several_metrics(tmp_path / "several"))
    page = open_page(f"{server.url}/dashboard?page=evidence&metric=full", width=width)
    wait_ready(page)
    assert _found(page, (_open_token,)) == {}
