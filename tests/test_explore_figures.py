"""The plots inside explanations: k-sparse probes with tau, and the scores of all SAEs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser import figure, glyphs, tap, wait_figure, wait_glyph
from tests.explore import expect_view, open_view, part, set_widget, task, unfold, wait_query

if TYPE_CHECKING:
    from tests.browser import PageOpener
    from tests.explore import View


pytestmark = pytest.mark.browser


def test_k_sparse_plot_shows_and_sets_tau(open_page: PageOpener, home: View) -> None:
    view = home.but(letter="c")
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
    expect(changed).to_contain_text("thresholds differ from this suite's own")
    wait_glyph(
        page, "k-sparse", 0, part=["split" if each else "not split" for each in moved.ask("k_sparse")["is_split"]]
    )
    changed.get_by_role("button", name="Reset").click()
    expect_view(page, chosen)
    expect(changed).to_have_count(0)
    slider = page.get_by_role("slider", name="tau, the minimum F1 gain")
    expect(slider).to_have_attribute("aria-valuetext", "0.030")

    page.get_by_role("radio", name="precision").click()
    wait_glyph(page, "k-sparse", 0, top=bars["precision"])
    wait_query(page, {"k_sparse_score": "precision"})


def test_panels_show_all_saes(open_page: PageOpener, home: View) -> None:
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
        wait_glyph(page, "recall-vs-l0", 0, l0=scores["l0"], recall=scores["recall"], sae=scores["sae"])
        wait_glyph(page, "precision-vs-recall", 0, recall=scores["recall"], precision=scores["precision"])
    assert len(scores) == len({*zip(scores["l0"], scores["precision"], strict=True)})  # a position identifies an SAE
    current = scores.iloc[0]
    assert current["sae"] == home.sae
    wait_glyph(page, "precision-vs-l0", 1, l0=[current["l0"]], precision=[current["precision"]])
    wait_glyph(page, "recall-vs-l0", 1, l0=[current["l0"]], recall=[current["recall"]])
    wait_glyph(page, "precision-vs-recall", 1, recall=[current["recall"]], precision=[current["precision"]])
    # The tapped SAE is the one farthest from all others, so that none covers it.
    target = _most_isolated(scores, "l0", "precision")
    tap(page, "precision-vs-l0", target["l0"], target["precision"])
    named = home.store.fetch("saes").set_index("sae").loc[target["sae"]]
    sae = {"layer": int(named["layer"]), "width": int(named["width"]), "l0": int(named["l0_nominal"])}
    assert home.but(**sae).sae == target["sae"]
    wait_glyph(page, "precision-vs-l0", 1, l0=[target["l0"]], precision=[target["precision"]])
    wait_glyph(page, "precision-vs-recall", 1, recall=[target["recall"]], precision=[target["precision"]])
    wait_query(page, {"main_latent_by": "k_sparse"} | {name: str(value) for name, value in sae.items()})
    expect(part(page, "headline").locator(".where")).to_have_text(home.but(**sae).where)


def _most_isolated(scores: Any, x: str, y: str) -> dict[str, Any]:
    places = (scores[[x, y]] / scores[[x, y]].max()).to_numpy()
    distances = ((places[:, None] - places[None]) ** 2).sum(axis=2)
    distances[range(len(places)), range(len(places))] = 9
    found: dict[str, Any] = scores.iloc[int(distances.min(axis=1).argmax())].to_dict()
    return found
