"""Helpers for stages that read all families of concepts: folders by family, and the union of their words."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from measure.sparse import Sparse
from measure.stages.latents import WORDS
from measure.stages.vocabulary import load_vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from measure.tasks import Task

_OF = "@"


def per_family_needs(families: Iterable[Mapping[str, Task]], stages: Sequence[str]) -> dict[str, Task]:
    """Name the stages of several families as dependencies of one task: vocabulary@0, vocabulary@1."""
    return {
        f"{stage}{_OF}{number}": tasks[stage]
        for number, tasks in enumerate(families)
        for stage in stages
        if stage in tasks
    }


def folders_by_family(needs: Mapping[str, Path]) -> list[dict[str, Path]]:
    """Return the folders that `per_family_needs` named, per family."""
    found: dict[int, dict[str, Path]] = {}
    for name, folder in needs.items():
        stage, of, number = name.partition(_OF)
        if of:
            found.setdefault(int(number), {})[stage] = folder
    return [found[number] for number in sorted(found)]


class Words(NamedTuple):
    """The words of all families, sorted by token id.

    Attributes
    ----------
    ids, texts : numpy.ndarray
    is_test : numpy.ndarray of bool
        Whether the word is a test word of any family.
    activations : Sparse
        Activations on each word; for a word of several families, in the prompt of the first one.
    """

    ids: np.ndarray
    texts: np.ndarray
    is_test: np.ndarray
    activations: Sparse


def load_words(vocabularies: Sequence[Path], latents: Sequence[Path]) -> Words:
    """Load the words of all families.

    Parameters
    ----------
    vocabularies, latents : sequence of Path
        Folders of these stages, one per family.
    """
    known = [load_vocabulary(folder) for folder in vocabularies]
    active = [Sparse.load(folder / f"{WORDS}.npz") for folder in latents]
    if len(known) == 1:
        return Words(known[0].ids, known[0].texts, known[0].is_test, active[0])
    every = np.concatenate([one.ids for one in known])
    ids, first, place = np.unique(every, return_index=True, return_inverse=True)
    is_test = np.bincount(place, np.concatenate([one.is_test for one in known])) > 0
    texts = np.concatenate([one.texts for one in known])[first]
    return Words(ids, texts, is_test, Sparse.stack(active).take(first))
