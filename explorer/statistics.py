"""Confidence intervals of differences, by resampling."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_RESAMPLES = 4000
#: Random numbers drawn at a time, some 30 MB.
_AT_ONCE = 4_000_000


class Difference(NamedTuple):
    """A mean difference with its uncertainty.

    Attributes
    ----------
    mean : float
    low, high : float or None
        Its 95% interval; None if there is only one concept.
    detectable : float or None
        Approximate difference that the same amount of data would detect with a power of 80%.
    num_concepts, num_seeds, num_other_seeds : int
        Numbers of concepts and seeds over which it is averaged.
    """

    mean: float
    low: float | None
    high: float | None
    detectable: float | None
    num_concepts: int
    num_seeds: int = 1
    num_other_seeds: int = 1


def mean_difference(rates: np.ndarray, other_rates: np.ndarray) -> Difference | None:
    """Return the mean rate of the other SAE minus that of this SAE, with an interval from a paired bootstrap.

    Concepts are resampled as pairs, because rates of two SAEs are correlated over concepts; if an SAE was trained with
    several seeds, these are resampled, too. A bootstrap of few items is too narrow: with three seeds, its interval
    covered the true value 83 times in 100 in a simulation (benchmarks/intervals.py). So the deviations of the resamples
    are scaled to the variance estimated from the data, and widened as Student's t is wider than a normal distribution.
    The interval is the middle 95% of 4,000 means with a fixed random seed, so equal data have equal intervals.

    Parameters
    ----------
    rates, other_rates : ndarray of shape (n_seeds, n_concepts)
        Rates of each SAE for the same concepts; the numbers of seeds may differ. NaN if a rate is unknown.

    Returns
    -------
    Difference or None
        None if no concept has a rate on both.
    """
    shared = ~(np.isnan(rates).any(axis=0) | np.isnan(other_rates).any(axis=0))
    this, other = rates[:, shared], other_rates[:, shared]
    number = this.shape[1]
    if not number:
        return None
    mean = float(other.mean() - this.mean())
    if number == 1:
        return Difference(mean, None, None, None, number, len(this), len(other))
    random = np.random.default_rng(0)
    resampled = resampled_differences(this, other, random)
    off, spread = resampled - mean, resampled.std()
    if spread:
        variance, freedom = _variance(this, other)
        off *= variance**0.5 / spread * np.sqrt(freedom / random.chisquare(freedom, len(off)))
    low, high = mean + np.quantile(off, (0.025, 0.975))
    # For the interval to exclude 0 with a power of 80%, the two-sided 95% and one-sided 80% quantiles add up.
    detectable = np.quantile(np.abs(off), (0.95, 0.6)).sum()
    return Difference(mean, float(low), float(high), float(detectable), number, len(this), len(other))


def resampled_differences(this: np.ndarray, other: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the mean differences of 4,000 resamples of concepts (paired) and seeds, of shape (4000,)."""
    number = this.shape[1]
    pieces: list[np.ndarray] = []
    most = max(1, _AT_ONCE // number)
    for start in range(0, _RESAMPLES, most):
        size = min(most, _RESAMPLES - start)
        drawn = random.integers(number, size=(size, number))
        pieces.append(_of_drawn_seeds(other, drawn, random) - _of_drawn_seeds(this, drawn, random))
    return np.concatenate(pieces)


def _variance(this: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Return the variance of the mean difference, and its degrees of freedom (Satterthwaite, 1946).

    Concepts contribute the variance of their differences. Seeds contribute the variance of their means, minus the part
    explained by the variance of single rates, which the contribution of concepts already contains.
    """
    number = this.shape[1]
    parts = [((other.mean(axis=0) - this.mean(axis=0)).var(ddof=1) / number, number - 1)]
    for rates in (this, other):
        seeds = len(rates)
        if seeds > 1:
            single = rates - rates.mean(axis=0) - rates.mean(axis=1, keepdims=True) + rates.mean()
            by_chance = (single**2).sum() / (seeds - 1) / (number - 1) / number
            parts.append((max(rates.mean(axis=1).var(ddof=1) - by_chance, 0.0) / seeds, seeds - 1))
    variance = sum(value for value, _ in parts)
    uncertain = sum(value**2 / freedom for value, freedom in parts)
    return variance, variance**2 / uncertain if uncertain else np.inf


def _of_drawn_seeds(rates: np.ndarray, concepts: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return, for each resample of concepts, the mean rate over a resample of the seeds."""
    of_seeds = rates[:, concepts].mean(axis=2)
    seeds = random.integers(len(rates), size=(len(concepts), len(rates)))
    return of_seeds[seeds, np.arange(len(concepts))[:, None]].mean(axis=1)
