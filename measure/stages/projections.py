"""Stage: the contribution of each active latent to a word's projection on the probe (SAEBench's metrics)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from measure.saes.loading import open_sae
from measure.sparse import Sparse
from measure.stages.activations import load_tested_in
from measure.stages.candidates import SILENT
from measure.stages.gate import load_gate
from measure.stages.k_sparse import load_k_sparse
from measure.stages.latents import TEST
from measure.stages.parts import load_streams
from measure.stages.probes import load_probes
from measure.stages.prompts import load_prompts
from measure.stages.splits import load_splits
from measure.stages.vocabulary import load_vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

#: SAEBench 0.6.0 (`feature_absorption.py`): the minimum share of the projection that absorbing latents must carry, for
#: both metrics; and for the fraction, the minimum cosine of an absorbing latent and the maximum number of them.
LEAST_SHARE = 0.4
LEAST_COSINE, MOST_ABSORBING = 0.1, 3

#: Seed of the random directions.
RANDOM_SEED = 200


class Projections(NamedTuple):
    """Projections of words on one probe; all arrays are (words,).

    Attributes
    ----------
    main, absorbing, latents, total : numpy.ndarray
        Projection of the split latents; of the absorbing latents, which are up to three other latents with a positive
        projection and a cosine of at least 0.1; of all latents; and of the whole stream.
    top : numpy.ndarray
        The active latent with the largest projection; -1 if none is active.
    top_projection, top_cosine : numpy.ndarray
        Its projection and its decoder cosine; 0 if none is active.
    silent : numpy.ndarray of bool
        Whether every split latent is silent.
    """

    main: np.ndarray
    absorbing: np.ndarray
    latents: np.ndarray
    total: np.ndarray
    top: np.ndarray
    top_projection: np.ndarray
    top_cosine: np.ndarray
    silent: np.ndarray

    def fully_absorbed(self, cosine_threshold: float) -> np.ndarray:
        """Return a mask of the words with full absorption.

        Split latents are silent, and the top latent carries at least 0.4 of the total.
        """
        carries = (self.total >= 0) & (self.top_projection >= LEAST_SHARE * self.total)
        return self.silent & carries & (self.top >= 0) & (self.top_cosine >= cosine_threshold)

    def fractions(self) -> np.ndarray:
        """Return SAEBench's absorption fraction (0.6.0) of each word."""
        absorbing = np.minimum(self.absorbing, self.total - self.main)
        both = absorbing + self.main
        share = np.clip(absorbing / np.where(both > 0, both, 1), 0, 1)
        share = np.where(self.main <= 0, 1.0, share)
        # SAEBench compares absorbing / total, which is below 0.4 wherever the total is negative.
        nothing = (self.total <= 0) | (self.main >= self.total) | (self.absorbing < LEAST_SHARE * self.total)
        return np.where(nothing, 0.0, share)

    def fractions_0_3(self) -> np.ndarray:
        """Return the absorption fraction of each word as in SAEBench 0.3.0 to 0.4.0.

        It is the share of latents other than the split latents in the projection of all latents, without thresholds.
        """
        nothing = (self.main >= self.total) | (self.latents <= 0)
        share = (self.latents - self.main) / np.where(nothing, 1.0, self.latents)
        return np.where(nothing, 0.0, np.clip(share, 0, 1))


def project(
    activations: Sparse, stream: np.ndarray, directions: np.ndarray, probe: np.ndarray, split: np.ndarray
) -> Projections:
    """Project words and their active latents on a probe.

    Parameters
    ----------
    activations : Sparse
        Activations on the words, (words, latents).
    stream : numpy.ndarray
        Residual stream at the words, (words, d_model).
    directions : numpy.ndarray
        Decoder rows, (latents, d_model).
    probe : numpy.ndarray
        Direction of the probe, (d_model,).
    split : numpy.ndarray
        The split latents.
    """
    unit = probe / max(float(np.linalg.norm(probe)), 1e-12)
    along = directions @ unit
    cosines = along / np.maximum(np.linalg.norm(directions, axis=1), 1e-12)
    # SAEBench multiplies activation and cosine, because it accepts only SAEs with unit decoder rows.
    carried = activations.values * along[activations.latents]
    rows, number = activations.rows, activations.num_rows
    is_split = np.isin(activations.latents, split)
    main = np.bincount(rows[is_split], carried[is_split], number)
    fires = np.bincount(rows[is_split & (activations.values >= SILENT)], minlength=number) > 0
    ranked = np.lexsort((-carried, rows))
    firsts = activations.starts[:-1]
    active = np.diff(activations.starts) > 0
    top, top_projection, top_cosine = np.full(number, -1), np.zeros(number), np.zeros(number)
    best = ranked[firsts[active]]
    top[active], top_projection[active] = activations.latents[best], carried[best]
    top_cosine[active] = cosines[activations.latents[best]]
    may_absorb = (~is_split & (carried > 0) & (cosines[activations.latents] >= LEAST_COSINE))[ranked]
    at, place = ranked[may_absorb], rows[ranked[may_absorb]]
    order = np.arange(len(place)) - np.searchsorted(place, place)
    among = at[order < MOST_ABSORBING]
    absorbing = np.bincount(rows[among], carried[among], number)
    total = stream.astype(np.float32) @ unit
    latents = np.bincount(rows, carried, number)
    return Projections(main, absorbing, latents, total, top, top_projection, top_cosine, ~fires)


class ConceptProjections(NamedTuple):
    """The results of one concept.

    Attributes
    ----------
    words : numpy.ndarray
        The probe's true positives, as indices into the vocabulary.
    found : Projections
        The projections of these words.
    random_full, random_fraction, random_fraction_0_3 : float
        Rate of full absorption and mean fractions by chance; NaN if there are no words.
    """

    words: np.ndarray
    found: Projections
    random_full: float
    random_fraction: float
    random_fraction_0_3: float


#: The rates by chance, in the order of `by_chance`.
_BY_CHANCE = ("random_full", "random_fraction", "random_fraction_0_3")


def random_directions(number: int, d_model: int, seed: int) -> np.ndarray:
    """Draw random directions, (number, d_model), which replace the probe for rates by chance."""
    return np.random.default_rng(seed).standard_normal((number, d_model), np.float32)


def by_chance(
    activations: Sparse,
    stream: np.ndarray,
    directions: np.ndarray,
    instead: np.ndarray,
    split: np.ndarray,
    cosine_threshold: float,
) -> tuple[float, float, float]:
    """Return the rate of full absorption and the mean fractions, averaged over directions that replace the probe.

    Words and split latents remain those of the probe.
    """
    if not activations.num_rows:
        return (float("nan"),) * 3
    found = [project(activations, stream, directions, direction, split) for direction in instead]
    return (
        float(np.mean([one.fully_absorbed(cosine_threshold).mean() for one in found])),
        float(np.mean([one.fractions().mean() for one in found])),
        float(np.mean([one.fractions_0_3().mean() for one in found])),
    )


def load_projections(folder: Path) -> dict[int, ConceptProjections]:
    """Load the stage's output, by concept."""
    with np.load(folder / "projections.npz") as arrays:
        ends = np.cumsum(arrays["counts"])[:-1]
        columns = [np.split(arrays[name], ends) for name in ("words", *Projections._fields)]
        chance = np.column_stack([arrays[name] for name in _BY_CHANCE]).tolist()
        return {
            letter: ConceptProjections(
                columns[0][place], Projections(*(column[place] for column in columns[1:])), *chance[place]
            )
            for place, letter in enumerate(arrays["letters"].tolist())
        }


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Run the stage: project all true positives of the probes, in the prompts that words are tested in."""
    vocabulary, layer = load_vocabulary(needs["vocabulary"]), settings["layer"]
    test, folds = vocabulary.test, vocabulary.test_folds
    fitted, gate = load_probes(needs["probes"]), load_gate(needs)
    logits = fitted.logits(load_streams(needs["activations"], f"words-{layer}")[test], folds)
    stream = load_tested_in(needs["activations"], layer, vocabulary, load_prompts(needs["prompts"]))
    activations = Sparse.load(needs["latents"] / f"{TEST}.npz")
    directions = open_sae(needs["sae"], torch.device("cpu")).directions.numpy()
    instead = random_directions(settings["random_directions"], directions.shape[1], RANDOM_SEED)
    k_sparse, splits = load_k_sparse(needs["k_sparse"]).probes, load_splits(needs["splits"])
    found = {}
    for done, (place, number) in enumerate(splits.items(), start=1):
        progress(done / len(splits))
        if place in gate and gate[place].projection is not None:
            continue
        rows = np.flatnonzero(vocabulary.labels[test, place] & vocabulary.judged(place) & (logits[:, place] > 0))
        known = (activations.take(rows), stream[rows], directions)
        split = k_sparse[place][number].latents
        chance = by_chance(*known, instead, split, settings["cosine_threshold"])
        probes = [probes.weights[place] for probes in fitted.folds]
        found[place] = ConceptProjections(test[rows], _by_fold(*known, probes, split, folds[rows]), *chance)
    arrays: dict[str, Any] = {
        "letters": np.array([*found], int),
        "counts": np.array([len(one.words) for one in found.values()], int),
        "words": np.concatenate([np.zeros(0, int), *(one.words for one in found.values())]),
        **{name: np.array([getattr(one, name) for one in found.values()]) for name in _BY_CHANCE},
        **{
            name: np.concatenate([empty, *(getattr(one.found, name) for one in found.values())])
            for name, empty in _no_projections()._asdict().items()
        },
    }
    np.savez(out / "projections.npz", **arrays)


def _no_projections() -> Projections:
    """Return empty arrays of the right types."""
    return Projections(*(np.zeros(0, kind) for kind in (float, float, float, np.float32, int, float, float, bool)))


def _by_fold(
    activations: Sparse,
    stream: np.ndarray,
    directions: np.ndarray,
    probes: Sequence[np.ndarray],
    split: np.ndarray,
    folds: np.ndarray,
) -> Projections:
    """Project each word on the probe that was fitted without its fold, or all on the same if there is only one."""
    if len(probes) == 1:
        return project(activations, stream, directions, probes[0], split)
    order = np.argsort(folds, kind="stable")
    parts = [
        project(activations.take(rows), stream[rows], directions, probe, split)
        for probe, rows in ((probe, np.flatnonzero(folds == fold)) for fold, probe in enumerate(probes))
        if len(rows)
    ]
    back = np.argsort(order, kind="stable")
    return (
        Projections(*(np.concatenate(column)[back] for column in zip(*parts, strict=True)))
        if parts
        else _no_projections()
    )
