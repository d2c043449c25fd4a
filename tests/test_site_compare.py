"""Compare on a site: any two SAEs, word by word as on the page of a server; citations."""

from __future__ import annotations

import re
from html import unescape
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from playwright.sync_api import expect

from explorer.model import ExplorerModel, choices_of
from explorer.state import ExplorerState
from explorer.views.pair import PairView, pair_drawing, pair_head_html, pair_tables_html
from tests.browser import glyphs, wait_for
from tests.cited import cited_texts
from tests.sites import Texts, plain, wait_shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from queries import Store


_PAIR = """() => {
  const [head, table] = ["pair-head", "pair-table"].map((id) => document.getElementById(id));
  const chosen = [...head.querySelectorAll("option[selected]")].map(({ value }) => value);
  const titles = [...table.querySelectorAll("[title]")].map(({ title }) => title);
  return { head: head.innerHTML, table: table.innerHTML, chosen, titles };
}"""


@pytest.mark.browser
def test_pairs_on_a_site_equal_those_of_the_page(open_site: Callable[..., Page], site_store: Store) -> None:
    page = open_site("?page=compare&suite=tiny&compare_by=pair")
    choices = choices_of(site_store)
    random = np.random.default_rng(1)
    pairs = [
        (suite, one.id, other_suite, other.id)
        for suite, other_suite in product(choices, choices)
        for one, other in product(choices[suite].saes, choices[other_suite].saes)
        if (suite, one.id) != (other_suite, other.id)
    ]
    seen = set()
    for nth, (suite, sae, other_suite, other) in enumerate(pairs):
        state = ExplorerState(choices, page="compare", compare_by="pair", suite=suite, sae=sae)
        wanted: dict[str, Any] = {
            "suite": suite,
            "other_suite": None if other_suite == suite else other_suite,
            "other_sae": None if nth % 5 == 0 else other,
            "concept": list(choices[suite].concepts)[nth % len(choices[suite].concepts)],
            "mean_policy": state.param.mean_policy.objects[nth % 2],
            "dark": False,
        }
        for name, own in state.thresholds_of_suite._asdict().items():
            moved = nth % 3 and name in state.movable
            wanted[name] = round(random.uniform(*state.param[name].softbounds), 3) if moved else own
        assert not state.apply(wanted)
        model = ExplorerModel(site_store, state, PairView)
        page.evaluate("(values) => reader.go(values)", wanted | {"page": "compare", "suite": suite, "sae": sae})
        wait_shown(page)
        found = page.evaluate(_PAIR)
        head, table = pair_head_html(model), pair_tables_html(model)
        assert plain(found["head"]) == plain(head), wanted
        assert found["chosen"] == re.findall(r'value="([^"]*)" selected', head)
        assert [row for row in Texts(found["table"]).rows if row] == [row for row in Texts(table).rows if row], wanted
        assert plain(found["table"]).replace(" ", "") == plain(table).replace(" ", "")
        assert found["titles"] == [unescape(title) for title in re.findall(r'title="([^"]*)"', table)]
        drawn = pair_drawing(model)().layers[2].source()  # type: ignore[union-attr]
        assert page.locator("#pair-rates-plot").is_visible() == bool(len(drawn["concept"]))
        if len(drawn["concept"]):
            data = glyphs(page, "pair-rates")[2]["data"]
            for name in ("concept", "this", "other", "difference", "place"):
                assert list(data[name]) == drawn[name].tolist()
        seen.add(plain(head))
    assert len(seen) > 12
    # The selection on the page is part of its address, which the dialog cites.
    start = {"page": "compare", "suite": "tiny", "sae": "l3-w1000-l0-40", "other_suite": None, "other_sae": None}
    page.evaluate("(values) => reader.go(values)", start | dict.fromkeys(state.thresholds_of_suite._fields))
    wait_shown(page)
    page.locator("#other").select_option("l3-w4000-l0-10-s1")
    wait_for(page, "() => location.search.includes('other_sae=l3-w4000-l0-10-s1')")
    wait_shown(page)
    page.locator("[data-action=swap]").click()
    wait_for(page, "() => location.search.includes('other_sae=l3-w1000-l0-40')")
    wait_shown(page)
    expect(page.locator("#pair-head strong").first).to_have_text("layer 3, 4k latents, L0 10, seed 1")
    for name, where in [("pair-rates", "compare"), ("cosine", "explore"), ("absorption-heatmap", "atlas")]:
        page.evaluate("(name) => reader.acts.page(name)", where)
        wait_shown(page)
        page.locator(f"[data-page={where}] [data-cite={name}]").click()
        concept = page.evaluate("reader.place.concept")
        state = ExplorerState(choices, suite="tiny", sae="l3-w4000-l0-10-s1", concept=concept)
        address = page.locator("#cite [data-copy]").last.get_attribute("data-copy") or ""
        assert address == page.url
        assert page.locator("#cite pre").all_text_contents() == cited_texts(site_store, state, name, address)
        page.keyboard.press("Escape")
        expect(page.locator("#cite dialog")).to_have_count(0)
