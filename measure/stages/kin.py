"""Stage: which latents of the layer's other SAEs have the decoder directions closest to a latent's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.nn import functional

from measure.device import best_device
from measure.saes.loading import open_sae, width_of
from measure.stages.families import by_family, words_of
from measure.stages.k_sparse import MAX_SPLIT, load_k_sparse
from measure.stages.vocabulary import load_vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from torch import Tensor

    from measure.sparse import Sparse

#: Kin of a latent on each other SAE.
TOP = 5
#: Latents of an SAE from which a splitting tree goes on, beside those that have a role (queries/splitting_tree.sql).
_DRAWN = 8
#: Words that are named of those on which both fire.
_SHARED = 5
#: Cosines that are held at a time: 64 MB.
_COSINES = 2**24
#: A concept: the place of its family, and its own within it.
Concept = tuple[int, int]
#: The stages of each SAE that this one reads, and those of each of its families; the need of the SAE at place 2 is
#: called sae-2, that of its first family latents-2@0.
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
    """The words on which two latents fire.

    Attributes
    ----------
    share : float or None
        Words on which both fire, of those on which either fires (Jaccard index); None where neither fires on any.
    number : int
        Words on which both fire.
    strongest : numpy.ndarray
        Up to five of them, those on which the second latent is strongest first.
    """

    share: float | None
    number: int
    strongest: np.ndarray


class Subject(NamedTuple):
    """Latents of one SAE whose kin are looked for: their numbers, unit directions, and the words each fires on."""

    latents: np.ndarray
    directions: Tensor
    words: list[np.ndarray]


def nearest_latents(directions: Tensor, others: Tensor, top: int = TOP) -> tuple[np.ndarray, np.ndarray]:
    """Find the decoder directions of another SAE that are closest to some.

    Others are compared in pieces, so that no more than 64 MB of cosines are held.

    Parameters
    ----------
    directions : Tensor
        (latents, d_model)
    others : Tensor
        All of the other SAE, (other latents, d_model).
    top : int
        How many are wanted of each; there are fewer where the other SAE has fewer.

    Returns
    -------
    latents, cosines : numpy.ndarray
        (latents, top), the nearest first.
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
    """Compare the words on which one latent fires with those of another.

    Parameters
    ----------
    words, others : numpy.ndarray
        The words of each, ascending.
    strengths : numpy.ndarray
        How strongly the other one fires on its words.
    """
    shared, _, places = np.intersect1d(words, others, assume_unique=True, return_indices=True)
    either = len(words) + len(others) - len(shared)
    strongest = shared[np.argsort(-strengths[places], kind="stable")[:_SHARED]]
    return Overlap(len(shared) / either if either else None, len(shared), strongest)


def find_kin(
    subjects: Mapping[int, Subject], other: int, directions: Tensor, words: Sparse, ids: np.ndarray
) -> dict[int, pa.Table]:
    """Find the kin that latents of several SAEs have on another one.

    Parameters
    ----------
    subjects : mapping of int to Subject
        By place of the SAE in its layer.
    other : int
        Place of the SAE on which kin are looked for; it has none on itself.
    directions : Tensor
        Its decoder, (latents, d_model).
    words : Sparse
        Its activations on the vocabulary.
    ids : numpy.ndarray
        Token id of each word.

    Returns
    -------
    dict of int to pyarrow.Table
        By place of the SAE: rows of the table `kin`, with the place of the other SAE for its id.
    """
    columns: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    found = {}
    for place, subject in subjects.items():
        if place == other:
            continue
        rows = []
        nearest, cosines = nearest_latents(subject.directions, directions)
        for latent, fires, near, along in zip(subject.latents.tolist(), subject.words, nearest, cosines, strict=True):
            for rank, (kin, cosine) in enumerate(zip(near.tolist(), along.tolist(), strict=True)):
                if kin not in columns:
                    columns[kin] = words.column(kin)
                share, number, strongest = overlap_of(fires, *columns[kin])
                rows.append((latent, other, rank, kin, cosine, share, number, ids[strongest].tolist()))
        by_column = zip(*rows, strict=True) if rows else ((),) * len(_SCHEMA)
        found[place] = pa.table(dict(zip(_SCHEMA.names, map(list, by_column), strict=True)), _SCHEMA)
    return found


def latents_with_kin(k_sparse: Iterable[Path], evidence: Path) -> np.ndarray:
    """Return the latents of an SAE of which evidence is kept, and those that k-sparse probing may accept as split."""
    ranked = [
        probes[max(probes)].latents[:MAX_SPLIT]
        for folder in k_sparse
        for probes in load_k_sparse(folder).probes.values()
    ]
    shown = pq.read_table(evidence / "token_activations.parquet", columns=["latent"])["latent"].to_numpy()
    return np.unique(np.concatenate([*ranked, shown])).astype(np.int64)


class _Layer:
    """The SAEs of a layer, of which one is open at a time.

    Parameters
    ----------
    needs : mapping of str to Path
        Folders of the stages of each SAE.
    number : int
        How many SAEs.
    """

    def __init__(self, needs: Mapping[str, Path], number: int) -> None:
        self._folders = [{stage: needs[f"{stage}-{place}"] for stage in STAGES} for place in range(number)]
        families = by_family(needs)
        self._vocabularies = [family["vocabulary"] for family in families]
        self._of_families = {
            stage: [[family[f"{stage}-{place}"] for family in families] for place in range(number)]
            for stage in OF_FAMILIES
        }
        self._ids = np.unique(np.concatenate([load_vocabulary(folder).ids for folder in self._vocabularies]))

    def _opened(self, place: int) -> tuple[Tensor, Sparse]:
        words = words_of(self._vocabularies, self._of_families["latents"][place])
        return open_sae(self._folders[place]["sae"], best_device()).directions, words.activations

    def _width(self, place: int) -> int:
        return width_of(self._folders[place]["sae"])

    def _subject(self, place: int, latents: np.ndarray) -> Subject:
        directions, words = self._opened(place)
        chosen = directions[torch.from_numpy(latents).to(directions.device)]
        # A row may be active in any order of latents, but its words come in order.
        return Subject(latents, chosen, [words.column(latent)[0] for latent in latents.tolist()])

    def latents_with_kin(self) -> dict[int, np.ndarray]:
        """Return the latents that matter, by place of the SAE."""
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
        """Return the places of the SAEs of each width, from narrow to wide."""
        widths: dict[int, list[int]] = {}
        for place in range(len(self._folders)):
            widths.setdefault(self._width(place), []).append(place)
        return [widths[width] for width in sorted(widths)]

    def kin(
        self,
        latents: Mapping[int, np.ndarray],
        progress: Callable[[float], None] = lambda _: None,
    ) -> dict[int, pa.Table]:
        """Find the kin of latents, given and returned by place of the SAE, on all other SAEs."""
        subjects = {place: self._subject(place, chosen) for place, chosen in latents.items() if len(chosen)}
        found: dict[int, list[pa.Table]] = {place: [_SCHEMA.empty_table()] for place in latents}
        for other in range(len(self._folders)):
            for place, rows in find_kin(subjects, other, *self._opened(other), self._ids).items():
                found[place].append(rows)
            progress((other + 1) / len(self._folders))
        return {place: pa.concat_tables(pieces) for place, pieces in found.items()}


#: By concept, latents and the largest product of cosines that leads to each from a main latent.
Reached = dict[Concept, dict[int, float]]
#: Of each latent, those that are near it on another SAE, with their cosines.
Near = dict[int, list[tuple[int, float]]]


def _near(kin: pa.Table, other: int) -> Near:
    """Collect the kin on the SAE at one place; as in a tree, none that points the other way."""
    columns = (kin[name].to_pylist() for name in ("latent", "other", "other_latent", "cosine"))
    near: Near = {}
    for latent, place, other_latent, cosine in zip(*columns, strict=True):
        if place == other and cosine > 0:
            near.setdefault(latent, []).append((other_latent, cosine))
    return near


def _lead_on(reached: Reached, near: Near) -> Reached:
    """Go on to the next wider SAE: a step of the query `splitting_tree`, for every concept."""
    found: Reached = {}
    for concept, latents in reached.items():
        best: dict[int, float] = {}
        for latent, strength in latents.items():
            for other, cosine in near.get(latent, ()):
                best[other] = max(best.get(other, 0.0), strength * cosine)
        strongest = sorted(best, key=lambda latent: (-best[latent], latent))[:_DRAWN]
        found[concept] = {latent: best[latent] for latent in strongest}
    return found


def _grow(layer: _Layer, kin: dict[int, pa.Table]) -> None:
    """Add to `kin` those of the latents that splitting trees reach from main latents.

    They are followed through every choice of one SAE per width, for a tree may be drawn over any.
    """
    mains: dict[int, Reached] = {
        place: {concept: {latent: 1.0} for concept, latent in layer.main_latents(place).items()} for place in kin
    }
    former, *wider = layer.by_width()
    paths = [(place, mains[place]) for place in former]
    # A reader also meets the kin of all main latents, on whatever SAE.
    _add(layer, kin, [(place, _lead_on(mains[before], _near(kin[before], place))) for before in kin for place in kin])
    for here in wider[:-1]:
        near = {(before, place): _near(kin[before], place) for before in former for place in here}
        paths = [(place, _lead_on(reached, near[before, place])) for before, reached in paths for place in here]
        _add(layer, kin, paths)
        former = here


def _add(layer: _Layer, kin: dict[int, pa.Table], paths: Iterable[tuple[int, Reached]]) -> None:
    """Add the kin of what is reached at each place, where they are not there yet."""
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
    """Do the stage, for all SAEs of a layer: a file for each, named by its place among them.

    Kin are looked for of the latents that matter, and of those that a splitting tree reaches.
    """
    layer = _Layer(needs, settings["saes"])
    matter = layer.latents_with_kin()
    kin = layer.kin(matter, lambda done: progress(0.8 * done))
    _grow(layer, kin)
    for place, rows in kin.items():
        pq.write_table(rows, out / f"{place}.parquet")
