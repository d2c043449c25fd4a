"""Stage: the effect on the model's answers of erasing a probe's direction at the word.

If there is none, the model does not use this direction for its answers at this layer, and the effects of latents there
are not meaningful.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from measure.models.loading import model_of
from measure.spelling import spelling_metric
from measure.stages.parts import load_streams
from measure.stages.probes import load_probes, unit_rows
from measure.stages.prompts import answer_tokens, batches, load_prompts, to_prompt
from measure.stages.vocabulary import load_vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor

    from measure.models.base import LanguageModel, Prompt
    from measure.stages.probes import Probes

#: Maximum number of words per concept.
ERASED = 64
_SEED = 303


class Erasure(NamedTuple):
    """A direction of length 1, and the mean projection on it of words without the concept."""

    direction: np.ndarray
    level: float

    def takes(self, stream: Tensor) -> Tensor:
        """Return what is subtracted from a stream so that its projection becomes `level`, (rows, d_model)."""
        direction = torch.from_numpy(self.direction).to(stream)
        return (stream @ direction - self.level)[:, None] * direction


class Erased(NamedTuple):
    """The results of the stage.

    Attributes
    ----------
    levels : numpy.ndarray
        Mean projection on each probe's direction of the training words without its concept, (folds, concepts).
    words, places : numpy.ndarray
        Index in the vocabulary, and index of the concept, of each tested word.
    effects : numpy.ndarray
        Change of the metric of each.
    """

    levels: np.ndarray
    words: np.ndarray
    places: np.ndarray
    effects: np.ndarray

    def of(self, probes: Probes, fold: int, place: int) -> Erasure:
        """Return the erasure of a concept with the probe of a fold."""
        return Erasure(unit_rows(probes.weights[[place]])[0].astype(np.float32), float(self.levels[fold, place]))


def answers_erased(
    model: LanguageModel, answers: Tensor, how: Erasure, layer: int, prompt: Prompt, words: Tensor
) -> Tensor:
    """Return the logits of the answers for words that share a prompt, before and after an erasure at the words.

    Parameters
    ----------
    model : LanguageModel
    answers : Tensor
        Token ids of the family's answers.
    how : Erasure
    layer : int
        Layer of the probe.
    prompt : Prompt
    words : Tensor
        Token ids.

    Returns
    -------
    Tensor
        Before and after, (2, words, answers).
    """
    with torch.no_grad():
        spelling = model.spell(prompt, words, layer, answers)
        both = torch.cat([spelling.stream, spelling.stream - how.takes(spelling.stream)])
        return torch.stack(spelling.answer(both).chunk(2))


def change(logits: Tensor, right: Tensor, place: int) -> Tensor:
    """Return the change of a concept's metric, (words,).

    Parameters
    ----------
    logits : Tensor
        Before and after, (2, words, answers).
    right : Tensor
        Mask of the right answers, (words, answers).
    place : int
        Index of the concept.
    """
    of_words = torch.full((len(right),), place, device=logits.device)
    before, after = (spelling_metric(one, of_words, right=right) for one in logits)
    return after - before


def load_erased(folder: Path) -> Erased:
    """Load the stage's output."""
    with np.load(folder / "erased.npz") as arrays:
        return Erased(**arrays)


def _levels(probes: Probes, stream: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean projection on each probe's direction of the words without its concept, (concepts,)."""
    projections = stream.astype(np.float32) @ unit_rows(probes.weights).T
    return (projections * ~labels).sum(0) / np.maximum((~labels).sum(0), 1)


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Run the stage: for each concept, erase its direction at a sample of the probe's true positives."""
    model, vocabulary, chosen = (
        model_of(settings, needs),
        load_vocabulary(needs["vocabulary"]),
        load_prompts(needs["prompts"]),
    )
    family, test, folds = vocabulary.family, vocabulary.test, vocabulary.test_folds
    stream = load_streams(needs["activations"], f"words-{settings['layer']}")
    fitted = load_probes(needs["probes"])
    train, labels = stream[vocabulary.train], vocabulary.labels[vocabulary.train]
    levels = np.array([_levels(probes, train, labels) for probes in fitted.folds])
    found = fitted.logits(stream[test], folds) > 0
    answers = torch.tensor(answer_tokens(model.tokenizer, family.answers), device=model.device)
    known = Erased(levels, *(np.zeros(0),) * 3)
    words: list[int] = []
    places: list[int] = []
    effects: list[float] = []
    for done, place in enumerate(family.measured, start=1):
        if vocabulary.too_few(place):
            continue
        rows = np.flatnonzero(vocabulary.labels[test, place] & vocabulary.judged(place) & found[:, place])
        rows = np.sort(np.random.RandomState(_SEED + place).permutation(rows)[:ERASED])
        for fold in np.unique(folds[rows]):
            of_fold = rows[folds[rows] == fold]
            used, assigned = np.unique(chosen.tested_in[of_fold], return_inverse=True)
            prompts = [to_prompt(chosen.templates[number], model.tokenizer) for number in used]
            how = known.of(fitted.folds[fold], int(fold), place)
            right = torch.from_numpy(vocabulary.labels[test[of_fold]]).to(model.device)
            ask = partial(answers_erased, model, answers, how, settings["layer"])
            for at, logits in batches(ask, model.device, prompts, vocabulary.ids[test[of_fold]], assigned):
                words += test[of_fold[at]].tolist()
                places += [place] * len(at)
                effects += change(logits, right[torch.from_numpy(at).to(right.device)], place).cpu().tolist()
        progress(done / len(family.measured))
    np.savez(
        out / "erased.npz",
        levels=levels,
        words=np.array(words, int),
        places=np.array(places, int),
        effects=np.array(effects, np.float32),
    )
