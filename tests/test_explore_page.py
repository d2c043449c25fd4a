"""The page Explore in a browser, served by the real `panel serve dashboard.py`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest
from playwright.sync_api import expect

from explorer import open_store
from explorer.theme import DARK, LIGHT
from tests.browser import (
    ask_model,
    drag,
    figure,
    glyphs,
    start_server,
    tap,
    wait_figure,
    wait_for,
    wait_glyph,
    wait_model,
)
from tests.explore import (
    ABSORBING,
    LINE,
    RING,
    SPLIT,
    View,
    buttons,
    cell,
    choose,
    expect_marks,
    expect_view,
    open_view,
    part,
    query_of,
    results,
    row,
    set_widget,
    task,
    unfold,
    wait_query,
    wait_ready,
)
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Locator, Page

    from explorer.theme import Theme
    from tests.browser import PageOpener, Server

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def home() -> Iterator[View]:
    """What a first visitor sees of the embedded suite."""
    with open_store() as store:
        yield View(store)


def history(page: Page) -> int:
    length: int = page.evaluate("window.history.length")
    return length


# -- Opening -----------------------------------------------------------------------------------------------------


def test_first_paint_shows_the_whole_view(open_page: PageOpener, home: View) -> None:
    page = open_view(open_page, "/dashboard")
    expect_view(page, home)
    expect(page.locator("[data-letter]")).to_have_count(26)
    expect(page.locator(".ax-skeleton")).to_be_hidden()
    assert page.title().startswith("A, layer 4")
    shown = figure(page, "cosine")
    assert shown.x_range[0] <= 0
    assert shown.x_range[1] >= max(home.cosines)
    assert shown.y_range[0] <= -0.3
    assert shown.y_range[1] >= 0.7
    # What was not asked for is not there: no card, no tester, no closed explanation.
    for name in ("card", "tester", "k-sparse"):
        expect(part(page, name)).to_have_count(0)
    expect(part(page, "disclosure").locator("[aria-expanded=true]")).to_have_text("What is absorption?")
    expect(part(page, "prose")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert open_page.external == []


def test_letter_changes_by_click_and_by_keys(open_page: PageOpener, home: View) -> None:
    page = open_view(open_page, home)
    page.keyboard.press("ArrowLeft")  # there is nothing before A
    page.keyboard.press("ArrowRight")
    expect_view(page, home.but(letter="b"))
    cell(page, "s").click()
    expect_view(page, home.but(letter="s"))
    # In the strip, which has the focus now, arrow keys walk too, and the focus goes along.
    page.keyboard.press("ArrowLeft")
    expect_view(page, home.but(letter="r"))
    expect(cell(page, "r")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect_view(page, home.but(letter="s"))
    cell(page, "z").focus()
    page.keyboard.press("Enter")
    expect_view(page, home.but(letter="z"))
    assert page.title().startswith("Z, layer 4")


def test_sae_changes_by_choice_and_by_keys(open_page: PageOpener, home: View) -> None:
    page = open_view(open_page, home.but(letter="s", l0=13))
    assert buttons(page, "l0").all_inner_texts() == ["7", "13", "26"]
    choose(page, "layer", 8)  # its SAEs have other L0s: the first one stands in
    expect_view(page, home.but(letter="s", layer=8, l0=7))
    assert buttons(page, "l0").all_inner_texts() == ["7", "14", "27"]
    choose(page, "width", 8192)
    wide = home.but(letter="s", layer=8, width=8192, l0=7)
    expect_view(page, wide)
    assert figure(page, "cosine").x_range == pytest.approx((-0.01 * 8192, 1.01 * 8192))
    page.locator("body").click(position={"x": 700, "y": 2})
    page.keyboard.press("ArrowUp")  # there is no lower L0
    page.keyboard.press("ArrowDown")
    expect_view(page, wide.but(l0=14))
    choose(page, "l0", 28)
    page.keyboard.press("ArrowUp")
    expect_view(page, wide.but(l0=14))


# -- The cosine plot ---------------------------------------------------------------------------------------------


def test_tap_opens_the_card_of_the_latent_tapped(open_page: PageOpener, home: View) -> None:
    view = home.but(letter="s", width=8192, l0=14)
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
    # Between the marks, any latent can be met where its line peaks.
    lonely = max(
        (latent for latent in cosines if latent not in {*view.split, *view.absorbing}), key=cosines.__getitem__
    )
    tap(page, "cosine", lonely, cosines[lonely])
    expect_view(page, view.but(latent=lonely))
    part(page, "selection").get_by_role("button", name="Clear").click()
    expect_view(page, view)


def test_zoom_samples_anew(open_page: PageOpener, home: View) -> None:
    view = home.but(letter="s", width=8192, l0=14)
    page = open_view(open_page, view)
    assert _span(page) == pytest.approx((-0.01 * 8192, 1.01 * 8192))
    assert len(_drawn(page)) < 2100
    latent = view.absorbing[0]
    low, high = latent - 150, latent + 150
    drag(page, "cosine", "BoxZoomTool", (low, 0.6), (high, -0.2))
    _wait_sampled(page, view, narrower_than=400)
    expect_marks(page, view)
    shown = _span(page)
    # Another letter, and an SAE of as many latents, keep the window that was chosen, and the line stays exact in it.
    page.keyboard.press("ArrowLeft")
    expect_view(page, view.but(letter="r"))
    _wait_sampled(page, view.but(letter="r"), narrower_than=400)
    page.keyboard.press("ArrowDown")
    expect_view(page, view.but(letter="r", l0=27))
    _wait_sampled(page, view.but(letter="r", l0=27), narrower_than=400)
    assert _span(page) == pytest.approx(shown)
    # An SAE of fewer latents is shown whole, and so is one of more after it.
    choose(page, "width", 2048)
    expect_view(page, home.but(letter="r", l0=7))
    wait_model(page, "cosine", "({x_range}) => x_range.end > 2000")
    assert _span(page) == pytest.approx((-0.01 * 2048, 1.01 * 2048))
    assert max(_drawn(page)) > 2000
    choose(page, "width", 8192)
    expect_view(page, view.but(letter="r", l0=7))
    wait_model(page, "cosine", "({x_range}) => x_range.end > 8000")
    assert _span(page) == pytest.approx((-0.01 * 8192, 1.01 * 8192))
    assert max(_drawn(page)) > 8000


_SAMPLED = """({renderers, x_range: {start, end}}, [cosines, narrower]) => {
  const {x, cosine} = renderers[0].data_source.data;
  const drawn = new Map([...x].map((place, nth) => [place, cosine[nth]]));
  const wanted = cosines.filter(([latent]) => start <= latent && latent <= end);
  return end - start < narrower && drawn.size < wanted.length + 10
    && wanted.every(([latent, value]) => Math.abs(drawn.get(latent) - value) < 1e-6);
}"""


def _wait_sampled(page: Page, view: View, *, narrower_than: int) -> None:
    """Wait until the line holds the exact cosine of every latent of a narrow window, and hardly any other's."""
    wait_model(page, "cosine", _SAMPLED, [list(map(list, view.cosines.items())), narrower_than])


def _span(page: Page) -> tuple[float, float]:
    return figure(page, "cosine").x_range


def _drawn(page: Page) -> list[int]:
    drawn: list[int] = glyphs(page, "cosine")[LINE]["data"]["x"]
    return drawn


def test_rank_and_distribution_are_tapped_and_brushed(open_page: PageOpener, home: View) -> None:
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

    # A brush from the middle of a gap upwards lists the latents above the gap, highest first.
    gaps = {place: cosines[ranked[place - 1]] - cosines[ranked[place]] for place in range(3, 30)}
    place = max(gaps, key=gaps.__getitem__)
    low = (cosines[ranked[place - 1]] + cosines[ranked[place]]) / 2
    brushed = part(page, "selection").locator("[data-action=latent]")
    for start, end in (((low, 100), (0.69, 10)), ((500, 0.69), (900, low))):
        drag(page, "cosine", "BoxSelectTool", start, end)
        expect(brushed).to_have_text([str(latent) for latent in ranked[:place]])
        expect(part(page, "selection")).to_contain_text(f"{place} latents with a cosine from")
        brushed.nth(2).click()
        wait_query(page, {"latent": str(ranked[2])})
        page.get_by_role("button", name="Clear").click()
        expect(brushed).to_have_count(0)
        expect(part(page, "selection").locator("strong")).to_have_text(f"Latent {ranked[2]}")
        page.get_by_role("radio", name="index").click()
        expect_marks(page, view.but(latent=ranked[2]))


# -- A latent ----------------------------------------------------------------------------------------------------


def test_rows_and_letters_of_a_card_lead_on(open_page: PageOpener, home: View) -> None:
    """From the list to the card, from the card to another letter in which the same latent plays a part."""
    home = home.but(width=8192)
    view, other = next(
        (start, start.but(letter=letter))
        for start in (
            home.but(letter=letter, latent=latent) for letter in "aist" for latent in home.but(letter=letter).absorbing
        )
        for letter in start.ask("latent_roles")["letter"]
        if letter != start.letter
    )
    page = open_view(open_page, view.but(latent=None))
    assert view.latent is not None
    row(page, "absorbing", view.latent).focus()
    page.keyboard.press("Enter")
    expect_view(page, view)
    expect(row(page, "absorbing", view.latent)).to_be_focused()
    card = part(page, "card")
    contexts = view.ask("latent_contexts")
    expect(card.locator(".contexts li")).to_have_count(min(20, len(contexts)))
    expect(card.locator(".contexts li").first.locator("b")).to_have_text(contexts["tokens"][0][contexts["position"][0]])
    expect(card.locator(".logits td code")).to_have_count(2 * len(view.ask("latent_logits")["raised_tokens"][0]))
    expect(card.locator("svg rect")).to_have_count(len(view.ask("latent_histogram")["counts"][0]))
    for letter in view.ask("latent_roles")["letter"]:
        expect(card.locator(f"[data-action=role-letter][data-value={letter}]")).to_be_visible()
    card.locator(f"[data-action=role-letter][data-value={other.letter}]").click()
    expect_view(page, other)
    part(page, "selection").get_by_role("button", name="Show its card").click()
    expect(card.locator("h2")).to_be_in_viewport()


def test_word_tester_answers(open_page: PageOpener, home: View) -> None:
    view = home.but(letter="s", l0=7)
    view = view.but(latent=view.absorbing[0])
    main = view.split[0]
    page = open_view(open_page, view)
    tester = part(page, "tester")

    tester.locator("[data-key=pack-absorbed-here]").click()
    tokens = view.ask("absorbed_tokens").query(f"latent == {view.latent}")["token"].tolist()
    expect(tester.locator("td code")).to_have_text([token.replace(" ", "␣") for token in tokens])
    expect(tester.locator("th").nth(2)).to_have_text(f"Latent {view.latent}")
    expect(tester.locator("th").nth(3)).to_have_text(f"Main latent {main}")
    answers = view.ask("word_activations", words=tokens, main_latent=main)
    shown = results(page)
    assert [float(cells[2]) for cells in shown] == pytest.approx(answers["activation"].tolist(), abs=0.005)
    assert [float(cells[3]) for cells in shown] == pytest.approx(answers["main_activation"].tolist(), abs=0.005)
    assert all(cells[4] == "main latent silent" for cells in shown if cells[3] == "0.00")
    expect(task(page, "identify_absorbing")).to_be_checked()

    # Random words are drawn anew, and what is on show stays until it is asked for again.
    pack = tester.locator("[data-key=pack-letter]")
    pack.click()
    words = view.ask("random_tokens", seed=0)["token"].tolist()
    expect(tester.locator("td code")).to_have_text([word.replace(" ", "␣") for word in words])
    tester.get_by_role("button", name="Reshuffle").click()
    others = view.ask("random_tokens", seed=1)["token"].tolist()
    expect(pack).to_have_attribute(
        "title", f"Test these words: {' '.join(word.replace(' ', '␣') for word in others[:8])}"
    )
    pack.click()
    expect(tester.locator("td code")).to_have_text([word.replace(" ", "␣") for word in others])

    # Both forms of a word are tried where both are tokens.
    typed = 'said,  zzzqqq "quoted" <img/src=x/onerror=window.hacked=1> {{7*7}} \'; --'
    tester.locator("#words").fill(typed)
    page.keyboard.press("Enter")
    expect(tester.locator("td code")).to_have_text(["␣said", "said"])
    unknown = ["zzzqqq", '"quoted"', "<img/src=x/onerror=window.hacked=1>", "{{7*7}}", "';", "--"]
    expect(tester.locator("p code")).to_have_text(unknown)
    expect(tester.locator("#words")).to_have_value(typed)
    assert page.evaluate("window.hacked") is None
    # Another latent starts with an empty tester.
    row(page, "split", main).click()
    expect_view(page, view.but(latent=main))
    expect(tester.locator("table")).to_have_count(0)
    expect(tester.locator("#words")).to_have_value("")


# -- Explanations with their figures -----------------------------------------------------------------------------


def test_k_sparse_plot_and_tau(open_page: PageOpener, home: View) -> None:
    view = home.but(letter="s")
    page = open_view(open_page, view)
    with pytest.raises(LookupError):
        figure(page, "k-sparse")
    unfold(page, "splitting")
    assert wait_figure(page, "k-sparse").y_range == (0, 1)
    bars = view.ask("k_sparse")
    wait_glyph(page, "k-sparse", 0, k=bars["k"], latent=bars["latent"], top=bars["f1"])
    split = bars["is_split"].tolist()
    assert [part == "split" for part in glyphs(page, "k-sparse")[0]["data"]["part"]] == split
    tap(page, "k-sparse", 1, 0.25)
    chosen = view.but(latent=view.split[0])
    expect_view(page, chosen)
    wait_glyph(page, "k-sparse", 1, top=[bars["f1"][0]])
    expect(task(page, "read_k_sparse")).to_be_checked()

    moved = chosen.but(tau=0.01)
    assert len(moved.split) > len(view.split)
    set_widget(page, "tau", 0.01)
    expect_view(page, moved)
    changed = part(page, "headline").locator(".changed")
    expect(changed).to_contain_text("thresholds differ from the paper")
    wait_glyph(
        page, "k-sparse", 0, part=["split" if each else "not split" for each in moved.ask("k_sparse")["is_split"]]
    )
    changed.get_by_role("button", name="Reset").click()
    expect_view(page, chosen)
    expect(changed).to_have_count(0)
    slider = page.locator(".noUi-handle")
    expect(slider).to_have_attribute("aria-valuetext", "0.03")

    page.get_by_role("radio", name="precision").click()
    wait_glyph(page, "k-sparse", 0, top=bars["precision"])
    wait_query(page, {"k_sparse_score": "precision"})


def test_panels_over_all_saes(open_page: PageOpener, home: View) -> None:
    page = open_view(open_page, home)
    unfold(page, "scores")
    panels = ("precision-vs-l0", "recall-vs-l0", "precision-vs-recall")
    for name in panels:
        wait_figure(page, name)
    for by in ("encoder", "k_sparse"):
        if by == "k_sparse":
            page.get_by_role("radio", name="by k-sparse probing").click()
            wait_query(page, {"main_latent_by": "k_sparse"})
        scores = home.ask("sae_scores", main_latent_by=by)
        wait_glyph(page, "precision-vs-l0", 0, l0=scores["l0"], precision=scores["precision"])
        wait_glyph(page, "recall-vs-l0", 0, l0=scores["l0"], recall=scores["recall"], width=scores["width"])
        wait_glyph(page, "precision-vs-recall", 0, recall=scores["recall"], precision=scores["precision"])
    assert len(scores) == len({*zip(scores["l0"], scores["precision"], strict=True)})  # a place tells an SAE
    current = scores.iloc[0]
    wait_glyph(page, "precision-vs-l0", 1, l0=[7], precision=[current["precision"]])
    wait_glyph(page, "recall-vs-l0", 1, l0=[7], recall=[current["recall"]])
    wait_glyph(page, "precision-vs-recall", 1, recall=[current["recall"]], precision=[current["precision"]])
    # Tapped: the SAE farthest from all others, so that none lies over it.
    target = _loneliest(scores, "l0", "precision")
    tap(page, "precision-vs-l0", target["l0"], target["precision"])
    sae = {name: int(target[name]) for name in ("layer", "width", "l0")}
    wait_glyph(page, "precision-vs-l0", 1, l0=[target["l0"]], precision=[target["precision"]])
    wait_glyph(page, "precision-vs-recall", 1, recall=[target["recall"]], precision=[target["precision"]])
    wait_query(page, {"main_latent_by": "k_sparse"} | {name: str(value) for name, value in sae.items()})
    expect(part(page, "headline").locator(".where")).to_have_text(home.but(**sae).where)
    labels = ask_model(page, "precision-vs-recall", _COLOUR_BAR)
    assert all(float(place) ** 0.5 == pytest.approx(at, abs=0.01) for at, place in labels), labels


_COLOUR_BAR = """({right}) => {
  const {major_label_overrides} = right.find(({type}) => type === "ColorBar");
  return [...major_label_overrides.entries()].map(([place, label]) => [Number(place), label]);
}"""


def _loneliest(scores: Any, x: str, y: str) -> dict[str, Any]:
    places = (scores[[x, y]] / scores[[x, y]].max()).to_numpy()
    distances = ((places[:, None] - places[None]) ** 2).sum(axis=2)
    distances[range(len(places)), range(len(places))] = 9
    found: dict[str, Any] = scores.iloc[int(distances.min(axis=1).argmax())].to_dict()
    return found


# -- Staying -----------------------------------------------------------------------------------------------------


def test_tasks_tick_and_stay(open_page: PageOpener, home: View) -> None:
    page = open_view(open_page, home)
    tasks = part(page, "tasks")
    expect(tasks.locator("summary")).to_contain_text("0 of 10")
    expect(tasks.locator("li")).to_have_count(10)
    expect(tasks.locator(".hint")).to_have_count(1)
    cell(page, "b").click()
    expect(task(page, "select_letter")).to_be_checked()
    expect(tasks.locator("summary")).to_contain_text("1 of 10")
    expect(tasks.locator("[data-task=select_letter] label")).to_have_css("text-decoration-line", "line-through")
    choose(page, "l0", 13)
    expect(task(page, "switch_sae")).to_be_checked()
    latent = home.but(letter="b", l0=13).split[0]
    tap(page, "cosine", latent, home.but(letter="b", l0=13).cosines[latent])
    expect(task(page, "explore_cosine")).to_be_checked()
    page.locator("[data-key=pack-letter]").click()
    expect(task(page, "test_split_latent")).to_be_checked()
    expect(task(page, "find_silent_words")).to_be_checked()  # some of them leave the main latent silent
    expect(task(page, "find_silent_words")).to_be_checked()
    task(page, "compare_probe").click()
    expect(tasks.locator("summary")).to_contain_text("6 of 10")
    tasks.get_by_role("button", name="Undo").click()
    expect(task(page, "compare_probe")).not_to_be_checked()
    task(page, "switch_sae").click()  # a tick can be taken back by hand as well
    expect(tasks.locator("summary")).to_contain_text("4 of 10")

    page.reload()
    wait_ready(page)
    expect(tasks.locator("summary")).to_contain_text("4 of 10")
    expect(tasks.locator("li.done")).to_have_count(4)
    tasks.get_by_role("button", name="Reset").click()
    expect(tasks.locator("summary")).to_contain_text("0 of 10")
    page.reload()
    wait_ready(page)
    expect(tasks.locator("summary")).to_contain_text("0 of 10")
    expect(tasks.locator("input:checked")).to_have_count(0)


def test_url_restores_the_view_and_history_walks_through_it(open_page: PageOpener, home: View) -> None:
    start = home.but(layer=8, width=8192, l0=14, letter="s", tau=0.01)
    start = start.but(latent=start.absorbing[-1])
    page = open_view(
        open_page, f"{start.path}&cosine_view=rank&k_sparse_score=recall&main_latent_by=k_sparse&foreign=1"
    )
    switches = {"cosine_view": "rank", "k_sparse_score": "recall", "main_latent_by": "k_sparse"}
    wait_query(page, start.query | switches | {"foreign": None})
    expect(page.get_by_role("radio", name="rank")).to_be_checked()
    expect(part(page, "card").locator("h2")).to_have_text(f"Latent {start.latent}")
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
    choose(page, "l0", 28)
    expect_view(page, second.but(l0=28))
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
    # What was unfolded is unfolded still.
    expect(part(page, "disclosure").locator("[data-key=splitting]")).to_have_attribute("aria-expanded", "true")
    wait_figure(page, "k-sparse")


def test_copy_link_copies_the_address(open_page: PageOpener, home: View) -> None:
    page = open_view(open_page, home.but(letter="s", l0=13))
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    cell(page, "t").click()
    wait_query(page, {"letter": "t"})
    link = page.get_by_role("button", name="Copy link")
    link.click()
    expect(link).to_have_class(re.compile("is-done"))
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.url
    assert query_of(page) == home.but(letter="t", l0=13).query


@pytest.mark.parametrize(
    ("query", "named", "view"),
    [
        (
            "letter=zz&layer=x&width=8192&l0=14&latent=99999999&tau=nan&page=nope",
            {"letter": "zz", "layer": "x", "latent": "99999999", "tau": "nan", "page": "nope"},
            {"width": 8192, "l0": 14},
        ),
        (
            "suite=none&layer=8&l0=99&width=&cosine_view=3d",
            {"suite": "none", "l0": "99", "width": "''", "cosine_view": "3d"},
            {"layer": 8},
        ),
        (
            f"letter=s&latent={'9' * 10_000}&layer={'a' * 10_000}",
            {"latent": "9999999", "layer": "aaaaaaa"},
            {"letter": "s"},
        ),
        ("letter=s&latent=%C2%B2&effect_margin=%5B", {"latent": "²", "effect_margin": "["}, {"letter": "s"}),
        (
            "letter=%3Cscript%3Ewindow.hacked%3D1%3C%2Fscript%3E&layer=%3Cimg%20src%3Dx%20onerror%3Dwindow.hacked%3D1%3E",
            {"letter": "<script>window.hacked=1</script>", "layer": "<img src=x"},
            {},
        ),
    ],
    ids=["each-kind", "suite-and-sae", "long", "digits-of-other-scripts", "script"],
)
def test_bad_values_of_a_url_are_named(
    open_page: PageOpener, home: View, query: str, named: dict[str, str], view: dict[str, Any]
) -> None:
    page = open_view(open_page, f"/dashboard?{query}")
    notices = part(page, "notices").locator(".notice")
    expect(notices).to_have_count(len(named))
    said = notices.all_inner_texts()
    for name, value in named.items():
        assert any(name in notice and value in notice for notice in said), f"{name} = {value} is not named in {said}"
    assert max(map(len, said)) < 300
    expect_view(page, home.but(**view))
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    for left in reversed(range(len(named))):
        notices.first.get_by_role("button", name="Dismiss").click()
        expect(notices).to_have_count(left)
    cell(page, "t").click()
    expect_view(page, home.but(**view | {"letter": "t"}))


# -- Other suites ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """A full and a bare generated suite, served together."""

    url: str
    server: Server
    full: View
    bare: View


@pytest.fixture(scope="module")
def pair(serve: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("suites")
    full = write_tiny_suite(folder / "full", name="full", neuronpedia=True, dashboards=True)
    bare = write_tiny_suite(
        folder / "bare",
        name="bare",
        cosines=False,
        examples=False,
        activations=False,
        without=("k_sparse", "encoder_top", "latents"),
    )
    with open_store(full, bare) as store:
        start = View(store, suite="full", layer=0, width=1000, l0=10)
        # One page that is listed is not there.
        (full / _page_of(start.but(layer=3, width=4000, l0=40, letter="s", latent=None), nth=-1)).unlink()
        server = serve(full, bare)
        yield Pair(server.url, server, start, start.but(suite="bare"))


def _page_of(view: View, nth: int) -> str:
    return str(view.ask("latent_dashboard", latent=view.absorbing[nth])["path"][0])


def test_suites_are_picked_and_kept_apart(open_page: PageOpener, pair: Pair) -> None:
    page = open_page(f"{pair.url}/dashboard?suite=bare&letter=t")
    wait_ready(page)
    expect(page.get_by_role("combobox", name="Suite")).to_have_value("bare")
    page.get_by_role("combobox", name="Suite").select_option(label="Full")
    expect_view(page, pair.full.but(letter="t"))
    page.get_by_role("combobox", name="Suite").select_option(label="Bare")
    wait_query(page, {"suite": "bare", "letter": "t"})
    page.go_back()
    expect_view(page, pair.full.but(letter="t"))
    expect(page.get_by_role("combobox", name="Suite")).to_have_value("full")
    page.get_by_role("button", name="About").click()
    dialog = page.get_by_role("dialog", name="About this suite")
    expect(dialog).to_contain_text("tiny-model")
    expect(dialog).to_contain_text("tau 0.03, cosine 0.025, effect margin 1")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_letter_without_rows_is_explained(open_page: PageOpener, pair: Pair) -> None:
    view = pair.full.but(letter="b")
    page = open_view(open_page, f"{pair.url}{view.path}")
    expect(page.locator("[data-letter][aria-disabled=true]")).to_have_count(20)
    empty = cell(page, "c")
    expect(empty).to_have_attribute("title", re.compile("not measured"))
    empty.click(force=True)
    page.locator("h1").first.click()
    page.keyboard.press("ArrowRight")  # passes over the letters without data
    expect_view(page, pair.full.but(letter="l"))

    page = open_page(f"{pair.url}{pair.full.but(letter='c').path}")
    wait_ready(page)
    expect(part(page, "headline").locator("h1")).to_contain_text("Nothing was measured for C")
    expect(part(page, "figures")).to_contain_text("not measured on this letter")
    expect(part(page, "message")).to_contain_text("none for C")
    expect(page.get_by_role("region", name="Split latents")).to_contain_text("No split latent is known for C")
    expect(page.get_by_role("region", name="Absorbing latents")).to_contain_text("not measured")
    unfold(page, "splitting")
    expect(part(page, "section")).to_contain_text(["", "No k-sparse probes for C"])
    wait_query(page, {"letter": "c"})
    cell(page, "s").click()
    expect_view(page, pair.full.but(letter="s"))
    wait_figure(page, "k-sparse")


def test_what_a_suite_lacks_is_explained(open_page: PageOpener, pair: Pair) -> None:
    view = pair.bare.but(letter="s")
    page = open_page(f"{pair.url}{view.path}")
    wait_ready(page)
    expect(part(page, "headline").locator("h1")).to_contain_text("of the S-words that the probe finds")
    expect(part(page, "message")).to_contain_text("This suite stores no cosines for this SAE")
    row(page, "absorbing", view.absorbing[0]).click()
    expect(part(page, "card").locator("h2")).to_have_text(f"Latent {view.absorbing[0]}")
    expect(part(page, "card")).to_contain_text("stores no text in which this latent fires")
    expect(part(page, "card")).to_contain_text("No histogram is stored")
    expect(part(page, "missing")).to_contain_text(f"No dashboard for latent {view.absorbing[0]}")
    expect(part(page, "missing")).to_contain_text("Neuronpedia, which does not host this SAE")
    page.locator("[data-key=pack-absorbed]").click()
    expect(part(page, "tester")).to_contain_text(f"stores no activations of latent {view.absorbing[0]}")
    unfold(page, "splitting")
    expect(part(page, "section").filter(has_text="No k-sparse probes for S")).to_be_visible()
    unfold(page, "scores")
    expect(part(page, "section").filter(has_text="No scores for this choice")).to_be_visible()
    said = " ".join(page.locator(".ax").all_inner_texts())
    assert "absorbing" in said
    assert not re.search(r"\b(nan|None|null|undefined)\b", said, re.IGNORECASE), said


def test_neuronpedia_is_embedded_with_the_words_to_test(open_page: PageOpener, pair: Pair) -> None:
    view = pair.full.but(letter="s")
    page = open_view(open_page, f"{pair.url}{view.path}")
    expect(part(page, "badge")).to_contain_text("canonical")
    expect(buttons(page, "l0")).to_have_text(["10*", "40"])
    latent = view.absorbing[0]
    row(page, "absorbing", latent).click()
    frame = part(page, "neuronpedia").locator("iframe")
    address, query = _address(frame)
    assert address == f"https://neuronpedia.org/tiny-model/0-tiny-res-1k/{latent}"
    words = view.ask("absorbed_tokens").query(f"latent == {latent}")["token"]
    assert query["defaulttesttext"] == "".join(words)
    assert query["embed"] == query["embedplots"] == query["embedtest"] == "true"
    assert query["embedsteer"] == "false"
    page.get_by_label("Plots").uncheck()
    page.get_by_label("Steering").check()
    expect(frame).to_have_attribute("src", re.compile("embedplots=false.*embedsteer=true"))
    row(page, "split", view.split[0]).click()
    expect(frame).to_have_attribute("src", re.compile(f"/{view.split[0]}\\?embed=true.*embedplots=false"))
    frame.scroll_into_view_if_needed()
    assert all(url.startswith("https://neuronpedia.org/") for url in open_page.external)
    choose(page, "l0", 40)
    expect(part(page, "badge")).to_contain_text("not canonical")
    row(page, "split", view.but(l0=40).split[0]).click()
    expect(frame).to_have_count(0)


def _address(frame: Locator) -> tuple[str, dict[str, str]]:
    address, _, query = (frame.get_attribute("src") or "").partition("?")
    return address, dict(parse_qsl(query))


def test_imported_page_is_shown_in_a_sandbox(open_page: PageOpener, pair: Pair) -> None:
    view = pair.full.but(layer=3, width=4000, l0=40, letter="s")
    page = open_view(open_page, f"{pair.url}{view.path}")
    original = part(page, "original")
    row(page, "absorbing", view.absorbing[0]).click()
    expect(original).to_contain_text("It needs the network")
    expect(original.locator("iframe")).to_have_count(0)
    original.get_by_role("button", name="Show the original page").click()
    frame = original.locator("iframe")
    expect(frame).to_have_attribute("sandbox", "allow-scripts")
    # Restyled to one column, without the column of other features; its own script runs, and reaches nothing outside.
    inside = original.frame_locator("iframe")
    expect(inside.locator("#column-2")).to_have_text("drawn by the page's own script")
    expect(inside.locator("#column-0")).to_be_hidden()
    expect(inside.locator(".grid-container")).to_have_css("display", "block")
    assert (
        inside.locator("body").evaluate(
            "() => { try { return parent.document.title } catch (error) { return error.name } }"
        )
        == "SecurityError"
    )
    original.get_by_role("button", name="Hide").click()
    expect(frame).to_have_count(0)
    row(page, "absorbing", view.absorbing[-1]).click()
    original.get_by_role("button", name="Show the original page").click()
    expect(original).to_contain_text("cannot be shown")
    expect(original).to_contain_text("restore it or import again")
    row(page, "split", view.but(letter="s").split[0]).click()
    expect(original).to_contain_text("Show the original page")
    assert open_page.external == []


def test_awkward_tokens_are_shown_as_text(open_page: PageOpener, pair: Pair) -> None:
    view = pair.full.but(letter="s", layer=3)
    page = open_view(open_page, f"{pair.url}{view.path}")
    page.evaluate("() => { window.alert = () => { window.hacked = true } }")
    shown = {
        token.replace(" ", "␣").replace("\n", "⏎")
        for tokens in view.ask("absorbing_latents")["tokens"]
        for token in tokens
    }
    chips = page.get_by_role("region", name="Absorbing latents").locator("code.token")
    assert set(chips.all_inner_texts()) == shown
    row(page, "absorbing", view.absorbing[0]).click()
    card = part(page, "card")
    expect(card.locator(".logits td code").filter(has_text="<script>alert(1)</script>").first).to_be_visible()
    expect(card.locator(".contexts")).to_contain_text("<script>alert(1)</script>")
    expect(card.locator(".contexts")).to_contain_text("<b>strong</b>")
    expect(card.locator(".contexts")).to_contain_text("s⏎newline")
    expect(card.locator("script, strong, .contexts b b")).to_have_count(0)
    page.locator("[data-key=pack-absorbed]").click()
    tokens = view.ask("absorbed_tokens")["token"].tolist()
    expect(part(page, "tester").locator("td code")).to_have_text(
        [token.replace(" ", "␣").replace("\n", "⏎") for token in tokens]
    )
    page.locator("#words").fill('s"quoted"; s\\back <script>alert(1)</script>')
    page.keyboard.press("Enter")
    expect(part(page, "tester").locator("td code")).to_have_text(["s\\back", "<script>alert(1)</script>"])
    assert page.evaluate("window.hacked") is None


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
    file = suite / "letters.parquet"
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-20])
    server = serve(suite)
    page = open_page(f"{server.url}/dashboard")
    expect(page.locator(".empty")).to_contain_text(f"No suite is open{file}: ")
    expect(page.locator(".empty")).to_contain_text("restore it or import the suite again")
    expect(page.locator(".ax-skeleton")).to_be_hidden()
    assert f"{file}: " in server.output
    assert "Traceback" not in server.output


# -- Readers and their machines ----------------------------------------------------------------------------------


def _wears(page: Page, theme: Theme) -> None:
    """Wait until page and plots have the colours of a theme."""
    wait_for(page, "(name) => document.documentElement.dataset.theme === name", theme.name)
    expect(page.locator("body")).to_have_css("background-color", _rgb(theme.paper))
    expect(part(page, "headline").locator("h1")).to_have_css("color", _rgb(theme.ink))
    ink = "(model, colour) => model?.below[0].major_label_text_color === colour"
    wait_model(page, "cosine", ink, theme.muted)
    wait_figure(page, "cosine")
    line, split, absorbing, _ = glyphs(page, "cosine")
    assert (line["line"], split["fill"], absorbing["fill"]) == (theme.other, theme.split, theme.absorbing)


def _rgb(colour: str) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgb({red}, {green}, {blue})"


def test_dark_and_light(open_page: PageOpener, home: View) -> None:
    page = open_view(open_page, home.but(letter="s"))
    _wears(page, LIGHT)
    page.get_by_role("button", name="Dark mode").click()
    _wears(page, DARK)
    unfold(page, "splitting")
    wait_figure(page, "k-sparse")
    assert glyphs(page, "k-sparse")[0]["data"]["colour"][0] == DARK.split
    page.reload()
    wait_ready(page)
    _wears(page, DARK)
    assert query_of(page) == home.but(letter="s").query
    page.get_by_role("button", name="Dark mode").click()
    _wears(page, LIGHT)
    # A first visitor has the system's colours, until another choice is made.
    page = open_view(open_page, home, dark=True)
    _wears(page, DARK)
    page.get_by_role("button", name="Dark mode").click()
    _wears(page, LIGHT)
    page.reload()
    wait_ready(page)
    _wears(page, LIGHT)


def test_phone(open_page: PageOpener, chromium: Browser, home: View) -> None:
    context = chromium.new_context(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844})
    view = home.but(letter="s")
    page = open_view(open_page, view, width=390, height=844, context=context)
    fits = "() => document.documentElement.scrollWidth <= window.innerWidth"
    assert page.evaluate(fits)
    strip = part(page, "letter").locator(".grid")
    assert strip.evaluate("(strip) => strip.scrollWidth > strip.clientWidth")
    assert figure(page, "cosine").height + 100 >= 260
    # The chosen letter is in sight; another is reached by scrolling the strip alone.
    expect(cell(page, "s")).to_be_in_viewport()
    cell(page, "a").scroll_into_view_if_needed()
    assert page.evaluate("() => [window.scrollX, window.scrollY]") == [0, 0]
    cell(page, "a").tap()
    expect_view(page, home)

    layer = buttons(page, "layer").first
    expect(layer).not_to_be_in_viewport()
    page.get_by_role("button", name="Open the menu").tap()
    expect(layer).to_be_in_viewport()
    expect(part(page, "tasks").locator("summary")).to_be_visible()
    choose(page, "layer", 8)
    page.locator(".ax-scrim").tap(position={"x": 370, "y": 600})
    expect(layer).not_to_be_in_viewport()
    view = home.but(layer=8)
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


def test_readers_do_not_share_their_state(open_page: PageOpener, home: View) -> None:
    one = open_view(open_page, home)
    two = open_view(open_page, home)
    cell(one, "s").click()
    choose(two, "layer", 12)
    task(two, "compare_probe").click()
    expect_view(one, home.but(letter="s"))
    expect_view(two, home.but(layer=12))
    choose(one, "l0", 13)
    cell(two, "t").click()
    row(two, "split", home.but(layer=12, letter="t").split[0]).click()
    expect_view(one, home.but(letter="s", l0=13))
    expect_view(two, home.but(layer=12, letter="t", latent=home.but(layer=12, letter="t").split[0]))
    expect(task(one, "compare_probe")).not_to_be_checked()
    three = open_view(open_page, "/dashboard")
    expect_view(three, home)


def test_haste_ends_where_the_reader_ends(open_page: PageOpener, home: View) -> None:
    page = open_view(open_page, home)
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    expect_view(page, home.but(letter="i"))
    # All at once, faster than any answer.
    part(page, "letter").evaluate(_CLICK_ALL, "bcdefghklmnopqrst")
    expect_view(page, home.but(letter="t"))
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    cell(page, "s").dblclick()
    view = home.but(letter="s", l0=13)
    expect_view(page, view)
    latent = view.split[0]
    row(page, "split", latent).dblclick()
    expect_view(page, view.but(latent=latent))
    page.get_by_role("button", name="Dark mode").dblclick()
    toggle = part(page, "disclosure").locator("[data-key=splitting]")
    toggle.dblclick()
    toggle.click()
    wait_figure(page, "k-sparse")
    _wears(page, LIGHT)
    expect_view(page, view.but(latent=latent))


_CLICK_ALL = """(strip, letters) => {
  for (const letter of letters) strip.querySelector(`[data-letter=${letter}]`).click();
}"""
