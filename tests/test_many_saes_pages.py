"""Compare and Atlas in the browser, with the real server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from explorer import open_store
from explorer.store import SWEEPS
from tests.browser import drag, figure, tap, wait_figure, wait_for
from tests.explore import part, query_of, wait_query, wait_ready
from tests.questions import DECIDING, FAMILY
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.browser import PageOpener, Server

pytestmark = pytest.mark.browser

ATLAS = ("absorption-vs-l0", "absorption-vs-layer", "splits-vs-l0", "absorption-heatmap")
#: Alphas of the points of a panel in the browser.
SHOWN = """(name) => {
  const model = Bokeh.documents.map((doc) => doc.get_model_by_name(name)).find((found) => found);
  const points = model.renderers.find((renderer) => renderer.glyph.type === "Scatter");
  return Array.from(points.data_source.data.shown ?? points.data_source.data.alpha);
}"""


def wait_sae(page: Page, sae: str) -> None:
    """Wait until the address names an SAE."""
    wait_for(page, "(sae) => new URLSearchParams(location.search).get('sae') === sae", sae)


def rows(page: Page) -> int:
    return part(page, "atlas-table").locator("tbody tr").count()


def test_selection_in_one_plot_filters_the_others_and_the_table(open_page: PageOpener) -> None:
    page = open_page("/dashboard?page=atlas", height=1300)
    wait_ready(page)
    for name in ATLAS:
        wait_figure(page, name)
    means = open_store(SWEEPS).fetch(
        "sae_means", suite="smollm2-135m", family=FAMILY, scope="suite", mean_policy="with_candidates", **DECIDING
    )
    assert rows(page) == len(means)
    sparse = means[means["l0"] < 10]
    drag(page, "absorption-vs-l0", "BoxSelectTool", (4, 1.05 * means["absorption_rate"].max()), (10, 0.001))
    expect(part(page, "atlas-table").locator("tbody tr")).to_have_count(len(sparse))
    expect(part(page, "page-head")).to_contain_text(f"{len(sparse)} brushed")
    for name in ATLAS[:3]:
        wait_for(page, f"(name) => ({SHOWN})(name).filter((alpha) => alpha === 1).length === {len(sparse)}", name)
    # The heat map shows the selected SAEs only, and a selection of its columns narrows further.
    wait_for(
        page, f"(name) => Bokeh.documents[0].get_model_by_name(name).x_range.end === {len(sparse) - 0.5}", ATLAS[3]
    )
    drag(page, "absorption-heatmap", "BoxSelectTool", (-0.4, 20), (1.4, 5))
    expect(part(page, "atlas-table").locator("tbody tr")).to_have_count(2)
    part(page, "atlas-table").get_by_role("button", name="Clear").click()
    expect(part(page, "atlas-table").locator("tbody tr")).to_have_count(len(means))


def test_tap_on_a_point_opens_its_sae_in_explore(open_page: PageOpener) -> None:
    page = open_page("/dashboard?page=atlas&letter=s")
    wait_ready(page)
    means = open_store(SWEEPS).fetch(
        "sae_means", suite="smollm2-135m", family=FAMILY, scope="suite", mean_policy="with_candidates", **DECIDING
    )
    highest = means.loc[means["absorption_rate"].idxmax()]
    tap(page, "absorption-vs-layer", float(highest["layer"]), float(highest["absorption_rate"]))
    wait_sae(page, highest["sae"])
    wait_query(page, {"page": "explore", "letter": "s"})


def test_tap_in_the_heat_map_opens_the_cell_in_explore(open_page: PageOpener) -> None:
    page = open_page("/dashboard?page=atlas&cell_order=l0", height=1300)
    wait_ready(page)
    saes = open_store(SWEEPS).fetch("saes").sort_values("l0_nominal", kind="stable")
    tap(page, "absorption-heatmap", 5, 25 - 2)  # concepts are listed from top to bottom
    wait_sae(page, saes["sae"].iloc[5])
    wait_query(page, {"page": "explore", "letter": "c"})
    wait_figure(page, "cosine")
    page.go_back()
    wait_query(page, {"page": "atlas", "cell_order": "l0"})
    wait_figure(page, "absorption-heatmap")


def test_means_and_cells_are_switched_and_kept_in_the_url(open_page: PageOpener) -> None:
    page = open_page("/dashboard?page=atlas&letter=s&l0=13")
    wait_ready(page)
    wait_figure(page, "absorption-vs-l0")
    before = part(page, "atlas-table").locator("tbody tr").first.inner_text()
    page.get_by_role("radio", name="all letters, without candidates = 0").click()
    expect(part(page, "page-head")).to_contain_text("mean over all letters")
    expect(part(page, "atlas-table").locator("tbody tr").first).not_to_have_text(before)
    page.get_by_role("radio", name="F1 gap to the probe").click()
    page.get_by_role("radio", name="by width").click()
    wanted = {"mean_policy": "all_concepts", "cell": "f1_gap", "cell_order": "width", "letter": "s", "l0": "13"}
    wait_query(page, wanted)
    page.reload()
    wait_ready(page)
    wait_figure(page, "absorption-heatmap")
    assert wanted.items() <= query_of(page).items()
    expect(page.get_by_role("radio", name="F1 gap to the probe")).to_have_attribute("aria-checked", "true")


def test_compare_opens_with_every_plot_drawn(open_page: PageOpener) -> None:
    page = open_page("/dashboard?page=compare&sae=l8-w8192-l0-14&concept=first-letter.s")
    wait_ready(page)
    saes = open_store(SWEEPS).fetch("saes").query("layer == 8 and seed == 0")
    names = [f"cosine-{sae}" for sae in saes["sae"]]
    page.mouse.wheel(0, 600)
    for name in names:
        wait_figure(page, name)
    current = page.locator(".ax.cell-head [aria-current=true]")
    expect(current).to_have_text("layer 8, 8k latents, L0 14")
    # One y-axis for all; within a width, one x-axis.
    same = """([one, other, axis]) => {
      const find = (name) => Bokeh.documents[0].get_model_by_name(name)[axis];
      return find(one) === find(other);
    }"""
    assert page.evaluate(same, [names[0], names[-1], "y_range"])
    assert page.evaluate(same, [names[0], names[1], "x_range"])
    assert not page.evaluate(same, [names[0], names[-1], "x_range"])
    page.get_by_role("button", name="layer 8, 2k latents, L0 7, seed 0", exact=True).click()
    wait_query(page, {"page": "explore", "width": "2048", "l0": "7", "letter": "s"})
    wait_figure(page, "cosine")


def test_two_saes_are_compared(open_page: PageOpener) -> None:
    page = open_page("/dashboard?page=compare&compare_by=pair&layer=4&width=8192&l0=7&letter=l")
    wait_ready(page)
    pair, other = part(page, "pair"), page.locator("#other")
    expect(pair.locator("tbody tr")).to_have_count(26)
    expect(pair.first).to_contain_text("suggested")
    expect(other).to_have_value("l4-w2048-l0-6")
    expect(pair.locator("section", has_text="Lost: absorbed on A only")).to_contain_text("large")
    other.select_option("l12-w8192-l0-7")
    wait_query(page, {"other_layer": "12", "other_width": "8192", "other_l0": "7"})
    pair.locator("[data-key='pair-first-letter.s']").click()
    wait_query(page, {"letter": "s"})
    expect(pair.locator("tr.current")).to_contain_text("S")
    pair.get_by_role("button", name="Swap").click()
    wait_query(page, {"layer": "12", "other_layer": "4"})


def test_all_concepts_of_one_sae_are_compared(open_page: PageOpener) -> None:
    page = open_page("/dashboard?page=compare&compare_by=concept&layer=4&width=8192&l0=7")
    wait_ready(page)
    expect(part(page, "cell-head")).to_have_count(26)
    wait_figure(page, "cosine-first-letter.a")
    # The last ones are built when they come into view.
    page.locator(".ax.cell-head", has_text="Z").scroll_into_view_if_needed()
    wait_figure(page, "cosine-first-letter.z")


def test_metrics_are_not_mixed_without_notice(
    open_page: PageOpener, serve: Callable[..., Server], tmp_path: Path
) -> None:
    one = write_tiny_suite(tmp_path / "one", name="one")
    other = write_tiny_suite(tmp_path / "other", name="other", metric="full")
    page = open_page(f"{serve(one, other).url}/dashboard?page=atlas")
    wait_ready(page)
    wait_figure(page, "absorption-vs-l0")
    assert rows(page) == 16  # each with a further seed
    expect(part(page, "page-head").get_by_role("alert")).to_have_count(0)
    page.get_by_role("radio", name="all suites").click()
    expect(part(page, "atlas-table").locator("tbody tr")).to_have_count(16)
    alert = part(page, "page-head").get_by_role("alert")
    expect(alert).to_contain_text("Other: not measured by this metric, and therefore omitted")


def test_single_sae_without_cosines_is_explained(
    open_page: PageOpener, serve: Callable[..., Server], tmp_path: Path
) -> None:
    lone = write_tiny_suite(tmp_path / "lone", name="lone", saes=[(0, 1000, 10)], cosines=False)
    page = open_page(f"{serve(lone).url}/dashboard?page=compare")
    wait_ready(page)
    expect(part(page, "message")).to_contain_text("No cosine plots")
    page.get_by_role("radio", name="two SAEs").click()
    expect(part(page, "pair").first).to_contain_text("Nothing to compare with")
    page.get_by_role("link", name="Atlas").click()
    # A second panel could only have L0 on its x-axis.
    for name in ("absorption-vs-l0", "splits-vs-l0", "absorption-heatmap"):
        wait_figure(page, name)
    expect(part(page, "panel-head")).to_have_count(3)
    assert part(page, "panel-head").filter(visible=True).count() == 2
    assert rows(page) == 2  # with its further seed
    assert figure(page, "absorption-heatmap").x_range[1] == 1.5
