"""Probes on the toy: a linear probe on its inputs, and k-sparse probes on its latents."""

from __future__ import annotations

from itertools import pairwise, product
from typing import NamedTuple

import numpy as np

from explorer.learn.toy import INPUTS, Toy, ToySae

_IS_PARENT = INPUTS[:, 0] > 0
#: Weight of the L2 penalty on the probe, and number of Newton steps.
_PENALTY, _STEPS = 1e-5, 40
_SILENT = 1e-9


class Probe(NamedTuple):
    """A linear probe for the parent feature.

    Attributes
    ----------
    direction : ndarray of shape (2,)
    bias : float
    """

    direction: np.ndarray
    bias: float

    @property
    def scores(self) -> np.ndarray:
        """Its logit on each kind of input, of shape (4,); above 0 it predicts the parent."""
        return INPUTS @ self.direction + self.bias

    def cosines(self, vectors: np.ndarray) -> np.ndarray:
        """Return the cosine of each row of `vectors` with the probe."""
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(self.direction)
        return vectors @ self.direction / lengths


def fit_probe(toy: Toy) -> Probe:
    """Fit a logistic regression for the parent to the kinds of input, weighted by their probabilities."""
    columns = np.column_stack([INPUTS, np.ones(len(INPUTS))])
    penalty = _PENALTY * np.diag([1.0, 1.0, 0.0])
    weights = np.zeros(3)
    for _ in range(_STEPS):
        predicted = 1 / (1 + np.exp(-columns @ weights))
        gradient = columns.T @ (toy.probabilities * (predicted - _IS_PARENT)) + penalty @ weights
        curvature = (columns.T * (toy.probabilities * predicted * (1 - predicted))) @ columns + penalty
        weights = weights - np.linalg.solve(curvature, gradient)
    return Probe(weights[:2], float(weights[2]))


class SparseProbe(NamedTuple):
    """The best classifier on the first k latents.

    Attributes
    ----------
    k : int
    latent : int
        The latent added at k, index from 0.
    f1 : float
    """

    k: int
    latent: int
    f1: float


def k_sparse(toy: Toy, sae: ToySae) -> list[SparseProbe]:
    """Rank latents by their individual F1 for the parent, and return the F1 of the first k together.

    A classifier predicts the parent if any of its latents reaches that latent's threshold; thresholds are optimal.
    """
    active = sae.activations
    single = [_best_f1(toy, active[:, [latent]]) for latent in range(active.shape[1])]
    order = sorted(range(len(single)), key=lambda latent: (-single[latent], latent))
    return [SparseProbe(k, order[k - 1], _best_f1(toy, active[:, order[:k]])) for k in range(1, len(order) + 1)]


def num_split(probes: list[SparseProbe], tau: float) -> int:
    """Return the number of split latents: the first, and the next ones while each raises F1 by more than tau."""
    gains = [after.f1 - before.f1 for before, after in pairwise(probes)]
    return 1 + next((place for place, gain in enumerate(gains) if gain <= tau), len(gains))


def _best_f1(toy: Toy, active: np.ndarray) -> float:
    thresholds = [[np.inf, *sorted({float(value) for value in column if value > _SILENT})] for column in active.T]
    return max(_f1(toy, np.any(active >= np.array(chosen), axis=1)) for chosen in product(*thresholds))


def _f1(toy: Toy, predicted: np.ndarray) -> float:
    true_positives = toy.probabilities[predicted & _IS_PARENT].sum()
    errors = toy.probabilities[predicted != _IS_PARENT].sum()
    return float(2 * true_positives / (2 * true_positives + errors)) if true_positives else 0.0
