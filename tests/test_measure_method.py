"""The method's definitions, against cases computed by hand from docs/method.md."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from measure.scores import auc, best_threshold, score
from measure.sparse import Sparse
from measure.stages.ablation import Word, ablate, is_absorption
from measure.stages.candidates import find_candidates
from measure.stages.evidence import rounded
from measure.stages.k_sparse import fit_columns, fit_k_sparse, fit_logistic, rank_latents
from measure.stages.probes import fit_probes, score_probes
from measure.stages.splits import num_split_latents
from tests.toy_language import ToyModel

CPU = torch.device("cpu")
RNG = np.random.RandomState(0)


@pytest.mark.parametrize(
    ("curve", "tau", "number"),
    [
        ([0.70], 0.03, 1),
        ([0.70, 0.71, 0.80], 0.03, 1),  # the first k that fails ends it
        ([0.70, 0.74, 0.78, 0.80], 0.03, 3),
        ([0.70, 0.73], 0.03, 1),  # a gain of tau is not above tau, although 0.73 - 0.70 is in binary
        ([0.70, 0.73], 0.02, 2),
        ([0.70, 0.60, 0.90], 0.03, 1),
        ([0.04 * k for k in range(1, 21)], 0.03, 15),  # no more than 15
    ],
)
def test_split_latents_are_counted(curve: list[float], tau: float, number: int) -> None:
    assert num_split_latents(dict(enumerate(curve, start=1)), tau) == number


def test_candidates_fulfil_every_condition() -> None:
    # A candidate; another letter; the probe is wrong; a split latent fires; the k-sparse probe is right; a candidate;
    # one with an activation below 1e-8; one on which no latent is active at all.
    truth = np.array([True, False, True, True, True, True, True, True])
    probe = np.array([1.0, 1.0, -1.0, 2.0, 0.5, 0.1, 3.0, 1.0])
    k_sparse = np.array([-1.0, -1.0, -1.0, -1.0, 0.5, 0.0, -2.0, -1.0])
    split = np.array([[0.0, 0.0], [0, 0], [0, 0], [0, 0.7], [0, 0], [0, 0], [1e-9, 0], [0, 0]])
    active = np.array([3, 3, 3, 3, 3, 1, 3, 0])
    found = find_candidates(truth, probe, k_sparse, split, active, limit=None, seed=0)
    assert found.tested.tolist() == [0, 5, 6]
    assert found[:4] == (6, 1, 5, 3)
    assert found.sample_portion == 1
    sampled = find_candidates(truth, probe, k_sparse, split, active, limit=2, seed=0)
    assert (sampled.num_candidates, len(sampled.tested), sampled.sample_portion) == (3, 2, 2 / 3)
    assert set(sampled.tested) < {0, 5, 6}
    nothing = find_candidates(np.zeros(8, bool), probe, k_sparse, split, active, limit=2, seed=0)
    assert (nothing.num_candidates, nothing.sample_portion) == (0, 1)


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, True),
        ({"split_activations": np.array([0.0, 0.1])}, False),
        ({"split_activations": np.array([1e-9])}, True),
        ({"top_effect": 2.0}, False),
        ({"second_effect": -1.0}, True),  # exactly the margin
        ({"second_effect": -1.25}, False),
        ({"top_cosine": 0.025}, True),
        ({"top_cosine": 0.02}, False),
    ],
)
def test_verdict_follows_from_the_scores(changed: dict[str, object], verdict: bool) -> None:  # noqa: FBT001 - the expected value
    case: dict[str, object] = {
        "split_activations": np.zeros(2),
        "top_effect": -2.0,
        "second_effect": -0.5,
        "top_cosine": 0.3,
        "effect_margin": 1.0,
        "cosine_threshold": 0.025,
    }
    assert is_absorption(**(case | changed)) is verdict  # type: ignore[arg-type]


def test_classifier_scores_match_hand_calculations() -> None:
    values, truth = np.array([3.0, 2.0, 1.0, -1.0, -2.0]), np.array([True, False, True, True, False])
    assert score(values, truth) == pytest.approx((2 / 3, 2 / 3, 2 / 3, 4 / 6))
    assert auc(np.zeros(4), np.array([True, False, True, False])) == 0.5  # ties count half
    assert auc(values, np.zeros(5, bool)) == 0.5
    # Of the F1 2/4, 2/5, 4/6, 6/7, 6/8 the fourth is best: the threshold is between the fourth and the fifth value.
    assert best_threshold(values, truth) == -1.5
    assert (
        best_threshold(np.array([1.0, 1.0, 0.0]), np.array([True, False, False])) == 0.5
    )  # equal values are not separated


def test_sparse_activations_equal_dense_ones() -> None:
    dense = np.where(RNG.rand(7, 5) > 0.6, RNG.rand(7, 5), 0).astype(np.float32)
    rows, latents = np.nonzero(dense)
    sparse = Sparse(np.searchsorted(rows, np.arange(8)), latents.astype(np.int32), dense[rows, latents], 5)
    np.testing.assert_array_equal(sparse.dense(range(5)), dense)
    np.testing.assert_array_equal(sparse.take(np.array([3, 0, 3])).dense(range(5)), dense[[3, 0, 3]])
    np.testing.assert_array_equal(Sparse.stack([sparse, sparse]).dense([4, 1]), np.tile(dense[:, [4, 1]], (2, 1)))
    np.testing.assert_array_equal(sparse.counts(), (dense > 0).sum(0))


def test_probes_find_directions_and_keep_letters_without_words() -> None:
    centres = RNG.randn(2, 8) * 3
    letters = np.arange(600) % 2
    stream = (centres[letters] + RNG.randn(600, 8)).astype(np.float16)
    labels = np.eye(3, dtype=bool)[letters]
    probes = fit_probes(stream[:400], labels[:400], l2=1.0, device=CPU)
    scores = score_probes(probes, stream[400:], labels[400:])
    assert min(one.f1 for one in scores[:2]) > 0.95
    assert scores[2].f1 == 0
    assert (probes.logits(stream)[:, 2] < 0).all()


def test_letters_are_ranked_and_predicted_by_their_own_latent() -> None:
    letters = RNG.randint(0, 3, 900)
    dense = np.where(RNG.rand(900, 12) > 0.8, 1.0, 0.0).astype(np.float32)
    dense[np.arange(900), 4 + letters] = 2.0 * (RNG.rand(900) > 0.1)
    rows, latents = np.nonzero(dense)
    sparse = Sparse(np.searchsorted(rows, np.arange(901)), latents.astype(np.int32), dense[rows, latents], 12)
    labels = np.eye(3, dtype=bool)[letters]
    ranked = rank_latents(sparse, labels, l1=0.01, epochs=25, batch=8192, end_rate=0.01, seed=0, device=CPU)
    assert ranked[:, 0].tolist() == [4, 5, 6]
    probes = fit_k_sparse(sparse, letters == 1, ranked[1])
    assert list(probes) == [k for k in (*range(1, 16), 20, 50) if k <= 12]
    assert score(probes[1].logits(sparse), letters == 1).f1 > 0.85


def test_logistic_regression_minimizes_its_loss() -> None:
    x, truth = RNG.randn(300, 3), RNG.rand(300) > 0.6
    weights, bias = fit_logistic(x, truth)
    chance = 1 / (1 + np.exp(-(x @ weights + bias)))
    np.testing.assert_allclose(x.T @ (chance - truth) + weights, 0, atol=1e-6)
    assert (chance - truth).sum() == pytest.approx(0, abs=1e-5)
    separated, _ = fit_logistic(np.array([[-1.0], [-1], [1], [1]]), np.array([False, False, True, True]))
    assert np.isfinite(separated).all()


@given(seed=st.integers(0, 2**32 - 1), balanced=st.booleans())
@settings(max_examples=20, deadline=None)
def test_k_sparse_probes_are_regressions_on_all_words(*, seed: int, balanced: bool) -> None:
    rng = np.random.RandomState(seed)
    columns = rng.rand(200, 5).astype(np.float32) * (rng.rand(200, 5) > rng.rand())
    truth = np.append(rng.rand(198) > 0.5, [True, False])
    for k, probe in fit_columns(columns, truth, np.arange(5), (1, 2, 5), balanced=balanced).items():
        weights, bias = fit_logistic(columns[:, :k].astype(np.float64), truth, balanced=balanced)
        np.testing.assert_allclose(probe.weights, weights, atol=1e-6)
        if balanced:
            assert probe.bias == pytest.approx(bias, abs=1e-6)


def _words() -> list[Word]:
    return [
        Word(7, 2, np.array([0, 3]), np.array([1.5, 0.5], np.float32)),
        Word(9, 11, np.array([1, 2, 3]), np.array([0.25, 2.0, 1.0], np.float32)),
        Word(12, 0, np.array([], np.int32), np.array([], np.float32)),
        Word(13, 5, np.array([2]), np.array([3.0], np.float32)),
    ]


def _brute_force(model: ToyModel, word: Word, latent: int, directions: torch.Tensor) -> tuple[float, float]:
    """Return the metric, and its change when one latent is ablated."""

    def metric(stream: torch.Tensor) -> float:
        logits = model.answer(stream)
        others = [logit for letter, logit in enumerate(logits.tolist()) if letter != word.letter]
        return logits[word.letter].item() - sum(others) / 25

    stream = model.embedding[word.token]
    strength = word.activations[word.latents.tolist().index(latent)]
    whole = metric(stream)
    return whole, metric(stream - float(strength) * directions[latent]) - whole


@pytest.mark.parametrize("linear", [True, False])
def test_ablation_equals_brute_force(linear: bool) -> None:  # noqa: FBT001 - both kinds of model
    model = ToyModel(linear=linear)
    directions = torch.randn(4, 6, generator=torch.Generator().manual_seed(5))
    found = list(ablate(model, None, None, _words(), directions, layer=0, steps=6, batch=3))  # type: ignore[arg-type]
    assert len(found) == 4
    for word, one in zip(_words(), found, strict=True):
        changes = {}
        for latent in word.latents.tolist():
            whole, changes[latent] = _brute_force(model, word, latent, directions)
            assert one.metric == pytest.approx(whole, abs=1e-5)
        order = np.argsort(one.effects)
        for place, true in zip(order, (one.true_top, one.true_second), strict=False):
            assert true == pytest.approx(changes[word.latents[place]], abs=1e-5)
        if linear:  # then attribution is exact too
            np.testing.assert_allclose(one.effects, list(changes.values()), atol=1e-5)
    assert [np.isnan(one.true_second) for one in found] == [False, False, True, True]
    assert np.isnan(found[2].true_top)


def test_numbers_are_rounded_to_significant_bits() -> None:
    np.testing.assert_allclose(rounded(np.array([1.0, 1.001, 1000.1, 0.0]), 8), [1.0, 1.0, 1000.0, 0.0])
