"""Stage: absorption candidates: the probe is right, all split latents are inactive, the k-sparse probe misses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from measure.sparse import Sparse
from measure.stages.gate import load_gate
from measure.stages.k_sparse import load_k_sparse
from measure.stages.latents import TEST, WORDS
from measure.stages.parts import load_streams
from measure.stages.probes import load_probes
from measure.stages.splits import load_splits
from measure.stages.vocabulary import load_vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

#: Activations below this count as silent.
SILENT = 1e-8


class Candidates(NamedTuple):
    """Candidates of one concept on one SAE; `tested` are row indices.

    `num_probe_true_positives` words are found by the probe, `num_true_positives` of these also by the k-sparse probe,
    and on `num_split_silent` of them every split latent is silent.
    """

    num_probe_true_positives: int
    num_true_positives: int
    num_split_silent: int
    num_candidates: int
    tested: np.ndarray

    @property
    def sample_portion(self) -> float:
        """Share of the candidates that is tested; 1 if there are none."""
        return len(self.tested) / self.num_candidates if self.num_candidates else 1.0


def find_candidates(
    truth: np.ndarray,
    probe_logits: np.ndarray,
    k_sparse_logits: np.ndarray,
    split_activations: np.ndarray,
    num_active: np.ndarray,
    *,
    limit: int | None,
    seed: int,
) -> Candidates:
    """Find the candidates of one concept.

    Parameters
    ----------
    truth : numpy.ndarray of bool
        Which words have it.
    probe_logits, k_sparse_logits : numpy.ndarray
        Scores of both probes; above 0 they predict it.
    split_activations : numpy.ndarray
        Activations of the split latents, (words, split latents).
    num_active : numpy.ndarray
        Number of active latents; if 0, nothing can absorb, and the word is not a candidate.
    limit : int, optional
        Maximum number of candidates to test, sampled with `seed`.
    seed : int
    """
    probed = truth & (probe_logits > 0)
    silent = probed & (split_activations < SILENT).all(axis=1)
    found = np.flatnonzero(silent & (k_sparse_logits <= 0) & (num_active > 0))
    tested = found
    if limit is not None and len(found) > limit:
        tested = np.sort(np.random.RandomState(seed).choice(found, limit, replace=False))
    return Candidates(
        int(probed.sum()),
        int((probed & (k_sparse_logits > 0)).sum()),
        int(silent.sum()),
        len(found),
        tested,
    )


def load_candidates(folder: Path) -> dict[int, Candidates]:
    """Read the stage's results by concept; tested words are indices into the vocabulary."""
    known = json.loads((folder / "candidates.json").read_text("utf-8"))
    return {
        int(letter): Candidates(**{**record, "tested": np.array(record["tested"], int)})
        for letter, record in known.items()
    }


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Run the stage."""
    vocabulary = load_vocabulary(needs["vocabulary"])
    test = vocabulary.test
    words = Sparse.load(needs["latents"] / f"{WORDS}.npz").take(test)
    # Both probes predict in the prompt in which they are scored; silence is checked in the prompt of the test.
    tested = Sparse.load(needs["latents"] / f"{TEST}.npz")
    stream = load_streams(needs["activations"], f"words-{settings['layer']}")
    folds = vocabulary.test_folds
    logits = load_probes(needs["probes"]).logits(stream[test], folds)
    k_sparse, splits, gate = load_k_sparse(needs["k_sparse"]), load_splits(needs["splits"]), load_gate(needs)
    found = {}
    for place, number in splits.items():
        asked = place not in gate or gate[place].ablation is None
        of_concept = find_candidates(
            vocabulary.labels[test, place] & vocabulary.judged(place),
            logits[:, place],
            k_sparse.logits(place, number, words, folds),
            tested.dense(k_sparse.probes[place][number].latents),
            np.diff(tested.starts),
            limit=settings["limit"] if asked else 0,
            seed=settings["seed"] + place,
        )
        found[place] = of_concept._asdict() | {"tested": test[of_concept.tested].tolist()}
    (out / "candidates.json").write_text(json.dumps(found), "utf-8")
    progress(1)
