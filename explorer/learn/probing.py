"""What probes find in the toy: a linear probe on its inputs, and k-sparse probes on its latents."""

from __future__ import annotations

from itertools import pairwise, product
from typing import NamedTuple

import numpy as np

from explorer.learn.toy import INPUTS, Toy, ToySae

_IS_PARENT = INPUTS[:, 0] > 0
#: Weight of the penalty on the probe's length, and the steps that Newton's method takes.
_PENALTY, _STEPS = 1e-5, 40
_SILENT = 1e-9


class Probe(NamedTuple):
    """A linear probe for the parent.

    Attributes
    ----------
    direction : ndarray of shape (2,)
    bias : float
    """

    direction: np.ndarray
    bias: float

    @property
    def scores(self) -> np.ndarray:
        """Its logit on each kind of input; above 0 it finds the parent."""
        return INPUTS @ self.direction + self.bias

    def cosines(self, vectors: np.ndarray) -> np.ndarray:
        """Return the cosine of each row with the probe."""
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(self.direction)
        return vectors @ self.direction / lengths


def fit_probe(toy: Toy) -> Probe:
    """Fit a logistic regression for the parent to the inputs, each kind as often as it occurs."""
    columns = np.column_stack([INPUTS, np.ones(len(INPUTS))])
    penalty = _PENALTY * np.diag([1.0, 1.0, 0.0])
    weights = np.zeros(3)
    for _ in range(_STEPS):
        said = 1 / (1 + np.exp(-columns @ weights))
        gradient = columns.T @ (toy.probabilities * (said - _IS_PARENT)) + penalty @ weights
        curvature = (columns.T * (toy.probabilities * said * (1 - said))) @ columns + penalty
        weights = weights - np.linalg.solve(curvature, gradient)
    return Probe(weights[:2], float(weights[2]))


class SparseProbe(NamedTuple):
    """The best that a classifier makes of the first k latents.

    Attributes
    ----------
    k : int
    latent : int
        The one that is added at k.
    f1 : float
    """

    k: int
    latent: int
    f1: float


def k_sparse(toy: Toy, sae: ToySae) -> list[SparseProbe]:
    """Rank latents by how well each alone finds the parent, and say what the first k find together.

    A classifier says yes where any of its latents reaches a threshold of its own; the best thresholds count.
    """
    active = sae.activations
    alone = [_best_f1(toy, active[:, [latent]]) for latent in range(active.shape[1])]
    order = sorted(range(len(alone)), key=lambda latent: (-alone[latent], latent))
    return [SparseProbe(k, order[k - 1], _best_f1(toy, active[:, order[:k]])) for k in range(1, len(order) + 1)]


def num_split(probes: list[SparseProbe], tau: float) -> int:
    """Count the split latents: the first, and each next one as long as it raises F1 by more than tau."""
    rises = [after.f1 - before.f1 for before, after in pairwise(probes)]
    return 1 + next((place for place, rise in enumerate(rises) if rise <= tau), len(rises))


def _best_f1(toy: Toy, active: np.ndarray) -> float:
    thresholds = [[np.inf, *sorted({float(value) for value in column if value > _SILENT})] for column in active.T]
    return max(_f1(toy, np.any(active >= np.array(chosen), axis=1)) for chosen in product(*thresholds))


def _f1(toy: Toy, said: np.ndarray) -> float:
    hits = toy.probabilities[said & _IS_PARENT].sum()
    off = toy.probabilities[said != _IS_PARENT].sum()
    return float(2 * hits / (2 * hits + off)) if hits else 0.0
