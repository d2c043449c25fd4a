"""Stage: k-sparse probes, logistic regressions on the k latents that predict a letter best."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from measure.scores import Scores, best_threshold, score

if TYPE_CHECKING:
    from collections.abc import Iterable

    from measure.sparse import Sparse

#: Numbers of latents that a probe may use.
K_VALUES = (*range(1, 16), 20, 50)
_BATCH = 4096
_RATE, _LAST_RATE = 1e-2, 1e-5
_RIDGE = 1.0
_NEWTON_STEPS = 50


class KSparseProbe(NamedTuple):
    """A probe on `latents`; a letter is predicted where activations @ weights + bias > 0."""

    latents: np.ndarray
    weights: np.ndarray
    bias: float

    def logits(self, activations: Sparse) -> np.ndarray:
        """Return its score of every row."""
        return activations.dense(self.latents) @ self.weights + self.bias


def rank_latents(
    activations: Sparse, labels: np.ndarray, num_letters: int, *, l1: float, epochs: int, seed: int, device: torch.device
) -> np.ndarray:
    """Rank the latents that predict each letter, (letters, 50 or all of them), best first.

    One logistic regression a letter on all latents with a penalty on the sum of weights, in which words of the letter
    weigh as much as all others; latents are ranked by their weight.
    """
    torch.manual_seed(seed)
    bound = activations.num_latents**-0.5
    weights = torch.empty(activations.num_latents, num_letters, device=device).uniform_(-bound, bound)
    biases = torch.empty(num_letters, device=device).uniform_(-bound, bound)
    weights.requires_grad_()
    biases.requires_grad_()
    targets = functional.one_hot(torch.from_numpy(labels.astype(np.int64)), num_letters).float()
    positives = targets.sum(0)
    balance = ((len(labels) - positives) / positives.clamp_min(1)).to(device)
    optimizer = torch.optim.Adam([weights, biases], lr=_RATE, weight_decay=1e-6)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, (_LAST_RATE / _RATE) ** (1 / epochs))
    for _ in range(epochs):
        for rows in torch.randperm(activations.num_rows).split(_BATCH):
            logits = _product(activations.take(rows.numpy()), weights) + biases
            loss = functional.binary_cross_entropy_with_logits(logits, targets[rows].to(device), pos_weight=balance)
            loss = loss + l1 * weights.abs().sum(0).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
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
    train: Sparse, train_truth: np.ndarray, ranked: np.ndarray, k_values: Iterable[int] = K_VALUES
) -> dict[int, KSparseProbe]:
    """Fit a probe of one letter to the first k ranked latents, for every k that there are latents for.

    The regression is unweighted, with a small ridge; the threshold is that with the best F1 on the training words.
    """
    columns = train.dense(ranked).astype(np.float64)
    probes = {}
    for k in k_values:
        if k > len(ranked):
            break
        weights, bias = fit_logistic(columns[:, :k], train_truth)
        threshold = best_threshold(columns[:, :k] @ weights + bias, train_truth)
        probes[k] = KSparseProbe(ranked[:k], weights, bias - threshold)
    return probes


def fit_logistic(x: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit a logistic regression by Newton's method, with a ridge on the weights and none on the bias."""
    design = np.column_stack([x, np.ones(len(x))])
    penalty = np.full(design.shape[1], _RIDGE)
    penalty[-1] = 1e-9
    found = np.zeros(design.shape[1])
    for _ in range(_NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ found, -30, 30)))
        slope = design.T @ (chance - truth) + penalty * found
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design
        step = np.linalg.solve(curvature + np.diag(penalty), slope)
        # A step that would overshoot, as where a latent parts the words perfectly, is shortened.
        found -= step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-8:
            break
    return found[:-1], float(found[-1])


def score_k_sparse(probes: dict[int, KSparseProbe], test: Sparse, truth: np.ndarray) -> dict[int, Scores]:
    """Score the probes of one letter on words that they have not seen."""
    columns = test.dense(probes[max(probes)].latents)
    return {
        k: score(columns[:, :k].astype(np.float64) @ probe.weights + probe.bias, truth) for k, probe in probes.items()
    }
