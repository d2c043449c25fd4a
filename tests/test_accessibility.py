"""axe-core finds nothing serious on any page, in light or dark colours, with what can be opened open."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser import wait_for
from tests.explore import open_parts, part, wait_ready

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
    open_parts(page)
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


def _close(page: Page) -> None:
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)


#: By window: its width, and addresses, each with what is done there one after the other.
_VISITS: dict[str, tuple[int, dict[str, tuple[Callable[[Page], None] | None, ...]]]] = {
    "Explore": (
        1440,
        {
            "letter=s": (None, _about, _close, _export, _close, _keys),
            "letter=s&latent=47&tau=0.05": (_open_all,),
            "letter=nonsense": (_search,),
        },
    ),
    "other pages": (
        1440,
        {
            "page=compare": (None,),
            "page=compare&compare_by=letter": (None,),
            "page=compare&compare_by=pair": (None,),
            "page=atlas": (None,),
            "page=evidence&facet_latent=47": (None,),
        },
    ),
    "narrow": (
        390,
        {"letter=s&latent=47": (None, _drawer), "page=evidence&evidence_token=no+such+token": (None,)},
    ),
}


@pytest.mark.parametrize(("width", "visits"), _VISITS.values(), ids=_VISITS)
def test_nothing_serious_stands_in_anybodys_way(
    open_page: PageOpener, width: int, visits: dict[str, tuple[Callable[[Page], None] | None, ...]]
) -> None:
    context, found = None, {}
    for query, acts in visits.items():
        page = open_page(f"/dashboard?{query}", width=width, context=context)
        context = page.context
        wait_ready(page)
        for act in acts:
            page.evaluate("document.documentElement.dataset.theme = 'light'")
            if act is not None:
                act(page)
            if act is not _close:
                found[query, act, "light"] = _violations(page)
                page.evaluate("document.documentElement.dataset.theme = 'dark'")
                found[query, act, "dark"] = _violations(page)
        page.close()
    assert {when: what for when, what in found.items() if what} == {}
