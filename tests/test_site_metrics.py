"""Every metric of a suite can be selected on a site, with the same results as on a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from explorer.format import metric_label, percent
from explorer.model import ExplorerModel, choices_of
from explorer.parts import SHOWN
from explorer.state import ExplorerState
from explorer.views.atlas import Atlas, means_html
from explorer.views.evidence_head import EvidenceHead, counts_html, num_absorbed
from explorer.views.evidence_table import judged
from explorer.views.headline import figures_html, sentence_html
from queries.schema import FRACTIONS
from tests.sites import plain, wait_shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from queries import Store

_TEXTS = """() => {
  const text = (element) => element.textContent.replace(/\\s+/g, " ").trim();
  const within = (id, selector) => [...document.getElementById(id).querySelectorAll(selector)];
  return {
    headline: text(document.getElementById("headline")), figures: text(document.getElementById("figures")),
    totals: text(document.getElementById("evidence-head")),
    rows: within("evidence", "tr[data-token]").map((row) => [
      row.dataset.token, text(row.querySelector(".of-why, .of-fraction")),
    ]),
    means: text(document.getElementById("atlas-table")),
  };
}"""


@pytest.mark.browser
def test_metric_is_selected_and_shown(open_site: Callable[..., Page], site_store: Store) -> None:
    page = open_site("?suite=several&page=atlas")
    choices = choices_of(site_store)
    own, *others = choices["several"].movable
    assert len(others) > 1
    seen = set()
    for metric in (*others, own):
        page.get_by_role("combobox", name="Metric").select_option(label=metric_label(metric))
        wait_shown(page)
        assert (f"metric={metric}" in page.url) == (metric != own)
        state = ExplorerState(choices, suite="several", metric=metric)
        explored, means, counted = (
            ExplorerModel(site_store, state, *views) for views in (SHOWN, [Atlas], [EvidenceHead])
        )
        page.evaluate("reader.acts.page('evidence')")
        wait_shown(page)
        found = page.evaluate(_TEXTS)
        assert found["headline"] == plain(sentence_html(explored, live=False))
        assert found["figures"] == plain(figures_html(explored))
        counts = counted.suite_info
        totals = counts_html(
            counted.shown, counts, absorbed=num_absorbed(counts), own=None, moves=metric == "ig_ablation"
        )
        assert found["totals"] == plain(totals)
        tested = judged(explored.whole("concept_evidence"), explored.shown)
        expected = {row["token"]: percent(row["fraction"]) if metric in FRACTIONS else row["why"] for row in tested}
        assert dict(found["rows"]) == expected
        page.evaluate("reader.acts.page('atlas')")
        wait_shown(page)
        assert page.evaluate(_TEXTS)["means"] == plain(means_html(means))
        seen.add(found["headline"])
        expect(page.get_by_role("combobox", name="Metric")).to_have_value(metric)
    assert len(seen) > 2
    # The selection is part of the address, and applies to other pages; another suite has its own metric.
    page = open_site(f"?page=explore&suite=several&metric={others[0]}")
    expect(page.locator("#made")).to_contain_text(f"Metric: {metric_label(others[0])}")
    page.locator("#suite").select_option("tiny")
    wait_shown(page)
    assert "metric" not in page.url
