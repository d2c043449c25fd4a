"""The evidence behind every verdict: the conditions that decided it, and the verdicts at other thresholds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from explorer import open_store
from explorer.evidence import why
from explorer.model import ExplorerModel, choices_of
from explorer.pages import Pages
from explorer.state import ExplorerState
from explorer.store import SWEEPS
from explorer.views.evidence_table import ConceptEvidence, ablated
from explorer.views.markup import Markup
from queries import Store
from queries.schema import concept_id
from tests.questions import DECIDING, THRESHOLDS, ask, question_values, sae_id
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Iterator


SAE = (0, 1000, 10)
SAE_VALUES = dict(zip(("layer", "width", "l0"), SAE, strict=True))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(write_tiny_suite(tmp_path_factory.mktemp("suites") / "tiny")) as store:
        yield store


def rows_of(store: Store, **values: Any) -> pd.DataFrame:
    return ask(store, "evidence", question_values(store, sae=SAE) | values)


def test_stored_verdicts_of_the_embedded_suite_are_reproduced_by_its_own_thresholds() -> None:
    """Every row stores its scores, and no verdict differs."""
    with open_store(SWEEPS) as store, store._connection.cursor() as cursor:
        decided = cursor.execute(
            "SELECT count(*), count(top_effect), count(*) FILTER (absorbed <> is_absorption)"
            " FROM verdicts($metric, $tau, $cosine_threshold, $effect_margin)",
            DECIDING,
        ).fetchall()
    assert decided == [(10_357, 10_357, 0)]


def test_reasons_name_the_deciding_condition_and_its_margin(tiny: Store) -> None:
    seen = set()
    for margin, cosine in ((1.0, 0.025), (0.0, 0.1), (3.0, -1.0)):
        thresholds = {"effect_margin": margin, "cosine_threshold": cosine}
        for row in rows_of(tiny, **thresholds).to_dict("records"):
            reason_text = why(row, **thresholds)
            seen.add(row["reason"])
            if row["reason"] == "absorbed":
                assert row["absorbed"]
                assert "≥" in reason_text
            elif row["reason"] == "effect margin":
                assert row["margin"] < margin
                assert re.match(rf"margin [\d.]+ < {margin:.2f}", reason_text)
                assert ("cosine" in reason_text) == (row["top_cosine"] < cosine)
            elif row["reason"] == "cosine":
                assert row["top_cosine"] < cosine
                assert reason_text.endswith(f"< {cosine:.4f}")
    assert {"absorbed", "effect margin", "cosine"} <= seen


@pytest.mark.parametrize("column", ["token", "sae", "concept", "top_latent", "top_effect", "margin", "top_cosine"])
@pytest.mark.parametrize("descending", [False, True])
def test_rows_are_sorted_and_paginated(tiny: Store, column: str, descending: bool) -> None:  # noqa: FBT001
    pages: list[pd.DataFrame] = []
    while not pages or len(pages[-1]):
        order = {"evidence_sort": column, "evidence_descending": descending}
        pages.append(rows_of(tiny, **order, evidence_page=len(pages)))
    lengths = [len(page) for page in pages]
    assert lengths[:-2] == [25] * (len(pages) - 2)
    assert sum(lengths) == pages[0]["num_found"].iloc[0]
    values = [value for page in pages for value in page[column].dropna()]
    place = {sae: number for number, sae in enumerate(tiny.fetch("saes")["sae"])}
    sorting = {"token": lambda token: token.lstrip().lower(), "sae": place.__getitem__}
    keys = list(map(sorting.get(column, lambda value: value), values))
    assert keys == sorted(keys, reverse=descending)


@pytest.mark.parametrize("text", ["", "s", " S", "ST", "'", "%", "_", "\N{GRINNING FACE}", "x" * 10_000, "<script>"])
def test_tokens_are_found_by_prefix(tiny: Store, text: str) -> None:
    found = rows_of(tiny, evidence_token=text)
    assert all(token.lstrip().lower().startswith(text.lstrip().lower()) for token in found["token"])
    assert bool(len(found)) == (text.strip().lower() in ("", "s", "st", "<script>"))  # such a token may exist


def test_filters_are_combined(tiny: Store) -> None:
    whole = rows_of(tiny)["num_found"].iloc[0]
    parts = [rows_of(tiny, evidence_verdict=verdict)["num_found"].iloc[0] for verdict in ("absorbed", "not absorbed")]
    assert sum(parts) == whole
    assert rows_of(tiny, evidence_verdict="differs").empty
    assert len(rows_of(tiny, evidence_verdict="differs", effect_margin=50.0))
    saes = tiny.fetch("saes").query("layer == 3 and repeat_of.isna()")["sae"].tolist()
    some = rows_of(tiny, facet_saes=saes, facet_concept=concept_id("s"))
    assert set(some["sae"]) == set(saes)
    assert set(some["layer"]) == {3}
    assert set(some["concept"]) == {concept_id("s")}
    assert rows_of(tiny, facet_saes=[]).empty
    assert rows_of(tiny, facet_saes=["no such SAE"]).empty


def test_search_finds_tokens_and_latents(tiny: Store) -> None:
    def found(text: str) -> pd.DataFrame:
        return ask(tiny, "search", question_values(tiny, sae=SAE) | {"search": text})

    assert found(" SH")["token"].str.lstrip().str.lower().str.startswith("sh").all()
    assert len(found("sh"))
    assert found("7")["latent"].tolist() == [7]
    for nothing in ("", " ", "9999999999999", "1024", "%", "'; DROP TABLE saes", "\N{GRINNING FACE}", "z" * 10_000):
        assert found(nothing).empty


def test_table_follows_the_visitors_actions(tiny: Store) -> None:
    state = ExplorerState(choices_of(tiny), letter="s")
    model = ExplorerModel(tiny, state, ConceptEvidence)
    table = ConceptEvidence(model).__panel__()
    assert isinstance(table, Markup)
    assert model.concept_evidence is not None
    rows = model.concept_evidence
    assert f"Tokens tested for S ({len(rows)})" in table.html
    table._handle_msg({"action": "open", "value": "0"})
    assert "Latents that were ablated on" in table.html
    table._handle_msg({"action": "open", "value": "0"})
    assert "Latents that were ablated on" not in table.html
    table._handle_msg({"action": "sort", "value": "top_effect"})
    assert state.evidence_descending
    table._handle_msg({"action": "sort", "value": "token"})
    assert (state.evidence_sort, state.evidence_descending) == ("token", False)
    table._handle_msg({"action": "filter", "value": {"evidence_token": "no such token"}})
    assert "No tested tokens match" in table.html
    table._handle_msg({"action": "filter", "value": {"evidence_token": ""}})
    state.effect_margin = 50.0
    assert "differs" in table.html
    assert "&lt; 50.00" in table.html
    link = state.to_query()
    assert "effect_margin=50.0" in link
    again = ExplorerState(choices_of(tiny))
    assert again.from_query(link) == []
    assert (again.evidence_sort, again.effect_margin) == ("token", 50.0)


@pytest.mark.parametrize("policy", ["with_candidates", "all_concepts"])
@pytest.mark.parametrize("of", ["tau", "cosine_threshold", "effect_margin"])
def test_sensitivity_equals_the_rate_at_each_threshold(tiny: Store, of: str, policy: str) -> None:
    """The curve, computed in one pass, equals the mean rates computed for single thresholds."""
    low, high = ExplorerState.param[of].softbounds
    others = {"tau": 0.01, "cosine_threshold": 0.05, "effect_margin": 0.5}
    values = question_values(tiny, sae=SAE) | others | {"mean_policy": policy}
    curve = ask(
        tiny, "threshold_sensitivity", values | {"sensitivity_of": of, "sensitivity_low": low, "sensitivity_high": high}
    )
    assert curve["value"].is_monotonic_increasing
    assert {low, high, others[of], THRESHOLDS[of]} <= set(curve["value"])
    for row in curve.itertuples():
        means = ask(tiny, "sae_means", values | {of: row.value})
        this = means[means["sae"] == sae_id(*SAE)]
        assert row.absorption_rate == pytest.approx(this["absorption_rate"].iloc[0])
        assert row.suite_absorption_rate == pytest.approx(means["absorption_rate"].mean())
        assert row.num_absorbed <= this["num_absorbed"].iloc[0]


def test_roles_of_a_latent_match_those_of_each_sae(tiny: Store) -> None:
    values = question_values(tiny, sae=SAE)
    absorbing = ask(tiny, "absorbing_latents", values)
    latent = int(absorbing["latent"].iloc[0])
    parts = ask(tiny, "latent_parts", values | {"latent": latent})
    here = parts[(parts["sae"] == sae_id(*SAE)) & (parts["concept"] == concept_id("s"))]
    assert here["num_absorbed"].tolist() == [absorbing["num_tokens"].iloc[0]]
    for row in parts.itertuples():
        split = ask(tiny, "split_latents", values | {"sae": row.sae, "concept": row.concept})["latent"].tolist()
        assert row.split_rank == (split.index(latent) + 1 if latent in split else 0)
        assert row.split_rank or row.num_absorbed
    assert (ask(tiny, "latent_parts", values)["split_rank"] > 0).any()
    assert ask(tiny, "latent_parts", values | {"latent": None}).empty


@pytest.mark.parametrize(
    "thresholds",
    [
        {"tau": 1.0},
        {"cosine_threshold": 1.0},
        {"cosine_threshold": -1.0},
        {"effect_margin": 100.0},
        {"effect_margin": 0.0},
        {"tau": 0.0, "cosine_threshold": -1.0, "effect_margin": 0.0},
    ],
)
def test_extreme_thresholds_cause_no_errors(tiny: Store, thresholds: dict[str, float]) -> None:
    state = ExplorerState(choices_of(tiny), **SAE_VALUES, letter="s", **thresholds)
    model = ExplorerModel(tiny, state, Pages)
    for page in ("explore", "compare", "atlas", "evidence"):
        state.page = page
        assert model.error == ""
    assert model.suite_info is not None
    assert 0 <= model.suite_info["n_absorbed_tokens"] <= model.suite_info["n_tested_tokens"]


def test_bars_of_effects_of_either_sign_start_at_zero() -> None:
    effects = (-0.47, 0.55, None, -2.0)

    def bars_of(*effects: float | None) -> list[dict[str, Any]]:
        return ablated(pd.DataFrame({"effect": effects, "projection": None}), "ig_ablation")

    bars = bars_of(*effects)
    (zero,) = {bar["zero"] for bar in bars}
    assert 0 < zero < 100
    for effect, bar in zip(effects, bars, strict=True):
        assert bar["share"] == pytest.approx(100 * abs(effect or 0.0) / 2.55)
        begin, end = sorted((zero, zero + 100 * (effect or 0.0) / 2.55))
        assert (bar["start"], bar["start"] + bar["share"]) == pytest.approx((begin, end))
    # If all have the same sign, zero is at an end.
    assert {bar["zero"] for bar in bars_of(-1.0, -2.0)} == {100}
    assert {bar["zero"] for bar in bars_of(1.0, 0.0)} == {0}
