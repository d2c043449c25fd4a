"""The pages of a site: what they show, their addresses, and what happens if a part does not load."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import expect

from explorer import open_store
from explorer.publish import publish_site
from explorer.theme import DARK
from explorer.tours import rendered_tour
from tests.browser import PageOpener, glyphs, tap, wait_figure, wait_for, wait_glyph
from tests.explore import ABSORBING, SPLIT
from tests.questions import ask, question_values
from tests.range_server import range_server
from tests.sites import Site, wait_shown
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd
    from playwright.sync_api import Browser, Page

    from queries import Store


def marked(latents: list[int], cosines: pd.Series) -> dict[str, Any]:
    return {"latent": latents, "x": latents, "cosine": [cosines[latent] for latent in latents]}


@pytest.mark.browser
def test_every_page_can_be_used(open_site: Callable[..., Page], site_store: Store) -> None:
    page = open_site("?suite=tiny")
    values = question_values(site_store, sae="l3-w1000-l0-40", letter="s")
    wait_figure(page, "cosine")
    page.locator("[data-concept='first-letter.s']").click()
    expect(page.locator("#headline .where")).to_contain_text("Letter S · layer 3, 1k latents")
    cosines = ask(site_store, "cosines", values).set_index("latent")["cosine"].astype(float)
    split, absorbing = (
        ask(site_store, f"{part}_latents", values)["latent"].tolist() for part in ("split", "absorbing")
    )
    wait_glyph(page, "cosine", SPLIT, **marked(split, cosines))
    wait_glyph(page, "cosine", ABSORBING, **marked(absorbing, cosines))
    tap(page, "cosine", absorbing[0], cosines[absorbing[0]])
    expect(page.locator("#card h2 .term")).to_have_text(f"Latent {absorbing[0]}")
    assert page.url.endswith(
        f"?page=explore&suite=tiny&sae=l3-w1000-l0-40&concept=first-letter.s&latent={absorbing[0]}"
    )
    # Another SAE, by its width, with the same concept.
    page.get_by_role("radiogroup", name="Width").get_by_role("radio", name="4k").click()
    expect(page.locator("#headline .where")).to_contain_text("4k latents, L0 10")
    expect(page.locator("#card")).to_be_hidden()
    page.locator("#headline h1").click()  # with the focus on the widths, the arrow keys would change the width
    page.keyboard.press("ArrowRight")
    expect(page.locator("#headline .where")).to_contain_text("Letter T")
    # Atlas: a ring marks the current SAE, and a tap on a cell opens it.
    page.keyboard.press("g")
    page.keyboard.press("a")
    wait_figure(page, "absorption-heatmap")
    assert glyphs(page, "absorption-vs-l0")[-1]["data"]["sae"] == ["l3-w4000-l0-10"]
    rings = glyphs(page, "absorption-heatmap")[-1]["data"]
    assert (rings["sae"], rings["concept"]) == (["l3-w4000-l0-10"], ["first-letter.t"])
    page.get_by_role("radio", name="split latents", exact=True).click()
    expect(page.get_by_role("radio", name="split latents", exact=True)).to_be_checked()
    assert "cell=num_split_latents" in page.url
    page.locator("#atlas-table th button", has_text="Rate").click()
    expect(page.locator("#atlas-table th", has_text="Rate")).to_have_attribute("aria-sort", "descending")
    tap(page, "absorption-heatmap", 0, 1)
    expect(page.locator("#headline .where")).to_contain_text("Letter S · layer 3, 1k latents, L0 40, seed 0")
    page.go_back()
    wait_shown(page)
    assert "page=atlas" in page.url
    # A search result opens the verdicts of its token.
    page.keyboard.press("/")
    page.get_by_role("combobox", name="Search").fill("short")
    expect(page.locator("#found [role=option]").first).to_contain_text("absorbed on")
    page.keyboard.press("Enter")
    expect(page.locator("#evidence")).to_contain_text("Tokens tested for S")
    shown = page.locator("#evidence .tokens-tested > tbody > tr:visible code.token")
    assert {text.lstrip("␣").lower() for text in shown.all_inner_texts()} == {"short"}
    page.get_by_role("radio", name="absorbed", exact=True).click()
    expect(page.locator("#none-found")).to_be_visible()
    # Another suite, with its own parts.
    page.locator("#suite").select_option("several")
    expect(page.locator("#evidence")).to_contain_text("Tokens tested for S (200)")
    expect(page.locator("#about")).to_contain_text("several")


@pytest.mark.browser
def test_tour_compares_two_saes(chromium: Browser, tmp_path: Path) -> None:
    widths = write_tiny_suite(tmp_path / "tiny", saes=[(3, 1000, 40), (3, 4000, 40)])
    with open_store(widths) as store:
        publish_site(store, tmp_path / "site")
        steps = rendered_tour(store, "tiny", "does-a-wider-sae-help").steps
    with range_server(tmp_path / "site") as (url, _):
        opener = PageOpener(chromium, url)
        # A step resets the former state: another SAE to compare with, moved thresholds.
        moved = "suite=tiny&tau=0.05&other_sae=l3-w4000-l0-40-s1"
        page = opener(f"{url}/index.html?page=evidence&{moved}")
        wait_shown(page)
        before = page.url
        page.get_by_role("button", name="Help").click()
        page.get_by_role("button", name="Does a wider SAE help?").click()
        for number, step in enumerate(steps, 1):
            expect(page.locator(f"[data-step$=' {number}'][data-placed]")).to_be_visible()
            expect(page.locator(".ax-tour-ring")).to_be_visible()
            expect(page.get_by_role("dialog", name=step.title)).to_be_visible()
            wait_shown(page)
            position = {"tour": "does-a-wider-sae-help", "tour_step": str(number)}
            assert dict(parse_qsl(urlsplit(page.url).query)) == dict(step.state) | position
            if number == 2:
                page.reload()
                expect(page.locator("[data-step$=' 2'][data-placed]")).to_be_visible()
                expect(page.locator("#pair-head strong").first).to_have_text("layer 3, 1k latents, L0 40, seed 0")
            page.keyboard.press("ArrowRight")
        page.go_back()
        expect(page.get_by_role("dialog", name=steps[-2].title)).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("[data-tour]")).to_have_count(0)
        assert before != page.url
        opener.close()
    assert not opener.external
    assert not opener.problems


@pytest.mark.browser
def test_link_of_the_served_page_opens_the_same_view(open_site: Callable[..., Page]) -> None:
    page = open_site("?page=explore&suite=tiny&sae=l3-w4000-l0-10&concept=first-letter.l&tau=0.03", dark=True)
    expect(page.locator("#headline .where")).to_contain_text("Letter L · layer 3, 4k latents, L0 10")
    page.evaluate("reader.go({page: 'compare'})")  # whose plot is drawn now, also for the dark theme
    wait_shown(page)
    assert page.evaluate("reader.figures['pair-rates'].model.below[0].axis_line_color") == DARK.rule
    page = open_site("?suite=nowhere&sae=%3Cb%3E&concept=x&latent=-1&page=y&metric=full")
    expect(page.locator("#headline .where")).to_contain_text("Letter A · layer 3, 1k latents")
    expect(page.locator("#refused-names")).to_have_text("nowhere, <b>, x, full, y")
    # A former link, and the name of a property that every JavaScript object has.
    for query, where, refused in [
        ("?layer=3&sae_width=4000&l0=10&letter=L", "Letter L · layer 3, 4k latents, L0 10", None),
        ("?suite=tiny&layer=7&tau=9&metric=x", "Letter A · layer 3, 1k latents", "x, layer=7, tau=9"),
        ("?suite=constructor&concept=toString&sae=", "Letter A · layer 3, 1k latents", "constructor, toString"),
    ]:
        page = open_site(query)
        expect(page.locator("#headline .where")).to_contain_text(where)
        expect(page.locator("#refused")).to_be_visible(visible=refused is not None)
        assert page.locator("#refused-names").text_content() == (refused or "")


@pytest.mark.browser
def test_selection_during_loading_is_combined_with_the_former_one(open_site: Callable[..., Page]) -> None:
    page = open_site("?suite=tiny&sae=l3-w1000-l0-40&concept=first-letter.s")
    page.evaluate("""() => {
      reader.acts.sae("l3-w4000-l0-10");
      reader.acts.concept("first-letter.q");
      reader.acts.page("evidence");
    }""")
    wait_shown(page)
    assert page.url.endswith("?page=evidence&suite=tiny&sae=l3-w4000-l0-10&concept=first-letter.q")
    expect(page.locator("#evidence")).to_contain_text("Tokens tested for Q")


@pytest.mark.browser
def test_missing_part_is_reported(chromium: Browser, site: Site) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.goto((site.folder / "index.html").as_uri())
    expect(page.locator("#failed")).to_contain_text("python -m http.server")
    with range_server(site.folder) as (url, _):
        page.goto(f"{url}/index.html?suite=tiny")
        wait_for(page, "() => document.documentElement.matches('.ax-ready:not(.ax-is-busy)')")
        expect(page.locator("#failed")).to_be_hidden()
        page.route("**/several/**", lambda route: route.abort())
        page.locator("#suite").select_option("several")
        expect(page.locator("#failed")).to_be_visible()
        expect(page.locator("#suite")).to_have_value("tiny")
        page.unroute("**/several/**")
        page.locator("#suite").select_option("several")
        expect(page.locator("#headline .where")).to_contain_text("layer 0")
        expect(page.locator("#failed")).to_be_hidden()
        page.route("**/search.bin", lambda route: route.abort())
        page.get_by_role("combobox", name="Search").fill("s")
        expect(page.get_by_text("The search could not be loaded.")).to_be_visible()
    context.close()


@pytest.mark.browser
@pytest.mark.parametrize("width", [1440, 390])
def test_pages_have_no_serious_accessibility_violations(open_site: Callable[..., Page], width: int) -> None:
    page = open_site("?suite=tiny&sae=l3-w1000-l0-40&concept=first-letter.s", width=width)
    page.locator("#lists [data-action=latent]").last.click()
    expect(page.locator("#card")).to_be_visible()
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8"))
    for name in ("explore", "compare", "atlas", "evidence"):
        page.evaluate("(name) => reader.acts.page(name)", name)
        expect(page.locator(f"[data-page={name}]:not(.away)")).to_have_count(1)
        for theme in ("light", "dark"):
            if page.evaluate("reader.isDark()") != (theme == "dark"):
                page.locator("[data-action=dark]").click()
            found = page.evaluate("() => axe.run({resultTypes: ['violations'], rules: {region: {enabled: false}}})")
            serious = [
                (rule["id"], [node["html"][:160] for node in rule["nodes"]])
                for rule in found["violations"]
                if rule["impact"] in ("serious", "critical")
            ]
            assert serious == [], (name, theme)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
