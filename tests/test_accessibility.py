"""axe-core finds nothing serious on any page, in light or dark colours, with what can be opened open."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser import wait_figure, wait_for
from tests.explore import part, unfold, wait_ready

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.browser import PageOpener

pytestmark = pytest.mark.browser

_SERIOUS = ("serious", "critical")
_RUN = "() => axe.run(document, {resultTypes: ['violations'], iframes: false})"


def _violations(page: Page) -> list[str]:
    """Say what axe-core finds, and where."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8"))
    found: dict[str, Any] = page.evaluate(_RUN)
    return [
        f"{rule['id']} ({rule['impact']}): {node['target']} {node['html'][:200]} {node['failureSummary']}"
        for rule in found["violations"]
        if rule["impact"] in _SERIOUS
        for node in rule["nodes"]
    ]


def _open_all(page: Page) -> None:
    """Unfold everything on the page Explore, and open a token."""
    for name in ("splitting", "decision", "scores"):
        unfold(page, name)
    wait_figure(page, "k-sparse")
    part(page, "tester").locator("[data-key=pack-letter]").click()
    expect(part(page, "tester").locator("table")).to_be_visible()
    part(page, "evidence").locator("tbody button").first.click()
    expect(part(page, "evidence").locator("tr.opened")).to_be_visible()
    folded = page.locator("details:not([open]) > summary:visible")
    while folded.count():
        folded.first.click()


def _search(page: Page) -> None:
    page.get_by_role("combobox").fill("sh")
    expect(page.get_by_role("option").first).to_be_visible()


def _about(page: Page) -> None:
    page.get_by_role("button", name="About").click()
    expect(part(page, "about").locator("dialog")).to_be_visible()


def _export(page: Page) -> None:
    page.locator("button.export:visible").first.click()
    expect(part(page, "export").locator("dialog")).to_be_visible()


def _keys(page: Page) -> None:
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()


def _drawer(page: Page) -> None:
    page.get_by_role("button", name="Open the menu").click()
    wait_for(page, "() => document.documentElement.classList.contains('ax-drawer-open')")


@pytest.mark.parametrize(
    ("query", "act", "width"),
    [
        ("letter=s", None, 1440),
        ("letter=s&latent=47&tau=0.05", _open_all, 1440),
        ("letter=nonsense", _search, 1440),
        ("letter=s", _about, 1440),
        ("letter=s", _export, 1440),
        ("letter=s", _keys, 1440),
        ("letter=s&latent=47", None, 390),
        ("letter=s", _drawer, 390),
        ("page=compare", None, 1440),
        ("page=compare&compare_by=letter", None, 1440),
        ("page=compare&compare_by=pair", None, 1440),
        ("page=atlas", None, 1440),
        ("page=evidence&facet_latent=47", None, 1440),
        ("page=evidence&evidence_token=no+such+token", None, 390),
    ],
)
def test_nothing_serious_stands_in_anybodys_way(
    open_page: PageOpener, query: str, act: Callable[[Page], None] | None, width: int
) -> None:
    page = open_page(f"/dashboard?{query}", width=width)
    wait_ready(page)
    if act is not None:
        act(page)
    assert _violations(page) == []
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert _violations(page) == []
