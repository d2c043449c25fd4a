"""Stage: kin of latents, the latents of the layer's other SAEs with the most similar decoder directions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.nn import functional

from measure.device import best_device
from measure.saes.loading import open_sae, width_of
from measure.stages.families import folders_by_family, load_words
from measure.stages.k_sparse import MAX_SPLIT, load_k_sparse
from measure.stages.vocabulary import load_vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from torch import Tensor

    from measure.sparse import Sparse

#: Number of kin of a latent per other SAE.
TOP = 5
#: Latents per SAE that a splitting tree continues from, besides those with a role (queries/splitting_tree.sql).
_DRAWN = 8
#: Number of words stored of those on which both latents are active.
_SHARED = 5
#: Number of cosines in memory at once: 64 MB.
_COSINES = 2**24
#: A concept: the index of its family, and its index within the family.
Concept = tuple[int, int]
#: The stages of each SAE that this one reads, and those of each SAE and family. The dependency for the SAE at index 2
#: is called sae-2, that for its first family latents-2@0.
STAGES, OF_FAMILIES = ("sae", "evidence"), ("latents", "k_sparse")

_SCHEMA = pa.schema(
    [
        ("latent", pa.int32()),
        ("other", pa.int32()),
        ("rank", pa.int32()),
        ("other_latent", pa.int32()),
        ("cosine", pa.float32()),
        ("overlap", pa.float32()),
        ("num_shared_words", pa.int32()),
        ("shared_words", pa.list_(pa.int32())),
    ]
)


class Overlap(NamedTuple):
    """The overlap of the words on which two latents are active.

    Attributes
    ----------
    share : float or None
        Jaccard index: words with both latents active, divided by words with either; None if there are none.
    number : int
        Number of words with both latents active.
    strongest : numpy.ndarray
        Up to five of them, sorted by the second latent's activation, strongest first.
    """

    share: float | None
    number: int
    strongest: np.ndarray


class Subject(NamedTuple):
    """Latents of one SAE whose kin are to be found, their decoder directions, and the words on which each is active."""

    latents: np.ndarray
    directions: Tensor
    words: list[np.ndarray]


def nearest_latents(directions: Tensor, others: Tensor, top: int = TOP) -> tuple[np.ndarray, np.ndarray]:
    """Find the latents of another SAE with the highest decoder cosines.

    Cosines are computed in pieces of at most 64 MB.

    Parameters
    ----------
    directions : Tensor
        (latents, d_model)
    others : Tensor
        The decoder of the other SAE, (other latents, d_model).
    top : int
        Number to find per latent; fewer if the other SAE has fewer latents.

    Returns
    -------
    latents, cosines : numpy.ndarray
        (latents, top), highest cosine first.
    """
    number = len(directions)
    best = torch.full((number, 0), 0.0, device=directions.device)
    latents = torch.full((number, 0), 0, dtype=torch.int64, device=directions.device)
    step = max(_COSINES // max(number, 1), top)
    wanted = functional.normalize(directions, dim=1)
    for start in range(0, len(others), step):
        cosines = wanted @ functional.normalize(others[start : start + step], dim=1).T
        places = torch.arange(start, start + cosines.shape[1], device=latents.device).expand(number, -1)
        found = torch.cat([best, cosines], 1).topk(min(top, best.shape[1] + cosines.shape[1]), dim=1)
        best, latents = found.values, torch.cat([latents, places], 1).gather(1, found.indices)
    return latents.cpu().numpy(), best.cpu().numpy()


def overlap_of(words: np.ndarray, others: np.ndarray, strengths: np.ndarray) -> Overlap:
    """Compare the words on which two latents are active.

    Parameters
    ----------
    words, others : numpy.ndarray
        The words of each latent, ascending.
    strengths : numpy.ndarray
        Activations of the second latent on its words.
    """
    shared, _, places = np.intersect1d(words, others, assume_unique=True, return_indices=True)
    either = len(words) + len(others) - len(shared)
    strongest = shared[np.argsort(-strengths[places], kind="stable")[:_SHARED]]
    return Overlap(len(shared) / either if either else None, len(shared), strongest)


def find_kin(
    subjects: Mapping[int, Subject], other: int, directions: Tensor, words: Sparse, ids: np.ndarray
) -> dict[int, pa.Table]:
    """Find the kin on one SAE of latents of the others.

    Parameters
    ----------
    subjects : mapping of int to Subject
        By index of the SAE in its layer.
    other : int
        Index of the SAE on which kin are searched; its own latents are skipped.
    directions : Tensor
        Decoder of that SAE, (latents, d_model).
    words : Sparse
        Activations of that SAE on the vocabulary.
    ids : numpy.ndarray
        Token id of each word.

    Returns
    -------
    dict of int to pyarrow.Table
        By index of the SAE: rows of the table `kin`, with the index of the other SAE in place of its id.
    """
    columns: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    found = {}
    for place, subject in subjects.items():
        if place == other:
            continue
        rows = []
        nearest, cosines = nearest_latents(subject.directions, directions)
        for latent, own_words, near, of_near in zip(
            subject.latents.tolist(), subject.words, nearest, cosines, strict=True
        ):
            for rank, (kin, cosine) in enumerate(zip(near.tolist(), of_near.tolist(), strict=True)):
                if kin not in columns:
                    columns[kin] = words.column(kin)
                share, number, strongest = overlap_of(own_words, *columns[kin])
                rows.append((latent, other, rank, kin, cosine, share, number, ids[strongest].tolist()))
        by_column = zip(*rows, strict=True) if rows else ((),) * len(_SCHEMA)
        found[place] = pa.table(dict(zip(_SCHEMA.names, map(list, by_column), strict=True)), _SCHEMA)
    return found


def latents_with_kin(k_sparse: Iterable[Path], evidence: Path) -> np.ndarray:
    """Return the latents of an SAE with evidence, and those that are split latents at some tau."""
    ranked = [
        probes[max(probes)].latents[:MAX_SPLIT]
        for folder in k_sparse
        for probes in load_k_sparse(folder).probes.values()
    ]
    shown = pq.read_table(evidence / "token_activations.parquet", columns=["latent"])["latent"].to_numpy()
    return np.unique(np.concatenate([*ranked, shown])).astype(np.int64)


class _Layer:
    """The SAEs of a layer; one is in memory at a time.

    Parameters
    ----------
    needs : mapping of str to Path
        Folders of the stages of each SAE.
    number : int
        Number of SAEs.
    """

    def __init__(self, needs: Mapping[str, Path], number: int) -> None:
        self._folders = [{stage: needs[f"{stage}-{place}"] for stage in STAGES} for place in range(number)]
        families = folders_by_family(needs)
        self._vocabularies = [family["vocabulary"] for family in families]
        self._of_families = {
            stage: [[family[f"{stage}-{place}"] for family in families] for place in range(number)]
            for stage in OF_FAMILIES
        }
        self._ids = np.unique(np.concatenate([load_vocabulary(folder).ids for folder in self._vocabularies]))

    def _opened(self, place: int) -> tuple[Tensor, Sparse]:
        words = load_words(self._vocabularies, self._of_families["latents"][place])
        return open_sae(self._folders[place]["sae"], best_device()).directions, words.activations

    def _width(self, place: int) -> int:
        return width_of(self._folders[place]["sae"])

    def _subject(self, place: int, latents: np.ndarray) -> Subject:
        directions, words = self._opened(place)
        chosen = directions[torch.from_numpy(latents).to(directions.device)]
        # Columns of a sparse matrix are in ascending order of words, as `overlap_of` requires.
        return Subject(latents, chosen, [words.column(latent)[0] for latent in latents.tolist()])

    def latents_with_kin(self) -> dict[int, np.ndarray]:
        """Return the latents whose kin are stored regardless of splitting trees, by index of the SAE."""
        return {
            place: latents_with_kin(self._of_families["k_sparse"][place], folders["evidence"])
            for place, folders in enumerate(self._folders)
        }

    def main_latents(self, place: int) -> dict[Concept, int]:
        """Return the first latent that k-sparse probing ranks on an SAE, by concept."""
        return {
            (family, concept): int(by_k[min(by_k)].latents[0])
            for family, folder in enumerate(self._of_families["k_sparse"][place])
            for concept, by_k in load_k_sparse(folder).probes.items()
        }

    def by_width(self) -> list[list[int]]:
        """Return the indices of the SAEs of each width, in ascending order of width."""
        widths: dict[int, list[int]] = {}
        for place in range(len(self._folders)):
            widths.setdefault(self._width(place), []).append(place)
        return [widths[width] for width in sorted(widths)]

    def kin(
        self,
        latents: Mapping[int, np.ndarray],
        progress: Callable[[float], None] = lambda _: None,
    ) -> dict[int, pa.Table]:
        """Find the kin of latents, given by index of the SAE, on all other SAEs of the layer; return them likewise."""
        subjects = {place: self._subject(place, chosen) for place, chosen in latents.items() if len(chosen)}
        found: dict[int, list[pa.Table]] = {place: [_SCHEMA.empty_table()] for place in latents}
        for other in range(len(self._folders)):
            for place, rows in find_kin(subjects, other, *self._opened(other), self._ids).items():
                found[place].append(rows)
            progress((other + 1) / len(self._folders))
        return {place: pa.concat_tables(pieces) for place, pieces in found.items()}


#: By concept, the latents that a splitting tree reaches, with the largest product of cosines on a path to each.
Reached = dict[Concept, dict[int, float]]
#: By latent, its kin on another SAE and their cosines.
Near = dict[int, list[tuple[int, float]]]


def _near(kin: pa.Table, other: int) -> Near:
    """Collect the kin on one SAE; as in the splitting tree, only those with a positive cosine."""
    columns = (kin[name].to_pylist() for name in ("latent", "other", "other_latent", "cosine"))
    near: Near = {}
    for latent, place, other_latent, cosine in zip(*columns, strict=True):
        if place == other and cosine > 0:
            near.setdefault(latent, []).append((other_latent, cosine))
    return near


def _next_level(reached: Reached, near: Near) -> Reached:
    """Continue splitting trees to the next wider SAE: a step of the query `splitting_tree`, for every concept."""
    found: Reached = {}
    for concept, latents in reached.items():
        best: dict[int, float] = {}
        for latent, strength in latents.items():
            for other, cosine in near.get(latent, ()):
                best[other] = max(best.get(other, 0.0), strength * cosine)
        strongest = sorted(best, key=lambda latent: (-best[latent], latent))[:_DRAWN]
        found[concept] = {latent: best[latent] for latent in strongest}
    return found


def _add_trees(layer: _Layer, kin: dict[int, pa.Table]) -> None:
    """Add to `kin` those of the latents that splitting trees reach from main latents.

    All combinations of one SAE per width are followed, because a tree can be drawn for any of them.
    """
    mains: dict[int, Reached] = {
        place: {concept: {latent: 1.0} for concept, latent in layer.main_latents(place).items()} for place in kin
    }
    former, *wider = layer.by_width()
    paths = [(place, mains[place]) for place in former]
    # The dashboard also shows the kin of all main latents, on any other SAE.
    paths_of_mains = [(place, _next_level(mains[before], _near(kin[before], place))) for before in kin for place in kin]
    _add_reached(layer, kin, paths_of_mains)
    for here in wider[:-1]:
        near = {(before, place): _near(kin[before], place) for before in former for place in here}
        paths = [(place, _next_level(reached, near[before, place])) for before, reached in paths for place in here]
        _add_reached(layer, kin, paths)
        former = here


def _add_reached(layer: _Layer, kin: dict[int, pa.Table], paths: Iterable[tuple[int, Reached]]) -> None:
    """Add the kin of the latents reached on each SAE, unless they are there already."""
    found: dict[int, set[int]] = {place: set() for place in kin}
    for place, reached in paths:
        found[place].update(*reached.values())
    unknown = {
        place: np.setdiff1d(np.array(sorted(latents), np.int64), kin[place]["latent"].to_numpy())
        for place, latents in found.items()
    }
    for place, rows in layer.kin(unknown).items():
        kin[place] = pa.concat_tables([kin[place], rows])


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Run the stage for all SAEs of a layer, and write a file per SAE, named by its index.

    Kin are searched for the latents of `latents_with_kin`, and for those that a splitting tree reaches.
    """
    layer = _Layer(needs, settings["saes"])
    kin = layer.kin(layer.latents_with_kin(), lambda done: progress(0.8 * done))
    _add_trees(layer, kin)
    for place, rows in kin.items():
        pq.write_table(rows, out / f"{place}.parquet")
