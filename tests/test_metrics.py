"""Several metrics: each is a rule over the same evidence, compared with the same rule in plain Python."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from explorer.app import Explorer
from explorer.evidence import FULL_SHARE
from explorer.format import metric_label, number, percent
from explorer.headline import headline
from explorer.model import ExplorerModel, choices_of
from explorer.state import ExplorerState
from explorer.views.evidence_table import SuiteEvidence, ablated, shown_columns
from explorer.views.evidence_table import judged as judged_rows
from explorer.views.markup import Markup
from queries import Store
from queries.schema import FRACTIONS
from tests.questions import expect_sensitivity
from tests.several_metrics import (
    CONCEPT,
    FAMILY,
    PUBLISHED,
    SAE,
    TRUE_POSITIVES,
    evidence,
    fractions,
    taken_apart,
    write_several_metrics,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

THRESHOLDS = [PUBLISHED, (0.03, 0.2, 1.0), (0.03, -0.5, 0.0), (0.03, 0.025, 3.0), (0.2, 0.025, 1.0)]
#: The latent that k-sparse probing ranks first, and the next, which counts as split below a tau of 0.1.
RANKED = (1, 2)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_several_metrics(tmp_path_factory.mktemp("metrics") / "several")


@pytest.fixture(scope="module")
def store(suite: Path) -> Iterator[Store]:
    with Store(suite) as opened:
        yield opened


def silent(tokens: pd.DataFrame, tau: float) -> pd.Series:
    """Return a mask of the rows on which no split latent fires."""
    split = {latent for latent, rise in zip(RANKED, (np.inf, 0.1), strict=True) if rise > tau}
    split = {1, 2} if tau == PUBLISHED[0] else split
    return pd.Series(
        [not split & {*latents, top} for latents, top in zip(tokens["latents"], tokens["top_latent"], strict=True)]
    )


def judged(tokens: pd.DataFrame, metric: str, tau: float, cosine: float, margin: float) -> pd.Series:
    """Apply the method's rule in plain Python."""
    if metric == "ig_ablation":
        leads = tokens["top_effect"].abs() - tokens["second_effect"].abs() >= margin
        return silent(tokens, tau) & (tokens["top_effect"] < 0) & leads & (tokens["top_cosine"] >= cosine)
    at = [int(np.argmax(np.float32(each))) for each in tokens["projections"]]
    projection = pd.Series([np.float32(each[place]) for each, place in zip(tokens["projections"], at, strict=True)])
    its_cosine = pd.Series([np.float32(each[place]) for each, place in zip(tokens["cosines"], at, strict=True)])
    total = tokens["total_projection"]
    return silent(tokens, tau) & (total >= 0) & (projection >= 0.4 * total) & (its_cosine >= cosine)


def fraction(tokens: pd.DataFrame, metric: str = "fraction") -> float:
    return float(np.mean(fractions(tokens, metric)))


def ask(
    store: Store, query: str, metric: str, thresholds: tuple[float, float, float] = PUBLISHED, **more: Any
) -> pd.DataFrame:
    values = dict(zip(("tau", "cosine_threshold", "effect_margin"), thresholds, strict=True))
    place = {"suite": "several", "sae": SAE, "metric": metric}
    return store.fetch(query, **place, **values, **more)


@pytest.mark.parametrize("thresholds", THRESHOLDS, ids=str)
@pytest.mark.parametrize("metric", ["ig_ablation", "full"])
def test_verdicts_in_sql_equal_those_in_python(
    store: Store, metric: str, thresholds: tuple[float, float, float]
) -> None:
    tokens = evidence()
    expected = set(tokens.loc[judged(tokens, metric, *thresholds), "token"])
    assert 0 < len(expected) < len(tokens), "the case decides nothing"
    assert set(ask(store, "absorbed_tokens", metric, thresholds, concept=CONCEPT)["token"]) == expected
    summary = ask(store, "summary", metric, thresholds, family=FAMILY, concept=CONCEPT).iloc[0]
    assert summary["num_absorbed"] == len(expected)
    assert summary["absorption_rate"] == pytest.approx(len(expected) / TRUE_POSITIVES)


@pytest.mark.parametrize("metric", FRACTIONS)
def test_fraction_is_a_mean_without_counts(store: Store, metric: str) -> None:
    summary = ask(store, "summary", metric, family=FAMILY, concept=CONCEPT).iloc[0]
    assert summary["absorption_rate"] == pytest.approx(fraction(evidence(), metric), abs=1e-6)
    assert pd.isna(summary["num_absorbed"])
    assert pd.isna(summary["rate_low"])
    assert pd.isna(summary["random_rate"]) == (metric == "fraction")


@pytest.mark.parametrize("metric", FRACTIONS)
@pytest.mark.parametrize(("tau", "split"), [(0.05, {1, 2}), (0.2, {1})])
def test_fraction_is_recomputed_at_another_tau(store: Store, metric: str, tau: float, split: set[int]) -> None:
    expected = fractions(taken_apart(evidence(), split), metric)
    assert np.mean(expected) != pytest.approx(fraction(evidence(), metric), abs=1e-3), "the case decides nothing"
    thresholds = (tau, *PUBLISHED[1:])
    rows = evidence_of(store, metric, tau=tau)
    np.testing.assert_allclose(rows["fraction"], expected, atol=1e-5)
    summary = ask(store, "summary", metric, thresholds, family=FAMILY, concept=CONCEPT).iloc[0]
    assert summary["absorption_rate"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert pd.isna(summary["random_rate"])  # the rate by chance was measured at the suite's own tau


@pytest.mark.parametrize("metric", FRACTIONS)
def test_fraction_does_not_depend_on_tau_without_ranked_latents(tmp_path: Path, metric: str) -> None:
    unranked = "first-letter.t"
    with Store(write_several_metrics(tmp_path / "several", unranked)) as store:
        rows = evidence_of(store, metric, tau=0.2, facet_concept=unranked)
        np.testing.assert_allclose(rows["fraction"], fractions(evidence(), metric), atol=1e-6)
        thresholds = (0.2, *PUBLISHED[1:])
        summary = ask(store, "summary", metric, thresholds, family=FAMILY, concept=unranked).iloc[0]
        assert summary["absorption_rate"] == pytest.approx(fraction(evidence(), metric), abs=1e-6)


def evidence_of(store: Store, metric: str, **more: Any) -> pd.DataFrame:
    values: dict[str, Any] = dict(zip(("tau", "cosine_threshold", "effect_margin"), PUBLISHED, strict=True))
    values |= {"facet_saes": None, "facet_concept": None, "facet_latent": None, "evidence_token": ""}
    values |= {"evidence_sort": "token", "evidence_descending": False, "evidence_page": None, "evidence_verdict": "all"}
    return store.fetch("evidence", suite="several", metric=metric, **values | more)


@pytest.mark.parametrize("metric", ["ig_ablation", "full", *FRACTIONS])
def test_every_row_lists_the_verdicts_of_all_metrics(store: Store, metric: str) -> None:
    tokens = evidence()
    by = {name: judged(tokens, name, *PUBLISHED).to_numpy() for name in ("full", "ig_ablation")}
    rows = evidence_of(store, metric)
    assert rows["token"].tolist() == tokens["token"].tolist()
    for column, holds in (("absorbed_by", True), ("not_absorbed_by", False)):
        expected = [[name for name in by if by[name][place] == holds] for place in range(len(tokens))]
        found = [
            [] if each is None else sorted(each)
            for each in rows[column].astype(object).where(rows[column].notna(), None)
        ]
        assert found == expected
    disagree = evidence_of(store, metric, evidence_verdict="disagree")
    assert disagree["token"].tolist() == tokens.loc[by["full"] != by["ig_ablation"], "token"].tolist()
    assert 0 < len(disagree) < len(tokens)


def test_rows_show_the_values_that_their_metric_uses(store: Store) -> None:
    shown = Explorer(store, metric="full", cosine_threshold=0.2).model.shown
    rows = evidence_of(store, "full", cosine_threshold=0.2)
    # Results of ablation for another latent are not shown for the latent with the largest projection.
    assert rows[["second_latent", "second_effect", "second_cosine", "margin", "fraction"]].isna().all(axis=None)
    tokens = evidence().set_index("token")
    for row in rows.itertuples():
        of = tokens.loc[row.token]
        at = of["latents"].index(row.top_latent)
        assert row.top_effect == pytest.approx(of["effects"][at], rel=1e-5)
        assert row.projection == pytest.approx(of["projections"][at], rel=1e-5) == np.float32(of["projections"]).max()
    seen = set()
    for row in judged_rows(rows, shown):
        seen.add(row["reason"])
        total = tokens["total_projection"][row["token"]]
        share = row["projection"] / total if total > 0 else float("nan")
        found = float("nan") if row["projected_share"] is None else row["projected_share"]
        assert found == pytest.approx(share, rel=1e-4, nan_ok=True)
        if row["reason"] == "absorbed":
            assert share >= FULL_SHARE
            assert "of the projection on the probe ≥ 40.0%" in row["why"]
        elif row["reason"] == "projection":
            assert total < 0 or share < FULL_SHARE
            assert ("is not positive" in row["why"]) == (total <= 0)
        assert "margin" not in row["why"]
        assert "published" not in row["why"]
    assert {"absorbed", "projection", "cosine", "split latent fires"} <= seen
    for metric in FRACTIONS:
        of_tokens = evidence_of(store, metric)
        np.testing.assert_allclose(of_tokens["fraction"], fractions(evidence(), metric), atol=1e-6)
        assert of_tokens["absorbed"].isna().all()


def test_columns_follow_the_metric(store: Store) -> None:
    explorer = Explorer(store, page="evidence")
    columns = {}
    for metric in explorer.state.metrics:
        explorer.state.metric = metric
        columns[metric] = set(shown_columns(explorer.state, of_suite=True)) - {"sae", "concept", "token", "why"}
    of_effect = {"top_effect", "second_latent", "second_effect", "margin"}
    both = {"top_latent", "top_cosine", "absorbed_by"}
    assert columns["ig_ablation"] == both | of_effect | {"reason"}
    assert columns["full"] == both | {"projection", "projected_share", "reason"}
    assert columns["fraction"] == columns["fraction-0.3"] == both | {"fraction"}


def test_changing_the_metric_resets_inapplicable_order_and_filter(store: Store) -> None:
    explorer = Explorer(store, page="evidence", evidence_verdict="absorbed", evidence_sort="margin")
    explorer.state.apply({"metric": "full"})
    assert (explorer.state.evidence_sort, explorer.state.evidence_verdict) == ("projection", "absorbed")
    explorer.state.apply({"metric": "fraction-0.3"})
    assert (explorer.state.evidence_sort, explorer.state.evidence_verdict) == ("fraction", "all")
    explorer.state.apply({"metric": "ig_ablation", "evidence_verdict": "disagree"})
    assert (explorer.state.evidence_sort, explorer.state.evidence_verdict) == ("top_effect", "disagree")


def test_opened_token_sorts_latents_by_the_deciding_value(store: Store) -> None:
    asked = {"suite": "several", "sae": SAE, "concept": CONCEPT, "token": "s000"}
    latents = store.fetch("token_latents", **asked)
    effects, projections = (ablated(latents, metric) for metric in ("ig_ablation", "full"))
    assert [bar["by"] for bar in (effects[0], projections[0])] == ["effect", "projection"]
    assert projections[0]["latent"] == evidence_of(store, "full")["top_latent"].iloc[0]
    assert effects[0]["latent"] == evidence_of(store, "ig_ablation")["top_latent"].iloc[0]


def test_click_on_a_token_shows_the_values_of_every_metric(store: Store) -> None:
    state = ExplorerState(choices_of(store), page="evidence", metric="full", evidence_verdict="disagree")
    model = ExplorerModel(store, state, SuiteEvidence)
    table = SuiteEvidence(model).__panel__()
    assert isinstance(table, Markup)
    tokens = evidence()
    place = {token: at for at, token in enumerate(model.suite_evidence["token"])}

    def opened() -> dict[str, list[str]]:
        """Return verdict, latent and reason of each metric on the page."""
        (rows,) = re.findall(r'<table class="by-metric.*?<tbody>(.*?)</tbody>', table.html, re.DOTALL)
        cells = [re.findall(r"<td.*?>(.*?)</td>", row) for row in rows.split("</tr>")[:-1]]
        return {texts[0]: texts[1:] for texts in ([re.sub("<.*?>", "", cell) for cell in row] for row in cells)}

    def expect_opened(token: str, cosine: float, margin: float) -> None:
        of, at = tokens.set_index("token").loc[token], tokens.index[tokens["token"] == token][0]
        numbers = opened()
        assert list(numbers) == ["ablation", "full absorption", "absorption fraction", "fraction before 0.4.1"]
        for name, metric in zip(numbers, ("ig_ablation", "full", *FRACTIONS), strict=True):
            verdict, latent, why = numbers[name]
            if metric in FRACTIONS:
                assert (verdict, latent) == (percent(fractions(tokens, metric)[at]), "–")
                assert (
                    number(of["main_projection"], 2) in why
                    or percent(of["main_projection"] / of["total_projection"]) in why
                    or of["total_projection"] <= 0
                )
                continue
            is_absorbed = bool(judged(tokens, metric, PUBLISHED[0], cosine, margin)[at])
            assert verdict == ("absorbed" if is_absorbed else "not absorbed")
            if metric == "ig_ablation" and (is_absorbed or "margin" in why):
                assert f"margin {number(abs(of['top_effect']) - abs(of['second_effect']), 2)}" in why
                assert number(margin, 2) in why
            elif metric == "full" and is_absorbed:
                share = np.float32(of["projections"]).max() / of["total_projection"]
                assert f"carries {percent(share)} of the projection on the probe ≥ {percent(FULL_SHARE)}" in why
                assert f"≥ {number(cosine)}" in why

    seen = set()
    for token in [*place][:12]:
        table._handle_msg({"action": "open", "value": str(place[token])})
        expect_opened(token, *PUBLISHED[1:])
        seen.add(tuple(verdict for verdict, *_ in [*opened().values()][:2]))
    assert seen == {("absorbed", "not absorbed"), ("not absorbed", "absorbed")}
    # The opened row follows the thresholds.
    state.apply({"evidence_verdict": "all", "evidence_token": token})
    state.apply({"effect_margin": 0.125, "cosine_threshold": 0.0625})
    expect_opened(token, 0.0625, 0.125)


@pytest.mark.parametrize(
    ("metric", "name", "sentence"),
    [
        ("fraction", "absorption fraction", "absorbing latents carry {} of S on average."),
        (
            *("fraction-0.3", "absorption fraction before 0.4.1"),
            "{} of what latents carry of S is not on split latents.",
        ),
    ],
)
def test_fraction_has_its_name_on_every_page(store: Store, metric: str, name: str, sentence: str) -> None:
    explorer = Explorer(store, metric=metric)
    assert explorer.layout
    text = headline(explorer.model.summary, "S", "letter", metric=metric)
    share = f"{100 * fraction(evidence(), metric):.1f}%"
    assert text.endswith(f"Over the words that the probe finds, {sentence.format(share)}")
    for page in ("explore", "atlas", "evidence"):
        explorer.state.page = page
        texts = " ".join(pane.html for pane in explorer.layout.select(Markup) if isinstance(pane, Markup))
        assert name in texts.lower(), page
        assert (
            "absorption rate"
            not in re.sub(r'<span class="definition".*?</span>|(title|data-term)="[^"]*"', "", texts).lower()
        ), page


def test_rate_by_chance_is_shown_with_the_rate(store: Store) -> None:
    means = store.fetch(
        "sae_means",
        suite="several",
        metric="projection-3",
        family=FAMILY,
        scope="suite",
        mean_policy="all_concepts",
        tau=0.03,
        cosine_threshold=0.025,
        effect_margin=1.0,
    )
    assert means[["absorption_rate", "random_rate"]].to_numpy().tolist() == [[0.125, 0.03125]]
    explorer = Explorer(store, metric="projection-3")
    assert explorer.layout
    assert explorer.model.summary["random_rate"] == 0.03125
    explorer.state.apply({"page": "atlas", "mean_policy": "all_concepts"})
    (table,) = (pane for pane in explorer.layout.select(Markup) if isinstance(pane, Markup) and "All SAEs" in pane.html)
    assert "By chance" in table.html
    assert "3.1%" in table.html
    assert metric_label("projection-3") == "projection, 3 × the next"


@pytest.mark.parametrize("metric", ["ig_ablation", "full", *FRACTIONS, "projection-3"])
def test_sensitivity_curve_contains_the_rate(store: Store, metric: str) -> None:
    own = dict(zip(("tau", "cosine_threshold", "effect_margin"), PUBLISHED, strict=True))
    of_suite = {"suite": "several", "family": FAMILY, "metric": metric, "mean_policy": "all_concepts", **own}
    assert expect_sensitivity(store, of_suite) == 1


@pytest.mark.parametrize("of", ["tau", "cosine_threshold"])
def test_sensitivity_curve_equals_the_rate_at_each_threshold(store: Store, of: str) -> None:
    own: dict[str, Any] = dict(zip(("tau", "cosine_threshold", "effect_margin"), PUBLISHED, strict=True))
    of_suite = {"suite": "several", "family": FAMILY, "metric": "full", "mean_policy": "all_concepts", **own}
    span = {"sensitivity_of": of, "sensitivity_low": 0.0, "sensitivity_high": 0.2}
    curve = store.fetch("threshold_sensitivity", sae=SAE, **of_suite, **span)
    for row in curve.itertuples():
        mean = store.fetch("sae_means", scope="suite", **of_suite | {of: row.value})["absorption_rate"]
        assert [row.absorption_rate] == pytest.approx(mean.tolist()), row.value
    assert len(set(curve["absorption_rate"])) > 1


def test_only_thresholds_of_the_metric_are_offered(store: Store) -> None:
    explorer = Explorer(store)
    offered = {}
    for metric in explorer.state.metrics:
        explorer.state.metric = metric
        offered[metric] = sorted(explorer.state.movable)
    assert offered == {
        "ig_ablation": ["cosine_threshold", "effect_margin", "tau"],
        "fraction": ["tau"],
        "fraction-0.3": ["tau"],
        "full": ["cosine_threshold", "tau"],
        "projection-3": ["tau"],
    }


def test_metric_is_part_of_the_address(store: Store) -> None:
    explorer = Explorer(store, metric="full")
    assert "metric=full" in explorer.state.to_query()
    assert explorer.state.from_query(explorer.state.to_query()) == []
    assert explorer.state.from_query("metric=none") == [
        "metric = 'none' does not exist here (there is ig_ablation, fraction, fraction-0.3, full, projection-3)"
    ]
