"""The frame of Explore: opening, address and history, remembered settings, and simultaneous visitors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from explorer.store import SWEEPS
from tests.browser import figure, start_server, tap, wait_figure, wait_for
from tests.explore import (
    cell,
    choose,
    expect_view,
    open_view,
    part,
    query_of,
    row,
    shifted,
    task,
    unfold,
    wait_query,
    wait_ready,
)

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

    from tests.browser import PageOpener
    from tests.explore import View


pytestmark = pytest.mark.browser


def opening_case(home: View) -> View:
    """Return what an address that names nothing shows."""
    return home.but(width=8192, l0=7, letter="i", latent=4663)


def test_first_paint_shows_the_complete_view(open_page: PageOpener, home: View) -> None:
    page = open_view(open_page, "/dashboard")
    expect_view(page, opening_case(home))
    assert page.title().startswith("I, layer 4")
    page = open_view(open_page, home.path)
    expect_view(page, home)
    expect(page.locator("[data-concept]")).to_have_count(26)
    expect(page.locator(".ax-skeleton")).to_be_hidden()
    assert page.title().startswith("A, layer 4")
    shown = figure(page, "cosine")
    assert shown.x_range[0] <= 0
    assert shown.x_range[1] >= max(home.cosines)
    assert shown.y_range[0] <= -0.3
    assert shown.y_range[1] >= 0.7
    # Only requested parts exist: no card, no tester, no collapsed explanation.
    for name in ("card", "tester", "k-sparse"):
        expect(part(page, name)).to_have_count(0)
    expect(part(page, "disclosure").locator("[aria-expanded=true]")).to_have_text("What is absorption?")
    expect(part(page, "prose")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    # Scripts of visitors rely on this: widgets have the names of their parameters.
    for name in ("layer", "width", "l0", "concept", "page"):
        assert page.evaluate("(name) => Bokeh.documents[0].get_model_by_name(name) != null", name), name
    assert shifted(page) < 0.1
    assert open_page.external == []


def test_page_is_ready_once_the_server_has_been_notified(open_page: PageOpener, chromium: Browser) -> None:
    """Panel discards changes before that, so nothing can be chosen so early."""
    context = chromium.new_context()
    context.add_init_script(_NOTE_READY)
    page = open_page("/dashboard", dark=True, context=context)
    wait_ready(page)
    assert page.evaluate("window.idleWhenReady") is True
    # The system of a new visitor is dark, which the browser reports to the server.
    expect(page.get_by_role("button", name="Dark mode")).to_have_attribute("aria-pressed", "true")


_NOTE_READY = """
new MutationObserver((_, observer) => {
  if (!document.documentElement?.classList.contains("ax-ready")) return
  observer.disconnect()
  window.idleWhenReady = Bokeh.documents.every((doc) => doc.is_idle)
}).observe(document, {attributes: true, subtree: true, attributeFilter: ["class"]})
"""


def test_url_restores_the_view_and_history_navigates(open_page: PageOpener, home: View) -> None:
    start = home.but(layer=8, width=8192, l0=14, letter="s", tau=0.01)
    start = start.but(latent=start.absorbing[-1])
    page = open_view(
        open_page, f"{start.path}&cosine_view=rank&k_sparse_score=recall&main_latent_by=k_sparse&foreign=1"
    )
    switches = {"cosine_view": "rank", "k_sparse_score": "recall", "main_latent_by": "k_sparse"}
    wait_query(page, start.query | switches | {"foreign": None})
    expect(page.get_by_role("radio", name="rank")).to_be_checked()
    expect(part(page, "card").locator("h2 .term").first).to_have_text(f"Latent {start.latent}")
    expect(part(page, "headline").locator(".changed")).to_be_visible()
    page.get_by_role("radio", name="index").click()
    expect(page.get_by_role("radio", name="index")).to_be_checked()
    unfold(page, "splitting")
    expect(page.get_by_role("radio", name="recall")).to_be_checked()

    page.goto(f"{page.url.split('?')[0]}?{start.path.split('?')[1]}")
    wait_ready(page)
    expect_view(page, start)
    cell(page, "t").click()
    second = start.but(letter="t", latent=None)
    expect_view(page, second)
    row(page, "split", second.split[0]).click()
    third = second.but(latent=second.split[0])
    expect_view(page, third)
    choose(page, "l0", 27)
    expect_view(page, second.but(l0=27))
    page.go_back()
    expect_view(page, third)
    page.go_back()
    expect_view(page, second)
    page.go_back()
    expect_view(page, start)
    page.go_forward()
    page.go_forward()
    expect_view(page, third)
    expect(part(page, "notices").locator(".notice")).to_have_count(0)
    page.reload()
    wait_ready(page)
    expect_view(page, third)
    # Expanded parts stay expanded.
    expect(part(page, "disclosure").locator("[data-key=splitting]")).to_have_attribute("aria-expanded", "true")
    wait_figure(page, "k-sparse")


def test_slider_drag_is_one_history_step(open_page: PageOpener, home: View) -> None:
    page = open_view(open_page, home)
    before, steps = query_of(page), page.evaluate("history.length")
    handle = page.get_by_role("slider", name="Minimum effect margin")
    handle.hover()
    page.mouse.down()
    box = handle.bounding_box()
    assert box
    for pixels in (10, 20, 30):
        address = page.evaluate("location.search")
        page.mouse.move(box["x"] + box["width"] / 2 + pixels, box["y"] + box["height"] / 2)
        # The page follows before the slider is released.
        wait_for(page, "(before) => location.search !== before && location.search.includes('effect_margin')", address)
    page.mouse.up()
    assert page.evaluate("history.length") == steps + 1
    page.go_back()
    wait_query(page, before | {"effect_margin": None})


def test_copy_link_copies_the_address(open_page: PageOpener, home: View) -> None:
    page = open_view(open_page, home.but(letter="s", l0=13))
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    cell(page, "t").click()
    wait_query(page, home.but(letter="t", l0=13).query)
    link = page.get_by_role("button", name="Copy link")
    link.click()
    expect(link).to_have_class(re.compile("is-done"))
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.url
    view = home.but(letter="t", l0=13)
    assert query_of(page) == view.query
    row(page, "split", view.split[0]).click()
    part(page, "tester").get_by_role("button", name="Copy: Random T words").click()
    words = view.ask("random_tokens", seed=0).query("of_concept")["token"]
    wait_for(page, "async (text) => (await navigator.clipboard.readText()) === text", ", ".join(words))


@pytest.mark.parametrize(
    ("query", "named", "view"),
    [
        (
            "letter=zz&layer=x&width=8192&l0=13&latent=99999999&tau=nan&page=nope&effect_margin=%5B",
            {
                "concept": "first-letter.zz",
                "layer": "x",
                "latent": "99999999",
                "tau": "nan",
                "page": "nope",
                "effect_margin": "[",
            },
            {"width": 8192, "l0": 13},
        ),
        (
            "suite=none&layer=8&l0=99&width=&cosine_view=3d&letter=s&latent=%C2%B2",
            {"suite": "none", "l0": "99", "cosine_view": "3d", "latent": "²"},  # without a width
            {"layer": 8, "l0": 27, "letter": "s"},  # the nearest
        ),
        (
            (
                "letter=%3Cscript%3Ewindow.hacked%3D1%3C%2Fscript%3E&layer=%3Cimg%20src%3Dx%20onerror%3Dwindow.hacked%3D1%3E"
                f"&latent={'9' * 5_000}&width={'a' * 3_000}"
            ),
            {
                "concept": "first-letter.<script>window.hacked",
                "layer": "<img src=x",
                "latent": "9999999",
                "width": "aaaaaaa",
            },
            {},
        ),
    ],
    ids=["each-kind", "suite-and-sae", "script-and-long"],
)
def test_bad_values_of_a_url_are_named(
    open_page: PageOpener, home: View, query: str, named: dict[str, str], view: dict[str, Any]
) -> None:
    page = open_view(open_page, f"/dashboard?{query}")
    notices = part(page, "notices").locator(".notice")
    expect(notices).to_have_count(len(named))
    texts = notices.all_inner_texts()
    for name, value in named.items():
        assert any(name in notice and value in notice for notice in texts), f"{name} = {value} is not named in {texts}"
    assert max(map(len, texts)) < 300
    expect_view(page, home.but(**view))
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    for left in reversed(range(len(named))):
        notices.first.get_by_role("button", name="Dismiss").click()
        expect(notices).to_have_count(left)
    cell(page, "t").click()
    expect_view(page, home.but(**view | {"letter": "t"}))


def test_completed_tasks_are_ticked_and_remembered(open_page: PageOpener, home: View) -> None:
    page = open_view(open_page, home)
    tasks = part(page, "tasks")
    expect(tasks.locator("summary").first).to_contain_text("0 of 10")
    expect(tasks.locator("li")).to_have_count(10)
    expect(tasks.locator(".hint")).to_have_count(10)  # of the next task, and collapsed of all others
    tasks.locator("[data-task=read_k_sparse] summary").click()
    expect(tasks.locator("[data-task=read_k_sparse] .hint")).to_contain_text("follow the bars")
    cell(page, "b").click()
    expect(task(page, "select_concept")).to_be_checked()
    expect(tasks.locator("summary").first).to_contain_text("1 of 10")
    expect(tasks.locator("[data-task=select_concept] label")).to_have_css("text-decoration-line", "line-through")
    choose(page, "l0", 13)
    expect(task(page, "switch_sae")).to_be_checked()
    latent = home.but(letter="b", l0=13).split[0]
    tap(page, "cosine", latent, home.but(letter="b", l0=13).cosines[latent])
    expect(task(page, "explore_cosine")).to_be_checked()
    page.locator("[data-key=pack-concept]").click()
    expect(task(page, "test_split_latent")).to_be_checked()
    expect(task(page, "find_silent_words")).to_be_checked()  # some of them leave the main latent silent
    expect(task(page, "find_silent_words")).to_be_checked()
    task(page, "compare_probe").click()
    expect(tasks.locator("summary").first).to_contain_text("6 of 10")
    tasks.get_by_role("button", name="Undo last tick").click()
    expect(task(page, "compare_probe")).not_to_be_checked()
    task(page, "switch_sae").click()  # a tick can also be removed by hand
    expect(tasks.locator("summary").first).to_contain_text("4 of 10")

    page.reload()
    wait_ready(page)
    expect(tasks.locator("summary").first).to_contain_text("4 of 10")
    expect(tasks.locator("li.done")).to_have_count(4)
    tasks.get_by_role("button", name="Reset").click()
    expect(tasks.locator("summary").first).to_contain_text("0 of 10")
    page.reload()
    wait_ready(page)
    expect(tasks.locator("summary").first).to_contain_text("0 of 10")
    expect(tasks.locator("input:checked")).to_have_count(0)


def test_lost_connection_is_reported(open_page: PageOpener, home: View, tmp_path: Path) -> None:
    server = start_server(tmp_path / "log", SWEEPS)
    try:
        page = open_view(open_page, f"{server.url}{home.path}", allow=["not connected"])
        notice = page.get_by_role("alert").filter(has_text="Connection to the server lost")
        page.reload()  # leaving the page is no loss
        wait_ready(page)
        expect(notice).to_have_count(0)
    finally:
        server.stop()
    expect(notice).to_be_visible()
    cell(page, "s").click()
    expect(page.locator("html")).not_to_have_class(re.compile("ax-is-busy"))
    # The address still contains the last state.
    assert query_of(page) == home.query
    with page.expect_request(lambda request: request.is_navigation_request() and request.url == page.url):
        notice.get_by_role("button", name="Reload").click()


def test_visitors_do_not_share_their_state(open_page: PageOpener, home: View) -> None:
    one = open_view(open_page, home)
    two = open_view(open_page, home)
    cell(one, "s").click()
    choose(two, "layer", 12)
    task(two, "compare_probe").click()
    expect_view(one, home.but(letter="s"))
    expect_view(two, home.but(layer=12, l0=7))
    choose(one, "l0", 13)
    cell(two, "t").click()
    row(two, "split", home.but(layer=12, l0=7, letter="t").split[0]).click()
    expect_view(one, home.but(letter="s", l0=13))
    expect_view(two, home.but(layer=12, l0=7, letter="t", latent=home.but(layer=12, l0=7, letter="t").split[0]))
    expect(task(one, "compare_probe")).not_to_be_checked()
    three = open_view(open_page, "/dashboard")
    expect_view(three, opening_case(home))
