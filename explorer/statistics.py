"""How sure a difference is: intervals by resampling."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_RESAMPLES = 4000
#: Numbers drawn at a time: some 30 MB.
_AT_ONCE = 4_000_000


class Difference(NamedTuple):
    """A mean difference, its 95 % interval (None where it cannot be told), and what it is the mean of."""

    mean: float
    low: float | None
    high: float | None
    num_concepts: int
    num_seeds: int = 1
    num_other_seeds: int = 1


def mean_difference(rates: np.ndarray, other_rates: np.ndarray) -> Difference | None:
    """Say by how much the mean rate of the other SAE is higher, with an interval from a paired bootstrap.

    Concepts are resampled as pairs, for one that is hard for the one SAE is hard for the other; where an SAE was
    trained with several seeds, these are resampled, too. The interval holds the middle 95 % of 4,000 means, drawn
    with a fixed seed: the same data give the same interval.

    Parameters
    ----------
    rates, other_rates : ndarray of shape (n_seeds, n_concepts)
        Rates of each SAE for the same concepts; the numbers of seeds may differ. NaN where a rate is unknown.

    Returns
    -------
    Difference or None
        None where the two share no concept.
    """
    shared = ~(np.isnan(rates).any(axis=0) | np.isnan(other_rates).any(axis=0))
    this, other = rates[:, shared], other_rates[:, shared]
    number = this.shape[1]
    if not number:
        return None
    mean = float(other.mean() - this.mean())
    if number == 1:
        return Difference(mean, None, None, number, len(this), len(other))
    random = np.random.default_rng(0)
    means: list[np.ndarray] = []
    most = max(1, _AT_ONCE // number)
    for start in range(0, _RESAMPLES, most):
        size = min(most, _RESAMPLES - start)
        drawn = random.integers(number, size=(size, number))
        means.append(_of_drawn_seeds(other, drawn, random) - _of_drawn_seeds(this, drawn, random))
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975))
    return Difference(mean, float(low), float(high), number, len(this), len(other))


def _of_drawn_seeds(rates: np.ndarray, concepts: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return, for each resample of concepts, the mean rate over as many seeds as there are, drawn anew."""
    of_seeds = rates[:, concepts].mean(axis=2)
    seeds = random.integers(len(rates), size=(len(concepts), len(rates)))
    return of_seeds[seeds, np.arange(len(concepts))[:, None]].mean(axis=1)
