"""How well a score tells the words of a letter from the others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Scores(NamedTuple):
    """Of a rule that says yes above 0; 0 where there is nothing to be right about, and 0.5 for such an AUC."""

    f1: float
    precision: float
    recall: float
    auc: float


def score(values: np.ndarray, truth: np.ndarray) -> Scores:
    """Score the rule `values > 0`."""
    said = values > 0
    right = int((said & truth).sum())
    precision = right / max(int(said.sum()), 1)
    recall = right / max(int(truth.sum()), 1)
    f1 = 2 * right / max(int(said.sum()) + int(truth.sum()), 1)
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

    It lies halfway between two neighbouring values, so that rounding decides on no word.
    """
    order = np.argsort(-values, kind="stable")
    ranked, right = values[order], np.cumsum(truth[order])
    f1 = 2 * right / (np.arange(1, len(values) + 1) + int(truth.sum()))
    ends = np.append(ranked[:-1] > ranked[1:], True)  # a threshold cannot part equal values
    best = int(np.argmax(np.where(ends, f1, -1.0)))
    below = ranked[best + 1] if best + 1 < len(ranked) else ranked[best] - 1.0
    return float((ranked[best] + below) / 2)
