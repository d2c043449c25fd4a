"""The rules of absorption, compared with a known truth; benchmarks/hierarchy has more cases."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.hierarchy.toy import Case, build_sae, draw_language
from benchmarks.hierarchy.verdicts import Score, fit, judge, rates, score

SMALL = Case(concepts=4, words=40, contexts=10, d_model=180)


def judged(case: Case) -> tuple[float, dict[str, Score]]:
    """Return the true rate, and the scores of each rule."""
    language = draw_language(case, 1)
    tokens = judge(language, fit(language), build_sae(case, language, 1)).tokens.assign(draw=0)
    return rates(tokens, "truth").mean(), {rule: score(tokens, rule) for rule in ("ablation", "full", "fraction")}


def test_every_rule_is_exact_without_confounders() -> None:
    true, found = judged(SMALL)
    assert true > 0.1
    assert found["ablation"] == found["full"] == (1, 1, 1, 1, true)
    assert (found["fraction"].precision, found["fraction"].recall) == (1, 1)


def test_absorption_shared_by_two_latents_is_found_by_projection_only() -> None:
    true, found = judged(replace(SMALL, together=True))
    assert (found["ablation"].recall, found["ablation"].rate) == (0, 0)
    assert (found["full"].recall, found["full"].rate) == (1, true)
