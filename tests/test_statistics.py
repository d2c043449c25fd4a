"""The interval of a difference of means, compared with a known truth."""

from __future__ import annotations

import numpy as np
import pytest

from explorer.statistics import mean_difference

REPEATS = 200


def simulated(
    random: np.random.Generator, *, seeds: int, concepts: int, difference: float, between: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw rates of two SAEs whose means differ by `difference`: some concepts are hard for both.

    `between` is the standard deviation of what a seed does to all concepts.
    """
    hard = random.normal(0.3, 0.1, concepts)
    this, other = (
        hard + random.normal(0, 0.05, (seeds, concepts)) + random.normal(0, between, (seeds, 1)) for _ in range(2)
    )
    return this, other + difference


def test_equal_data_have_equal_intervals() -> None:
    data = simulated(np.random.default_rng(1), seeds=2, concepts=26, difference=0.02)
    assert mean_difference(*data) == mean_difference(*(rates.copy() for rates in data))


def test_mean_difference_is_other_minus_this() -> None:
    found = mean_difference(np.array([[0.1, 0.3, 0.2]]), np.array([[0.2, 0.5, 0.2]]))
    assert found is not None
    assert found.mean == pytest.approx(0.1)
    assert found.num_concepts == 3
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.mean < found.high
    back = mean_difference(np.array([[0.2, 0.5, 0.2]]), np.array([[0.1, 0.3, 0.2]]))
    assert back is not None
    assert back.mean == -found.mean


@pytest.mark.parametrize(
    ("seeds", "concepts", "between"),
    [(1, 26, 0.0), (3, 26, 0.0), (3, 26, 0.02), (5, 12, 0.02)],
)
def test_intervals_contain_the_truth_in_about_95_percent_of_cases(seeds: int, concepts: int, between: float) -> None:
    """The bounds are wide, because 200 draws determine 95% to three points; benchmarks/intervals.py draws more."""
    random = np.random.default_rng(0)
    held = 0
    for _ in range(REPEATS):
        found = mean_difference(*simulated(random, seeds=seeds, concepts=concepts, difference=0.02, between=between))
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.02 <= found.high
    assert 0.91 <= held / REPEATS <= 0.99


def test_detectable_difference_is_found_with_a_power_of_80_percent() -> None:
    """Approximately: with three seeds, it is itself uncertain."""
    random = np.random.default_rng(6)
    detectable_differences, num_found = [], {True: 0, False: 0}
    for _ in range(REPEATS):
        found = mean_difference(*simulated(random, seeds=3, concepts=26, difference=0.0, between=0.02))
        assert found is not None
        assert found.detectable is not None
        detectable_differences.append(found.detectable)
    typical = float(np.mean(detectable_differences))
    for is_there in num_found:
        for _ in range(REPEATS):
            difference = typical * is_there
            found = mean_difference(*simulated(random, seeds=3, concepts=26, difference=difference, between=0.02))
            assert found is not None
            assert found.low is not None
            num_found[is_there] += found.low > 0
    assert 0.6 <= num_found[True] / REPEATS <= 0.9
    assert num_found[False] / REPEATS <= 0.05


def test_pairing_concepts_narrows_the_interval() -> None:
    """Concepts that are hard for both do not make their difference uncertain."""
    random = np.random.default_rng(2)
    this, other = simulated(random, seeds=1, concepts=40, difference=0.02)
    paired, torn = mean_difference(this, other), mean_difference(this, random.permuted(other, axis=1))
    assert paired is not None
    assert torn is not None
    assert paired.mean == pytest.approx(torn.mean)
    assert width(paired) < 0.7 * width(torn)


def width(found: object) -> float:
    return getattr(found, "high") - getattr(found, "low")  # noqa: B009 - which may be None to the type


def test_concepts_unknown_for_one_sae_are_omitted() -> None:
    this, other = simulated(np.random.default_rng(3), seeds=2, concepts=12, difference=0.05)
    whole = mean_difference(this[:, :10], other[:, :10])
    this[0, 10] = np.nan  # for one seed is enough
    other[:, 11] = np.nan
    assert mean_difference(this, other) == whole
    assert whole is not None
    assert whole.num_concepts == 10
    assert mean_difference(np.full((1, 3), np.nan), np.zeros((1, 3))) is None
    assert mean_difference(np.zeros((1, 0)), np.zeros((1, 0))) is None


def test_single_concept_has_no_interval() -> None:
    found = mean_difference(np.array([[0.1], [0.2]]), np.array([[0.4]]))
    assert found is not None
    assert (found.low, found.high, found.detectable, found.num_concepts) == (None, None, None, 1)
    assert found.mean == pytest.approx(0.25)


def test_seeds_are_resampled() -> None:
    """Two SAEs may have different numbers of seeds; differences between seeds widen the interval."""
    random = np.random.default_rng(4)
    this, other = simulated(random, seeds=4, concepts=30, difference=0.0)
    shifts = np.array([[-0.1], [-0.05], [0.05], [0.1]])
    calm, moved = mean_difference(this, other[:2]), mean_difference(this + shifts, other[:2])
    assert calm is not None
    assert moved is not None
    assert moved.mean == pytest.approx(calm.mean)
    assert width(moved) > 2 * width(calm)
    alike = mean_difference(np.repeat(this[:1], 3, axis=0), other[:1])
    one = mean_difference(this[:1], other[:1])
    assert alike is not None
    assert one is not None
    assert width(alike) == pytest.approx(width(one), rel=0.1), "seeds that are all alike add nothing"


def test_constant_difference_has_an_interval_of_width_0() -> None:
    rates = np.linspace(0, 0.5, 20)[None]
    found = mean_difference(rates, rates + 0.1)
    assert found is not None
    assert (found.mean, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))


def test_many_concepts_and_seeds_are_computed_quickly() -> None:
    this, other = simulated(np.random.default_rng(5), seeds=3, concepts=3000, difference=0.01)
    found = mean_difference(this, other)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.01 < found.high
    assert width(found) < 0.01
