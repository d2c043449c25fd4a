"""Scores of classifiers of a concept's words, with bootstrap intervals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: Samples that a bootstrap draws.
SAMPLES = 500


class Scores(NamedTuple):
    """Scores of the classifier `value > 0`. An empty class gives 0 (AUC 0.5)."""

    f1: float
    precision: float
    recall: float
    auc: float


def score(values: np.ndarray, truth: np.ndarray) -> Scores:
    """Score the classifier `values > 0`."""
    predicted = values > 0
    right = int((predicted & truth).sum())
    precision = right / max(int(predicted.sum()), 1)
    recall = right / max(int(truth.sum()), 1)
    f1 = 2 * right / max(int(predicted.sum()) + int(truth.sum()), 1)
    return Scores(f1, precision, recall, auc(values, truth))


def auc(values: np.ndarray, truth: np.ndarray) -> float:
    """Return the area under the ROC curve; ties count half."""
    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        return 0.5
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def best_threshold(values: np.ndarray, truth: np.ndarray) -> float:
    """Return the threshold above which `values` predict `truth` with the best F1.

    It is halfway between two neighbouring values, so that rounding changes no prediction.
    """
    order = np.argsort(-values, kind="stable")
    ranked, right = values[order], np.cumsum(truth[order])
    f1 = 2 * right / (np.arange(1, len(values) + 1) + int(truth.sum()))
    ends = np.append(ranked[:-1] > ranked[1:], True)  # a threshold cannot separate equal values
    best = int(np.argmax(np.where(ends, f1, -1.0)))
    below = ranked[best + 1] if best + 1 < len(ranked) else ranked[best] - 1.0
    return float((ranked[best] + below) / 2)


def bootstrap_weights(groups: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Draw the weight of each word in each of `number` samples, (samples, words), the same for all words of a group.

    Each group has a Poisson weight of mean 1, which is equivalent to sampling as many groups as there are, with
    replacement, except for the total number.
    """
    _, places = np.unique(groups, return_inverse=True)
    drawn = np.random.default_rng(seed).poisson(1.0, (number, int(places.max(initial=-1)) + 1))
    return drawn[:, places].astype(np.float32)


def f1_samples(predicted: np.ndarray, truth: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Return the F1 of classifiers in samples of a bootstrap over groups.

    Parameters
    ----------
    predicted : numpy.ndarray of bool
        What each classifier predicts for each word, (words, classifiers).
    truth : numpy.ndarray of bool
        Of each word.
    groups : numpy.ndarray
        The group of each word.
    seed : int

    Returns
    -------
    numpy.ndarray
        (samples, classifiers)
    """
    counts = truth | predicted.any(1)  # words that are true negatives of all classifiers do not affect F1
    predicted, truth = predicted[counts], truth[counts]
    weights = bootstrap_weights(groups[counts], SAMPLES, seed)
    right = weights @ (predicted & truth[:, None]).astype(np.float32)
    either = weights @ (predicted.astype(np.float32) + truth[:, None])
    return 2 * right / np.maximum(either, 1)


def interval(samples: np.ndarray) -> tuple[float, float]:
    """Return the bounds of the middle 95% of the samples, ignoring NaN; NaN if all are NaN."""
    known = samples[np.isfinite(samples)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (np.nan, np.nan)
    return float(low), float(high)


def wilson_low(part: int, whole: int) -> float:
    """Return the lower end of Wilson's 95% interval of a share, for shares of 1, where a bootstrap has no width."""
    z, share = 1.96, part / whole
    middle, half = share + z**2 / (2 * whole), z * (share * (1 - share) / whole + z**2 / (4 * whole**2)) ** 0.5
    return (middle - half) / (1 + z**2 / whole)


def mean_samples(values: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Return the mean of words' values per bootstrap sample of groups; NaN for a sample without words."""
    weights = bootstrap_weights(groups, SAMPLES, seed)
    total = weights.sum(1)
    return (weights @ values.astype(np.float32)) / np.where(total > 0, total, np.nan)
