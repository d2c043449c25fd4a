"""Stage: k-sparse probes, logistic regressions on the k latents that best predict a concept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from measure.device import best_device
from measure.one_vs_rest import train_one_vs_rest
from measure.scores import Scores, best_threshold, f1_samples, score
from measure.sparse import Sparse
from measure.stages.latents import WORDS
from measure.stages.vocabulary import NUM_FOLDS, load_vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from measure.stages.vocabulary import Vocabulary

#: The values of k.
K_VALUES = (*range(1, 16), 20, 50)
#: The maximum number of split latents.
MAX_SPLIT = 15
_BOOTSTRAP_SEED = 302
_WEIGHT_DECAY = 1e-6
_RIDGE = 1.0
_NEWTON_STEPS, _CLOSE = 50, 1e-8


class KSparseProbe(NamedTuple):
    """A probe on `latents`; a concept is predicted if activations @ weights + bias > 0."""

    latents: np.ndarray
    weights: np.ndarray
    bias: float

    def logits(self, activations: Sparse) -> np.ndarray:
        """Return the logit of every row, (rows,)."""
        return activations.dense(self.latents) @ self.weights + self.bias


def rank_latents(
    activations: Sparse,
    labels: np.ndarray,
    *,
    l1: float,
    epochs: int,
    batch: int,
    end_rate: float,
    seed: int,
    device: torch.device,
) -> np.ndarray:
    """Rank the latents that predict each letter, best first.

    They are ranked by their weight in an L1-penalised logistic regression per letter on all latents, in which the words
    of the letter have the same total weight as all other words.

    Returns
    -------
    numpy.ndarray
        (letters, 50), or all latents if there are fewer.
    """
    targets = torch.from_numpy(labels.astype(np.float32)).to(device)
    weights = torch.zeros(activations.num_latents, targets.shape[1], device=device, requires_grad=True)
    biases = torch.zeros(targets.shape[1], device=device, requires_grad=True)
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
    """Multiply activations by a matrix, (latents, letters)."""
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
    """Fit probes of one letter to the first k ranked latents, for each k that is not larger than their number.

    The regression has a small ridge penalty. By default it is unweighted, and the threshold is the one with the best F1
    on the training words. With `balanced`, as in the reference programs, the words of the letter have the same total
    weight as all other words, and the threshold is 0.
    """
    return fit_columns(train.dense(ranked), train_truth, ranked, k_values, balanced=balanced)


def fit_columns(
    columns: np.ndarray, truth: np.ndarray, ranked: np.ndarray, k_values: Iterable[int], *, balanced: bool
) -> dict[int, KSparseProbe]:
    """As `fit_k_sparse`, for dense activations of the ranked latents, (words, ranked latents)."""
    columns = columns.astype(np.float64)
    probes: dict[int, KSparseProbe] = {}
    weights, bias = np.zeros(0), 0.0
    for k in k_values:
        if k > len(ranked):
            break
        start = np.append(np.pad(weights, (0, k - len(weights))), bias)
        weights, bias = _fit_active(columns[:, :k], truth, start, balanced=balanced)
        threshold = 0.0 if balanced else best_threshold(columns[:, :k] @ weights + bias, truth)
        probes[k] = KSparseProbe(ranked[:k], weights, bias - threshold)
    return probes


def _fit_active(x: np.ndarray, truth: np.ndarray, start: np.ndarray, *, balanced: bool) -> tuple[np.ndarray, float]:
    """Fit a regression; rows of zeros are replaced by one row per class, weighted by their number."""
    active = x.any(axis=1)
    silent = np.bincount(truth[~active], minlength=2)
    number = np.append(np.ones(active.sum()), silent)
    rows = np.vstack([x[active], np.zeros((2, x.shape[1]))])
    return fit_logistic(rows, np.append(truth[active], [False, True]), number, start, balanced=balanced)


def fit_logistic(
    x: np.ndarray,
    truth: np.ndarray,
    number: np.ndarray | None = None,
    start: np.ndarray | None = None,
    *,
    balanced: bool = False,
) -> tuple[np.ndarray, float]:
    """Fit a logistic regression by Newton's method, with a ridge penalty on the weights and none on the bias.

    Parameters
    ----------
    x : numpy.ndarray
        (rows, features)
    truth : numpy.ndarray of bool
        Label of each row.
    number : numpy.ndarray, optional
        How often each row counts (default 1).
    start : numpy.ndarray, optional
        Initial weights and bias (default 0).
    balanced : bool
        Give both classes the same total weight, and all rows together a weight of their number.
    """
    number = np.ones(len(x)) if number is None else number
    share = number[truth].sum() / number.sum()
    weight = number * (np.where(truth, 0.5 / max(share, 1e-12), 0.5 / max(1 - share, 1e-12)) if balanced else 1.0)
    design = np.column_stack([x, np.ones(len(x))])
    penalty = np.full(design.shape[1], _RIDGE)
    penalty[-1] = 1e-9
    found = np.zeros(design.shape[1]) if start is None else start.copy()
    for _ in range(_NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ found, -30, 30)))
        slope = design.T @ (weight * (chance - truth)) + penalty * found
        curvature = (design * (weight * chance * (1 - chance))[:, None]).T @ design
        step = np.linalg.solve(curvature + np.diag(penalty), slope)
        # Steps are limited, because they would overshoot if a latent separates the words perfectly.
        found -= step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < _CLOSE:
            break
    return found[:-1], float(found[-1])


def score_k_sparse(probes: dict[int, KSparseProbe], test: Sparse, truth: np.ndarray) -> dict[int, Scores]:
    """Score the probes of one letter on words that they were not fitted to, by k."""
    columns = test.dense(probes[max(probes)].latents)
    return {k: score(of_columns(probe, columns), truth) for k, probe in probes.items()}


def of_columns(probe: KSparseProbe, columns: np.ndarray) -> np.ndarray:
    """Return the logit of every row, from dense activations of the ranked latents, (rows, ranked latents)."""
    return columns[:, : len(probe.weights)].astype(np.float64) @ probe.weights + probe.bias


class Curve(NamedTuple):
    """Cross-validated F1 on the training words as a function of k.

    Attributes
    ----------
    f1 : dict of int to float
        By k, up to 15.
    errors : dict of int to float
        By k, the standard error (by bootstrap over groups) of the F1 gain over the previous k.
    """

    f1: dict[int, float]
    errors: dict[int, float]


class KSparseProbes(NamedTuple):
    """The stage's output, by index of the concept; concepts without words are missing.

    Attributes
    ----------
    probes : dict of int to dict of int to KSparseProbe
        Probes fitted to the training words, by k.
    scores : dict of int to dict of int to Scores
        Scores on words that the probes were not fitted to, by k.
    folds : dict of int to list of dict of int to KSparseProbe
        For cross-fitted concepts: per fold, the probes fitted without it.
    curves : dict of int to Curve
        For families with a gate, whose number of split latents is chosen by it.
    """

    probes: dict[int, dict[int, KSparseProbe]]
    scores: dict[int, dict[int, Scores]]
    folds: dict[int, list[dict[int, KSparseProbe]]]
    curves: dict[int, Curve]

    def logits(self, place: int, k: int, test: Sparse, folds: np.ndarray) -> np.ndarray:
        """Return the logit of every test word, (words,), from the probe that was not fitted to the word's fold."""
        probe = self.probes[place][k]
        if place not in self.folds:
            return probe.logits(test)
        return by_fold([probes[k] for probes in self.folds[place]], test.dense(probe.latents), folds)


def load_k_sparse(folder: Path) -> KSparseProbes:
    """Load the stage's output."""
    found = KSparseProbes({}, {}, {}, {})
    with np.load(folder / "k_sparse.npz") as arrays:
        for letter, k, ranked, weights, bias, scores in zip(
            *(arrays[name] for name in ("letter", "k", "ranked", "weights", "bias", "scores")), strict=True
        ):
            probe = KSparseProbe(ranked[:k], weights[:k], float(bias))
            found.probes.setdefault(int(letter), {})[int(k)] = probe
            found.scores.setdefault(int(letter), {})[int(k)] = Scores(*map(float, scores))
        for letter, k, weights, biases in zip(
            *(arrays[f"fold_{name}"] for name in ("letter", "k", "weights", "biases")), strict=True
        ):
            by_fold = found.folds.setdefault(int(letter), [{} for _ in range(NUM_FOLDS)])
            latents = found.probes[int(letter)][int(k)].latents
            for probes, of_fold, bias in zip(by_fold, weights, biases, strict=True):
                probes[int(k)] = KSparseProbe(latents, of_fold[:k], float(bias))
        for letter, k, f1, error in zip(
            *(arrays[f"curve_{name}"].tolist() for name in ("letter", "k", "f1", "error")), strict=True
        ):
            curve = found.curves.setdefault(letter, Curve({}, {}))
            curve.f1[k], curve.errors[k] = f1, error
    return found


def by_fold(probes: Sequence[KSparseProbe], columns: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return the logit of every row, (rows,), from the probe that was fitted without the row's fold."""
    return np.choose(folds, [of_columns(probe, columns) for probe in probes])


def cross_fit(
    columns: np.ndarray,
    truth: np.ndarray,
    folds: np.ndarray,
    numbers: Iterable[int],
    ranked: np.ndarray,
    k_values: Sequence[int],
    *,
    balanced: bool,
) -> list[dict[int, KSparseProbe]]:
    """For each fold in `numbers`, fit the probes of one concept without it."""
    return [
        fit_columns(columns[folds != fold], truth[folds != fold], ranked, k_values, balanced=balanced)
        for fold in numbers
    ]


def training_curve(
    columns: np.ndarray,
    truth: np.ndarray,
    folds: np.ndarray,
    groups: np.ndarray,
    ranked: np.ndarray,
    k_values: Sequence[int],
    *,
    balanced: bool,
) -> Curve:
    """Cross-validate the probes of one concept on the training words alone.

    Parameters
    ----------
    columns : numpy.ndarray
        Activations of the ranked latents on the training words, (words, ranked latents).
    truth, folds, groups : numpy.ndarray
        Label, fold and group of each of these words.
    ranked : numpy.ndarray
    k_values : sequence of int
    balanced : bool
    """
    numbers, places = np.unique(folds, return_inverse=True)
    fitted = cross_fit(columns, truth, folds, numbers, ranked, k_values, balanced=balanced)
    values = list(fitted[0])
    predicted = np.column_stack([by_fold([probes[k] for probes in fitted], columns, places) > 0 for k in values])
    f1 = {k: score(predicted[:, place] - 0.5, truth).f1 for place, k in enumerate(values)}
    gains = np.diff(f1_samples(predicted, truth, groups, _BOOTSTRAP_SEED), axis=1, prepend=0).std(0)
    return Curve(f1, dict(zip(values, gains.tolist(), strict=True)))


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Run the stage."""
    vocabulary, words = load_vocabulary(needs["vocabulary"]), Sparse.load(needs["latents"] / f"{WORDS}.npz")
    train, labels = words.take(vocabulary.train), vocabulary.labels[vocabulary.train]
    ranked = rank_latents(
        train,
        labels,
        l1=settings["l1"],
        epochs=settings["l1_epochs"],
        batch=settings["l1_batch"],
        end_rate=settings["l1_end_rate"],
        seed=settings["seed"],
        device=best_device(),
    )
    progress(0.2)
    names = ("letter", "k", "ranked", "weights", "bias", "scores")
    rows: dict[str, list[Any]] = {name: [] for name in names}
    fold_rows: dict[str, list[Any]] = {f"fold_{name}": [] for name in ("letter", "k", "weights", "biases")}
    fold_rows |= {f"curve_{name}": [] for name in ("letter", "k", "f1", "error")}
    k_values = [k for k in K_VALUES if k <= settings["max_k"]]
    present = [place for place in vocabulary.family.measured if labels[:, place].any()]
    for done, letter in enumerate(present, start=1):
        balanced = settings["k_sparse"] == "balanced"
        probes = fit_k_sparse(train, labels[:, letter], ranked[letter], k_values, balanced=balanced)
        found = KSparseProbes({letter: probes}, {}, {}, {})
        if vocabulary.family.gated and not vocabulary.too_few(letter):
            _add_folds(found, letter, words, vocabulary, ranked[letter], k_values, balanced=balanced)
        _add_rows(rows, fold_rows, found, letter, ranked[letter], _score(found, letter, words, vocabulary))
        progress(0.2 + 0.8 * done / len(present))
    arrays: dict[str, Any] = {name: np.array(values) for name, values in (rows | fold_rows).items()}
    np.savez(out / "k_sparse.npz", **arrays)


def _add_folds(
    found: KSparseProbes,
    place: int,
    words: Sparse,
    vocabulary: Vocabulary,
    ranked: np.ndarray,
    k_values: Sequence[int],
    *,
    balanced: bool,
) -> None:
    """Add to `found` the curve of a concept and, if it is cross-fitted, its probes per fold."""
    columns, truth, train = words.dense(ranked), vocabulary.labels[:, place], vocabulary.train
    folds, groups = vocabulary.grouping
    up_to = [k for k in k_values if k <= MAX_SPLIT]
    found.curves[place] = training_curve(
        columns[train], truth[train], folds[train], groups[train], ranked, up_to, balanced=balanced
    )
    if vocabulary.crosses(place):
        others = cross_fit(columns, truth, folds, range(1, NUM_FOLDS), ranked, k_values, balanced=balanced)
        found.folds[place] = [found.probes[place], *others]


def _score(found: KSparseProbes, place: int, words: Sparse, vocabulary: Vocabulary) -> dict[int, Scores]:
    """Score the probes of a concept on the words that it is scored on, by k."""
    scored = vocabulary.is_scored(place)
    rows = vocabulary.scored[scored]
    test, truth, folds = words.take(rows), vocabulary.labels[rows, place], vocabulary.scored_folds[scored]
    if place not in found.folds:
        return score_k_sparse(found.probes[place], test, truth)
    return {k: score(found.logits(place, k, test, folds), truth) for k in found.probes[place]}


def _add_rows(
    rows: dict[str, list[Any]],
    fold_rows: dict[str, list[Any]],
    found: KSparseProbes,
    place: int,
    ranked: np.ndarray,
    scores: Mapping[int, Scores],
) -> None:
    """Add the results of one concept to the columns of the file."""

    def padded(probe: KSparseProbe) -> np.ndarray:
        weights = np.zeros(len(ranked))
        weights[: len(probe.weights)] = probe.weights
        return weights

    for k, probe in found.probes[place].items():
        values = (place, k, ranked, padded(probe), probe.bias, scores[k])
        for name, value in zip(rows, values, strict=True):
            rows[name].append(value)
        if of_folds := [probes[k] for probes in found.folds.get(place, [])]:
            values_by_name = {
                "letter": place,
                "k": k,
                "weights": [*map(padded, of_folds)],
                "biases": [one.bias for one in of_folds],
            }
            for name, value in values_by_name.items():
                fold_rows[f"fold_{name}"].append(value)
    if place in found.curves:
        curve = found.curves[place]
        for k, f1 in curve.f1.items():
            for name, value in (("letter", place), ("k", k), ("f1", f1), ("error", curve.errors[k])):
                fold_rows[f"curve_{name}"].append(value)
