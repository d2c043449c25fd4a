"""Stage: linear probes on the residual stream at the words, one per concept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from measure.device import best_device
from measure.one_vs_rest import train_one_vs_rest
from measure.scores import Scores, best_threshold, f1_samples, score
from measure.stages.parts import load_streams
from measure.stages.vocabulary import NUM_FOLDS, load_vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from measure.stages.vocabulary import Vocabulary
    from measure.streams import Streams

_BOOTSTRAP_SEED, _SHUFFLE_SEED = 300, 301
_STEPS = 200
_WEIGHT_DECAY = 1e-4
_END_RATE = 1e-5


class Probes(NamedTuple):
    """Linear probes: a letter is predicted if weights @ x + biases > 0.

    Attributes
    ----------
    weights : numpy.ndarray
        (letters, d_model)
    biases : numpy.ndarray
        (letters,)
    """

    weights: np.ndarray
    biases: np.ndarray

    def logits(self, stream: np.ndarray) -> np.ndarray:
        """Return the logits of all letters, (rows, letters)."""
        return stream.astype(np.float32) @ self.weights.T + self.biases

    def cosines(self, directions: np.ndarray) -> np.ndarray:
        """Return the cosine of every direction with every probe, (letters, directions)."""
        return unit_rows(self.weights) @ unit_rows(directions).T


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Scale rows to length 1; rows of zeros remain zero."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def fit_probes(stream: np.ndarray, labels: np.ndarray, *, l2: float, device: torch.device) -> Probes:
    """Fit a logistic regression per letter, with the threshold that has the best F1 on the training words.

    The stream is standardised for the fit, and the probes are mapped back to the raw stream. The probe of a letter
    without words has weights of 0 and predicts nothing.

    Parameters
    ----------
    stream : numpy.ndarray
        Residual stream at the training words, (words, d_model).
    labels : numpy.ndarray of bool
        Which letters each word has, (words, letters).
    l2 : float
        Weight of half the squared norm, added to the sum of the losses.
    device : torch.device
    """
    x = torch.from_numpy(stream.astype(np.float32)).to(device)
    mean, deviation = x.mean(0), x.std(0).clamp_min(1e-6)
    x = (x - mean) / deviation
    y = torch.from_numpy(labels.astype(np.float32)).to(device)
    num_letters = y.shape[1]
    weights = torch.zeros(num_letters, x.shape[1], device=device, requires_grad=True)
    biases = torch.zeros(num_letters, device=device, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights, biases],
        max_iter=_STEPS,
        history_size=20,
        tolerance_grad=1e-4,
        tolerance_change=1e-9,
        line_search_fn="strong_wolfe",
    )

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = functional.binary_cross_entropy_with_logits(x @ weights.T + biases, y, reduction="sum")
        value = value + l2 / 2 * weights.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    with torch.no_grad():
        logits = (x @ weights.T + biases).cpu().numpy()
        raw = weights / deviation
        shift = biases - raw @ mean
    found = Probes(raw.cpu().numpy(), shift.cpu().numpy())
    for letter, known in enumerate(labels.T):
        if known.any():
            found.biases[letter] -= best_threshold(logits[:, letter], known)
        else:
            found.weights[letter], found.biases[letter] = 0, -1
    return found


def fit_balanced_probes(
    stream: np.ndarray,
    labels: np.ndarray,
    *,
    epochs: int,
    batch: int,
    seed: int,
    device: torch.device,
) -> Probes:
    """Fit probes as the reference programs do: class weights, no standardisation, no calibrated threshold.

    sae-spelling (`train_linear_probe_for_task`) trains in batches of 4,096. SAEBench uses its batch size for prompts,
    64, here, too (`train_and_save_probes`), which makes 64 times as many steps.

    Parameters
    ----------
    stream : numpy.ndarray
        Residual stream at the training words, (words, d_model).
    labels : numpy.ndarray of bool
        Which letters each word has, (words, letters).
    epochs, batch : int
    seed : int
        Seed of the initial weights and of the order of the words.
    device : torch.device
    """
    x = torch.from_numpy(stream.astype(np.float32)).to(device)
    targets = torch.from_numpy(labels.astype(np.float32)).to(device)
    num_letters = targets.shape[1]
    # The initialisation of torch.nn.Linear, which still affects the result after 50 epochs of few batches.
    start = torch.empty(x.shape[1] + 1, num_letters).uniform_(-1, 1, generator=torch.Generator().manual_seed(seed))
    start = (start / x.shape[1] ** 0.5).to(device)
    weights, biases = start[:-1].clone().requires_grad_(), start[-1].clone().requires_grad_()
    train_one_vs_rest(
        lambda rows: torch.addmm(biases, x[rows.to(device)], weights),
        [weights, biases],
        targets,
        epochs=epochs,
        batch=batch,
        end_rate=_END_RATE,
        weight_decay=_WEIGHT_DECAY,
        seed=seed,
    )
    found = Probes(weights.detach().T.cpu().numpy().copy(), biases.detach().cpu().numpy())
    missing = ~labels.any(0)
    found.weights[missing], found.biases[missing] = 0, -1
    return found


def score_probes(probes: Probes, stream: np.ndarray, labels: np.ndarray) -> list[Scores]:
    """Score the probe of every letter on words that it was not fitted to; `labels` as in `fit_probes`."""
    logits = probes.logits(stream)
    return [score(*both) for both in zip(logits.T, labels.T, strict=True)]


class LayerProbes(NamedTuple):
    """The probes of a layer.

    Attributes
    ----------
    folds : list of Probes
        If concepts are cross-fitted, per fold the probes fitted without it; otherwise a single item, the probes fitted
        to the training words. Latents are compared with the first item.
    scores : list of Scores
        Scores of each concept, on the words that it is scored on.
    errors : numpy.ndarray
        Standard error of each F1, by bootstrap over groups; NaN if the family has no gate.
    shuffled, shuffled_errors : numpy.ndarray
        F1 of probes fitted in the same way to shuffled labels, and its standard error; NaN if the family has no gate.
    """

    folds: list[Probes]
    scores: list[Scores]
    errors: np.ndarray
    shuffled: np.ndarray
    shuffled_errors: np.ndarray

    def logits(self, stream: np.ndarray, folds: np.ndarray) -> np.ndarray:
        """Return the logits of all concepts, (rows, concepts), from the probes that were not fitted to a row's fold."""
        found = self.folds[0].logits(stream)
        for fold, probes in enumerate(self.folds[1:], start=1):
            found[folds == fold] = probes.logits(stream[folds == fold])
        return found


def load_probes(folder: Path) -> LayerProbes:
    """Load the stage's output."""
    with np.load(folder / "probes.npz") as arrays:
        folds = [Probes(*each) for each in zip(arrays["weights"], arrays["biases"], strict=True)]
        scores = [Scores(*map(float, row)) for row in arrays["scores"]]
        return LayerProbes(folds, scores, *(arrays[name] for name in LayerProbes._fields[2:]))


def _without_fold(fit: Callable[..., Probes], first: Probes, stream: Streams, vocabulary: Vocabulary) -> list[Probes]:
    """Return the probes per fold: those of cross-fitted concepts are fitted without it, the others are `first`."""
    if vocabulary.folds is None or vocabulary.crossed is None or not vocabulary.crossed.any():
        return [first]
    crossed = np.flatnonzero(vocabulary.crossed)
    found = [first]
    for fold in range(1, NUM_FOLDS):
        others = vocabulary.folds != fold
        own = fit(stream[others], vocabulary.labels[others][:, crossed])
        weights, biases = first.weights.copy(), first.biases.copy()
        weights[crossed], biases[crossed] = own
        found.append(Probes(weights, biases))
    return found


def _score(logits: np.ndarray, labels: np.ndarray, vocabulary: Vocabulary) -> tuple[list[Scores], np.ndarray]:
    """Score the probes of each concept on the words it is scored on; return scores and standard errors of F1."""
    scores, errors = [], np.full(logits.shape[1], np.nan)
    for place, (values, truth) in enumerate(zip(logits.T, labels.T, strict=True)):
        rows = vocabulary.is_scored(place)
        scores.append(score(values[rows], truth[rows]))
        if vocabulary.groups is not None:
            groups = vocabulary.groups[vocabulary.scored][rows]
            errors[place] = f1_samples(values[rows, None] > 0, truth[rows], groups, _BOOTSTRAP_SEED).std()
    return scores, errors


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Run the stage: fit the probes of a layer."""
    vocabulary = load_vocabulary(needs["vocabulary"])
    stream = load_streams(needs["activations"], f"words-{settings['layer']}")
    train, held_out = vocabulary.train, vocabulary.scored
    kind = fit_balanced_probes if settings["probe"] == "balanced" else fit_probes

    def fit(rows: np.ndarray, labels: np.ndarray) -> Probes:
        return kind(rows, labels, **settings["fit"], device=best_device())

    first = fit(stream[train], vocabulary.labels[train])
    progress(0.3)
    shuffled = [np.full(vocabulary.labels.shape[1], np.nan)] * 2
    if vocabulary.family.gated:
        # Labels are shuffled within the training words and within the first fold.
        rng = np.random.default_rng(_SHUFFLE_SEED)
        by_chance = fit(stream[train], rng.permutation(vocabulary.labels[train]))
        first_fold = vocabulary._replace(crossed=None, is_test=vocabulary.grouping[0] == 0)
        shuffled_labels = rng.permutation(vocabulary.labels[first_fold.test])
        known, errors = _score(by_chance.logits(stream[first_fold.test]), shuffled_labels, first_fold)
        shuffled = [np.array([one.f1 for one in known]), errors]
    progress(0.5)
    fitted = LayerProbes(_without_fold(fit, first, stream, vocabulary), [], *([np.zeros(0)] * 3))
    logits = fitted.logits(stream[held_out], vocabulary.scored_folds)
    progress(0.9)
    scores, errors = _score(logits, vocabulary.labels[held_out], vocabulary)
    np.savez(
        out / "probes.npz",
        weights=np.array([probes.weights for probes in fitted.folds]),
        biases=np.array([probes.biases for probes in fitted.folds]),
        scores=np.array(scores),
        errors=errors,
        shuffled=shuffled[0],
        shuffled_errors=shuffled[1],
    )
    progress(1)
