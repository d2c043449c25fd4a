"""Moved thresholds on a site have the same results as on a server."""

from __future__ import annotations

import re
from html import unescape
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest
from playwright.sync_api import expect

from explorer.format import count, number, percent, visible
from explorer.model import ExplorerModel, choices_of
from explorer.parts import SHOWN
from explorer.plots.standalone import replacement_data
from explorer.state import ExplorerState
from explorer.theme import DARK, LIGHT
from explorer.views.atlas import Atlas, means_html, panel_drawing
from explorer.views.concepts import concept_cells
from explorer.views.evidence_head import EvidenceHead, counts_html, num_absorbed
from explorer.views.evidence_table import judged
from explorer.views.headline import figures_html, sentence_html
from explorer.views.heat_map import HeatMapView, highest_cells, map_drawing, map_head_html
from explorer.views.latent_lists import lists_html
from tests.browser import glyphs, wait_figure, wait_for
from tests.explore import ABSORBING, SPLIT
from tests.questions import ask
from tests.sites import plain, wait_shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from queries import Store


#: The parts of a state that are set on a page.
_PLACE = ("page", "suite", "sae", "concept")

_TEXTS = """() => {
  const text = (id) => document.getElementById(id).textContent.replace(/\\s+/g, " ").trim();
  const rows = [...document.querySelectorAll("#evidence tr[data-token]")];
  const cell = (row, name) => row.querySelector(`.of-${name}`).textContent.replace(/\\s+/g, " ").trim();
  return {
    headline: text("headline"), figures: text("figures"), lists: text("lists"),
    names: [...document.querySelectorAll("#lists li button")].map((each) => each.ariaLabel),
    verdicts: Object.fromEntries(rows.map((row) => [row.dataset.token, [cell(row, "reason"), cell(row, "why")]])),
    cells: [...document.querySelectorAll("#concepts [data-concept]")].map((each) => each.title),
    shades: [...document.querySelectorAll("#concepts [data-concept]")]
      .map((each) => parseInt(each.style.cssText.match(/ (\\d+)%/)?.[1] ?? 0)),
  };
}"""


@pytest.mark.browser
def test_moved_thresholds_equal_the_servers_results(open_site: Callable[..., Page], site_store: Store) -> None:
    page = open_site("?suite=tiny")
    moved: list[dict[str, float]] = [{"cosine_threshold": 0.12}, {"effect_margin": 2.5}, {"tau": 0.2}, {"tau": 0.0}]
    moved += [{"tau": 0.1, "cosine_threshold": -0.1, "effect_margin": 0.0}]
    random = np.random.default_rng(3)
    bounds = {name: ExplorerState.param[name].softbounds for name in ("tau", "cosine_threshold", "effect_margin")}
    moved += [{name: round(random.uniform(*ends), 3) for name, ends in bounds.items()} for _ in range(3)]
    saes = ("l3-w1000-l0-40", "l3-w4000-l0-10-s1")
    places = [("tiny", sae, f"first-letter.{letter}") for sae, letter in product(saes, "sq")]
    seen = set()
    for (suite, sae, concept), thresholds in product([*places, ("several", "l0-w1000-l0-10", "first-letter.s")], moved):
        state = ExplorerState(choices_of(site_store), suite=suite, sae=sae, concept=concept, **thresholds)
        model = ExplorerModel(site_store, state, *SHOWN)
        tested = judged(model.whole("concept_evidence"), model.shown)
        cells = concept_cells(model.concepts, model.shown.rate_label)
        lists = lists_html(model, selected=None)
        values = {
            "suite": suite,
            "sae": sae,
            "concept": concept,
            **dict.fromkeys(("tau", "cosine_threshold", "effect_margin")),
            **thresholds,
        }
        page.evaluate("(values) => reader.go(values)", values)
        wait_shown(page)
        found = page.evaluate(_TEXTS)
        assert found["headline"] == plain(sentence_html(model, live=False))
        assert found["figures"] == plain(figures_html(model))
        assert found["lists"] == plain(lists)
        names = re.findall(r'aria-label="((?:Split|Absorbing) latent [^"]*)"', lists)
        assert found["names"] == [unescape(name) for name in names]
        assert found["cells"] == [f"{cell['name']}: {cell['label']}" for cell in cells]
        assert found["shades"] == [cell["shade"] for cell in cells]
        assert {token: why for token, (_, why) in found["verdicts"].items()} == {
            row["token"]: row["why"] for row in tested
        }
        assert {token: verdict.startswith("absorbed") for token, (verdict, _) in found["verdicts"].items()} == {
            row["token"]: bool(row["absorbed"]) for row in tested
        }
        if sae == saes[0]:  # only its cosines are compared
            drawn = [set(glyphs(page, "cosine")[nth]["data"]["latent"]) for nth in (SPLIT, ABSORBING)]
            split = set(model.split_latents["latent"])
            assert drawn == [split, set(model.absorbing_latents["latent"]) - split]
        seen.add(found["headline"])
    assert len(seen) > 12
    # The slider has the same effect, and thresholds can be reset.
    page.locator("[data-threshold=effect_margin]").fill("4")
    wait_for(page, "() => location.search.includes('effect_margin=4')")
    expect(page.locator("#thresholds-head")).to_contain_text("differs from this suite's own")
    page.locator("[data-action=reset]").click()
    wait_for(page, "() => !/tau|margin|threshold/.test(location.search)")
    expect(page.locator("#moved")).to_be_hidden()


_ATLAS = """() => {
  const text = (cell) => cell.textContent.trim();
  return {
    rows: [...document.querySelectorAll("#atlas-table tbody tr")].map((row) => [...row.cells].map(text)),
    labels: [...document.querySelectorAll("#atlas-table tbody tr:first-child td")].map(({ dataset }) => dataset.label),
    legend: document.querySelector("#absorption-heatmap-head .legend").textContent.replace(/\\s+/g, " ").trim(),
    highest: [...document.querySelectorAll("#absorption-heatmap-table tbody td")].map(text),
  };
}"""


@pytest.mark.browser
def test_atlas_follows_moved_thresholds(open_site: Callable[..., Page], site_store: Store) -> None:
    page = open_site("?page=atlas&suite=tiny")
    moved: list[dict[str, float]] = [
        {"cosine_threshold": 0.12},
        {"tau": 0.2, "effect_margin": 2.5},
        {"effect_margin": 4},
    ]
    settings = [*product(["tiny"], moved, ["with_candidates"]), ("several", moved[1], "all_concepts")]
    cells = ExplorerState.param.cell.objects
    for nth, (suite, thresholds, policy) in enumerate(settings):
        values = {"suite": suite, "mean_policy": policy, "cell": cells[nth % 2], **thresholds}
        state = ExplorerState(choices_of(site_store), page="atlas", **values)
        model = ExplorerModel(site_store, state, Atlas, HeatMapView)
        page.evaluate(
            "(values) => reader.go(values)",
            {"sae": state.sae, "concept": state.concept} | dict.fromkeys(state.thresholds_of_suite._fields) | values,
        )
        wait_shown(page)
        wait_figure(page, "absorption-heatmap")
        texts = page.evaluate(_ATLAS)
        rows = dict(zip(texts["labels"], zip(*texts["rows"], strict=True), strict=True))
        means = model.sae_means.to_dict("records")
        assert list(rows["Rate"]) == [percent(row["absorption_rate"]) for row in means]
        assert list(rows["± letters"]) == [percent(row["absorption_sd"]) for row in means]
        assert list(rows["Splits"]) == [number(row["num_split_latents"], 2) for row in means]
        table = dict(re.findall(r'data-label="([^"]*)">([^<]*)</td>', means_html(model)))
        assert {name: texts[-1] for name, texts in rows.items() if name in table and name != "Rate"} == {
            name: text.strip() for name, text in table.items() if name in rows and name != "Rate"
        }
        assert texts["legend"] == plain(re.search(r'<div class="legend">.*?</div>', map_head_html(model), re.DOTALL)[0])  # type: ignore[index]
        highest = highest_cells(model)
        assert highest is not None
        assert texts["highest"] == [str(text) for row in highest.rows() for text in row]
        for name, draw in {
            "absorption-heatmap": map_drawing(model),
            **{panel: panel_drawing(model, panel) for panel in ("absorption-vs-l0", "splits-vs-l0")},
        }.items():
            layers = replacement_data([draw(theme=LIGHT), draw(theme=DARK)])["columns"]
            drawn = glyphs(page, name)
            for layer, glyph in zip(layers, drawn, strict=True):
                for column, its in layers[layer].items():
                    found = glyph["data"][column] if layer != "current" else its
                    if its and isinstance(its[0], float):
                        assert np.allclose(np.array(found, float), np.array(its, float), atol=1e-4, equal_nan=True)
                    else:
                        assert found == its, (name, layer, column)


@pytest.mark.browser
def test_totals_and_search_follow_moved_thresholds(open_site: Callable[..., Page], site_store: Store) -> None:
    page = open_site("?page=evidence&suite=tiny")
    choices = choices_of(site_store)
    moved: list[dict[str, float]] = [{}, {"cosine_threshold": 0.12}, {"tau": 0.1, "effect_margin": 2.5}, {"tau": 0.0}]
    seen = set()
    for suite, thresholds in product(site_store.suites, moved):
        state = ExplorerState(choices, page="evidence", suite=suite, **thresholds)
        model = ExplorerModel(site_store, state, EvidenceHead)
        values = dict.fromkeys(state.thresholds_of_suite._fields) | thresholds
        page.evaluate("(values) => reader.go(values)", values | {name: getattr(state, name) for name in _PLACE})
        wait_shown(page)
        counts, own = model.suite_info, num_absorbed(model.own_info) if state.moved else None
        head = counts_html(model.shown, counts, absorbed=num_absorbed(counts), own=own, moves=True)
        assert " ".join((page.locator("#evidence-head").text_content() or "").split()) == plain(head)
        seen.add(plain(head))
        for text in ("s", "sh", "q", "a"):
            found = ask(site_store, "search", {**vars(model.shown), "search": text})
            page.get_by_role("combobox", name="Search").fill(text)
            expect(page.locator("#found [data-action=token]")).to_have_text(
                [
                    f"{visible(row.token)} {state.concepts[row.concept].label}"
                    f" tested on {count(int(row.num_saes), 'SAE')}, absorbed on {int(row.num_absorbed)}"
                    for row in found[found["kind"] == "token"].itertuples()
                ]
            )
        page.get_by_role("combobox", name="Search").fill("")
    assert len(seen) > 5
