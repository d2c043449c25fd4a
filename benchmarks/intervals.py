"""Measure the coverage of the interval of a mean difference on simulated rates: ``python -m benchmarks.intervals``.

Both SAEs have the same mean rate per concept, up to the difference; a seed shifts all rates of its SAE, and each rate
has noise. The interval that the explorer shows is compared with a plain bootstrap over concepts and seeds.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from explorer.statistics import mean_difference, resampled_differences

if TYPE_CHECKING:
    from collections.abc import Iterable

_TRUTH = 0.01


def draw(random: np.random.Generator, seeds: int, concepts: int, between: float, *, skewed: bool) -> list[np.ndarray]:
    """Draw rates of two SAEs, (seeds, concepts), with mean 5% and a skewed or normal distribution over concepts."""
    hard = random.gamma(0.7, 0.07, concepts) if skewed else random.normal(0.05, 0.03, concepts)
    gain = _TRUTH + random.normal(0, 0.02, concepts) * (hard / hard.mean() if skewed else 1)
    return [
        mean + random.normal(0, between, (seeds, 1)) + random.normal(0, 0.01, (seeds, concepts))
        for mean in (hard, hard + gain)
    ]


class Coverage(NamedTuple):
    """The share of intervals that contain the truth, and their mean width."""

    held: float
    width: float


def coverage(suites: Iterable[tuple[np.ndarray, np.ndarray]], truth: float) -> Coverage:
    """Measure the coverage of the interval that the explorer shows, for pairs of rates, (seeds, concepts)."""
    held, widths = [], []
    for this, other in suites:
        found = mean_difference(this, other)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        held.append(found.low <= truth <= found.high)
        widths.append(found.high - found.low)
    return Coverage(float(np.mean(held)), float(np.mean(widths)))


def plain_coverage(suites: Iterable[tuple[np.ndarray, np.ndarray]], truth: float) -> float:
    """Return the coverage of the interval of a plain bootstrap."""
    held = []
    for this, other in suites:
        low, high = np.quantile(resampled_differences(this, other, np.random.default_rng(0)), (0.025, 0.975))
        held.append(low <= truth <= high)
    return float(np.mean(held))


def main() -> None:
    """Print one line per case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000)
    repeats = parser.parse_args().repeats
    print("seeds concepts seed's spread  rates    held  plain bootstrap   mean width")
    for seeds, concepts in ((1, 26), (3, 12), (3, 26), (3, 60), (5, 26)):
        for between in (0.0, 0.005, 0.01) if seeds > 1 else (0.0,):
            for skewed in (False, True):
                random = np.random.default_rng(0)
                suites = [draw(random, seeds, concepts, between, skewed=skewed) for _ in range(repeats)]
                found = coverage(suites, _TRUTH)
                print(
                    f"{seeds:5} {concepts:8} {between:13} {'skewed' if skewed else 'normal':>7}"
                    f" {found.held:7.1%} {plain_coverage(suites, _TRUTH):16.1%} {found.width:12.4f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
