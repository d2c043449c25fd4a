"""Stage: linear probes, one a letter, on the residual stream at the words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from measure.device import best_device
from measure.one_vs_rest import train_one_vs_rest
from measure.scores import Scores, best_threshold, score
from measure.stages.parts import load_streams
from measure.stages.vocabulary import load_vocabulary
from queries.schema import LETTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_STEPS = 200
_WEIGHT_DECAY = 1e-4
_END_RATE = 1e-5


class Probes(NamedTuple):
    """Directions and thresholds: a letter is predicted where weights @ x + biases > 0."""

    weights: np.ndarray
    biases: np.ndarray

    def logits(self, stream: np.ndarray) -> np.ndarray:
        """Return the score of every letter, (rows, letters)."""
        return stream.astype(np.float32) @ self.weights.T + self.biases

    def cosines(self, directions: np.ndarray) -> np.ndarray:
        """Return the cosine of every direction with every probe, (letters, directions)."""
        return unit_rows(self.weights) @ unit_rows(directions).T


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Scale rows to length 1; rows of zeros stay."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def fit_probes(stream: np.ndarray, labels: np.ndarray, num_letters: int, *, l2: float, device: torch.device) -> Probes:
    """Fit a logistic regression to each letter, each with the threshold that has the best F1 on the same words.

    The stream is standardised for the fit, and the probes are mapped back. A letter without words gets a probe of zeros
    that predicts nothing.

    Parameters
    ----------
    stream : numpy.ndarray
        Residual stream at the training words.
    labels : numpy.ndarray
        Their letters.
    num_letters : int
    l2 : float
        Weight of half the squared norm, beside the sum of the losses.
    device : torch.device
    """
    x = torch.from_numpy(stream.astype(np.float32)).to(device)
    mean, deviation = x.mean(0), x.std(0).clamp_min(1e-6)
    x = (x - mean) / deviation
    y = functional.one_hot(torch.from_numpy(labels.astype(np.int64)), num_letters).float().to(device)
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
    for letter in range(num_letters):
        known = labels == letter
        if known.any():
            found.biases[letter] -= best_threshold(logits[:, letter], known)
        else:
            found.weights[letter], found.biases[letter] = 0, -1
    return found


def fit_balanced_probes(
    stream: np.ndarray,
    labels: np.ndarray,
    num_letters: int,
    *,
    epochs: int,
    batch: int,
    seed: int,
    device: torch.device,
) -> Probes:
    """Fit the probes of the reference programs: class weights, no standardisation, no calibration of the threshold.

    sae-spelling (`train_linear_probe_for_task`) trains in batches of 4,096; SAEBench hands its batch of prompts on, so
    that it trains in batches of 64 (`train_and_save_probes`), which takes 64 times as many steps.

    Parameters
    ----------
    stream : numpy.ndarray
        Residual stream at the training words.
    labels : numpy.ndarray
        Their letters.
    num_letters : int
    epochs, batch : int
    seed : int
        Of the order of the words.
    device : torch.device
    """
    x = torch.from_numpy(stream.astype(np.float32)).to(device)
    targets = functional.one_hot(torch.from_numpy(labels.astype(np.int64)), num_letters).float().to(device)
    # As torch's Linear begins: in 50 epochs of few batches, the begin is not forgotten.
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
    missing = ~np.isin(np.arange(num_letters), labels)
    found.weights[missing], found.biases[missing] = 0, -1
    return found


def score_probes(probes: Probes, stream: np.ndarray, labels: np.ndarray) -> list[Scores]:
    """Score the probe of every letter on words that it has not seen."""
    logits = probes.logits(stream)
    return [score(logits[:, letter], labels == letter) for letter in range(len(probes.weights))]


def load_probes(folder: Path) -> tuple[Probes, list[Scores]]:
    """Read what the stage wrote: the probes, and their scores on test words."""
    with np.load(folder / "probes.npz") as arrays:
        return Probes(arrays["weights"], arrays["biases"]), [Scores(*map(float, row)) for row in arrays["scores"]]


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Do the stage: fit the probes of a layer."""
    vocabulary = load_vocabulary(needs["vocabulary"])
    stream = load_streams(needs["activations"], f"words-{settings['layer']}")
    train, test, how = vocabulary.train, vocabulary.test, settings["fit"]
    known = (stream[train], vocabulary.letters[train], len(LETTERS))
    if settings["probe"] == "balanced":
        probes = fit_balanced_probes(*known, **how, device=best_device())
    else:
        probes = fit_probes(*known, **how, device=best_device())
    scores = score_probes(probes, stream[test], vocabulary.letters[test])
    np.savez(out / "probes.npz", scores=np.array(scores), **probes._asdict())
    progress(1)
