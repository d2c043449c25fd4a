"""Stage: k-sparse probes, logistic regressions on the k latents that predict a letter best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from measure.device import best_device
from measure.one_vs_rest import train_one_vs_rest
from measure.scores import Scores, best_threshold, score
from measure.sparse import Sparse
from measure.stages.latents import WORDS
from measure.stages.vocabulary import load_vocabulary
from queries.schema import LETTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

#: Numbers of latents that a probe may use.
K_VALUES = (*range(1, 16), 20, 50)
_WEIGHT_DECAY = 1e-6
_RIDGE = 1.0
_NEWTON_STEPS, _CLOSE = 50, 1e-8


class KSparseProbe(NamedTuple):
    """A probe on `latents`; a letter is predicted where activations @ weights + bias > 0."""

    latents: np.ndarray
    weights: np.ndarray
    bias: float

    def logits(self, activations: Sparse) -> np.ndarray:
        """Return its score of every row."""
        return activations.dense(self.latents) @ self.weights + self.bias


def rank_latents(
    activations: Sparse,
    labels: np.ndarray,
    num_letters: int,
    *,
    l1: float,
    epochs: int,
    batch: int,
    end_rate: float,
    seed: int,
    device: torch.device,
) -> np.ndarray:
    """Rank the latents that predict each letter, (letters, 50 or all of them), best first.

    One logistic regression a letter on all latents with a penalty on the sum of weights, in which words of the letter
    weigh as much as all others; latents are ranked by their weight.
    """
    weights = torch.zeros(activations.num_latents, num_letters, device=device, requires_grad=True)
    biases = torch.zeros(num_letters, device=device, requires_grad=True)
    targets = functional.one_hot(torch.from_numpy(labels.astype(np.int64)), num_letters).float().to(device)
    train_one_vs_rest(
        lambda rows: _product(activations.take(rows.numpy()), weights) + biases,
        [weights, biases],
        targets,
        epochs=epochs,
        batch=batch,
        end_rate=end_rate,
        weight_decay=_WEIGHT_DECAY,
        seed=seed,
        penalty=lambda: l1 * weights.abs().sum(0).mean(),
    )
    kept = min(max(K_VALUES), activations.num_latents)
    return weights.detach().T.topk(kept, dim=1).indices.cpu().numpy()


def _product(activations: Sparse, weights: torch.Tensor) -> torch.Tensor:
    """Multiply activations by a matrix of (latents, letters)."""
    return functional.embedding_bag(
        torch.from_numpy(activations.latents.astype(np.int64)).to(weights.device),
        weights,
        torch.from_numpy(activations.starts[:-1]).to(weights.device),
        mode="sum",
        per_sample_weights=torch.from_numpy(activations.values).to(weights.device),
    )


def fit_k_sparse(
    train: Sparse,
    train_truth: np.ndarray,
    ranked: np.ndarray,
    k_values: Iterable[int] = K_VALUES,
    *,
    balanced: bool = False,
) -> dict[int, KSparseProbe]:
    """Fit a probe of one letter to the first k ranked latents, for every k that there are latents for.

    The regression has a small ridge. It is unweighted, and the threshold is that with the best F1 on the training
    words. Or it is `balanced`, as in the reference programs: words of the letter weigh as much as all others, and the
    threshold is that of the fit.
    """
    columns = train.dense(ranked).astype(np.float64)
    probes = {}
    for k in k_values:
        if k > len(ranked):
            break
        weights, bias = fit_logistic(columns[:, :k], train_truth, balanced=balanced)
        threshold = 0.0 if balanced else best_threshold(columns[:, :k] @ weights + bias, train_truth)
        probes[k] = KSparseProbe(ranked[:k], weights, bias - threshold)
    return probes


def fit_logistic(x: np.ndarray, truth: np.ndarray, *, balanced: bool = False) -> tuple[np.ndarray, float]:
    """Fit a logistic regression by Newton's method, with a ridge on the weights and none on the bias.

    Balanced: both classes have the same total weight, and all rows together that of their number.
    """
    share = truth.mean()
    weight = np.where(truth, 0.5 / max(share, 1e-12), 0.5 / max(1 - share, 1e-12)) if balanced else np.ones(len(x))
    design = np.column_stack([x, np.ones(len(x))])
    penalty = np.full(design.shape[1], _RIDGE)
    penalty[-1] = 1e-9
    found = np.zeros(design.shape[1])
    for _ in range(_NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ found, -30, 30)))
        slope = design.T @ (weight * (chance - truth)) + penalty * found
        curvature = (design * (weight * chance * (1 - chance))[:, None]).T @ design
        step = np.linalg.solve(curvature + np.diag(penalty), slope)
        # A step that would overshoot, as where a latent parts the words perfectly, is shortened.
        found -= step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < _CLOSE:
            break
    return found[:-1], float(found[-1])


def score_k_sparse(probes: dict[int, KSparseProbe], test: Sparse, truth: np.ndarray) -> dict[int, Scores]:
    """Score the probes of one letter on words that they have not seen."""
    columns = test.dense(probes[max(probes)].latents)
    return {
        k: score(columns[:, :k].astype(np.float64) @ probe.weights + probe.bias, truth) for k, probe in probes.items()
    }


class Found(NamedTuple):
    """The probes and scores of each letter that has words, by its place in the alphabet and k."""

    probes: dict[int, dict[int, KSparseProbe]]
    scores: dict[int, dict[int, Scores]]


def load_k_sparse(folder: Path) -> Found:
    """Read what the stage wrote."""
    with np.load(folder / "k_sparse.npz") as arrays:
        found = Found({}, {})
        for letter, k, ranked, weights, bias, scores in zip(
            *(arrays[name] for name in ("letter", "k", "ranked", "weights", "bias", "scores")), strict=True
        ):
            probe = KSparseProbe(ranked[:k], weights[:k], float(bias))
            found.probes.setdefault(int(letter), {})[int(k)] = probe
            found.scores.setdefault(int(letter), {})[int(k)] = Scores(*map(float, scores))
        return found


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Do the stage."""
    vocabulary, words = load_vocabulary(needs["vocabulary"]), Sparse.load(needs["latents"] / f"{WORDS}.npz")
    train, test = words.take(vocabulary.train), words.take(vocabulary.test)
    train_letters, test_letters = vocabulary.letters[vocabulary.train], vocabulary.letters[vocabulary.test]
    ranked = rank_latents(
        train,
        train_letters,
        len(LETTERS),
        l1=settings["l1"],
        epochs=settings["l1_epochs"],
        batch=settings["l1_batch"],
        end_rate=settings["l1_end_rate"],
        seed=settings["seed"],
        device=best_device(),
    )
    progress(0.2)
    rows: dict[str, list[Any]] = {name: [] for name in ("letter", "k", "ranked", "weights", "bias", "scores")}
    present, k_values = np.unique(train_letters), [k for k in K_VALUES if k <= settings["max_k"]]
    for done, letter in enumerate(present, start=1):
        probes = fit_k_sparse(
            train, train_letters == letter, ranked[letter], k_values, balanced=settings["k_sparse"] == "balanced"
        )
        scores = score_k_sparse(probes, test, test_letters == letter)
        for k, probe in probes.items():
            weights = np.zeros(ranked.shape[1])
            weights[:k] = probe.weights
            values = (letter, k, ranked[letter], weights, probe.bias, scores[k])
            for name, value in zip(rows, values, strict=True):
                rows[name].append(value)
        progress(0.2 + 0.8 * done / len(present))
    arrays: dict[str, Any] = {name: np.array(values) for name, values in rows.items()}
    np.savez(out / "k_sparse.npz", **arrays)
