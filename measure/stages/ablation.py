"""Stage: what a word's active latents do to the model's answer, by integrated gradients and by taking one away."""

from __future__ import annotations

from functools import cache, partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from measure.memory import batch_size
from measure.models.loading import model_of
from measure.saes.loading import open_sae
from measure.sparse import Sparse
from measure.spelling import log_odds, spelling_metric
from measure.stages.candidates import SILENT, load_candidates
from measure.stages.erasure import load_erased
from measure.stages.latents import TEST
from measure.stages.probes import load_probes
from measure.stages.prompts import answer_tokens, load_prompts, lower_case_tokens, to_prompt
from measure.stages.vocabulary import load_vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

    from measure.models.base import LanguageModel, Prompt
    from measure.stages.erasure import Erasure

#: Words at a time, if there is memory for so many: more are no faster.
AT_ONCE = 32
#: Latents of a word whose effects are kept.
KEPT = 10


class Word(NamedTuple):
    """One tested word.

    Attributes
    ----------
    token, letter : int
        The letter (or whatever it is tested for) by its place among the answers.
    latents, activations : numpy.ndarray
        Its active latents, and how strongly.
    right : numpy.ndarray of bool or None
        Which answers are right for it, where that can be several.
    erasure : Erasure or None
        Of the probe's direction, where that is to be tried, too.
    """

    token: int
    letter: int
    latents: np.ndarray
    activations: np.ndarray
    right: np.ndarray | None = None
    erasure: Erasure | None = None


class Effects(NamedTuple):
    """What became of one word.

    Attributes
    ----------
    metric : float
        Logit of the right letter less the mean of the others.
    answer : int
        The letter that the model itself gives.
    effects : numpy.ndarray
        Attributed effect of each active latent on the metric; negative where taking it away would hurt.
    true_top, true_second : float
        Measured change when only the latent with the lowest effect, or the next, is removed; NaN without one.
    log_odds : float
        Logit of the right letter less the log of the summed exponentials of the others.
    erased : float
        Measured change when the probe's direction is erased at the word; NaN where it is not tried.
    """

    metric: float
    answer: int
    effects: np.ndarray
    true_top: float
    true_second: float
    log_odds: float
    erased: float


def ablate(
    model: LanguageModel,
    prompt: Prompt,
    answers: Tensor,
    words: Iterable[Word],
    directions: Tensor,
    *,
    layer: int,
    steps: int = 6,
    batch: int = AT_ONCE,
    right_answers: Tensor | None = None,
    faded_to: Callable[[Tensor], Tensor] | None = None,
) -> Iterator[Effects]:
    """Attribute the spelling of words that share a prompt to their active latents.

    Parameters
    ----------
    model : LanguageModel
    prompt : Prompt
    answers : Tensor
        Tokens of the letters.
    words : iterable of Word
    directions : Tensor
        What one unit of each latent adds to the stream.
    layer : int
        Of the SAE.
    steps : int
        Of the integrated gradients: latents are scaled by 1, (steps - 1) / steps, ..., 1 / steps; error and biases
        of the SAE stay.
    batch : int
        Words at a time, if there is memory for so many.
    right_answers : Tensor, optional
        Tokens of the letters where they are the right answer, in place of `answers`.
    faded_to : callable, optional
        Takes streams, returns what the SAE gives of them without any latent: then its error is scaled as the latents
        are, and only this stays.
    """
    listed = list(words)

    def run(part: list[Word]) -> list[Effects]:
        return [*_ablate(model, prompt, answers, part, directions, layer, steps, right_answers, faded_to)]

    if len(listed) > 1:
        # What comes before the word is read once, for all.
        model.spell(prompt, torch.tensor([listed[0].token], device=model.device), layer, answers)
    batch = batch_size(partial(run, listed[:1]), model.device, min(len(listed), batch))
    for start in range(0, len(listed), batch):
        yield from run(listed[start : start + batch])


def _ablate(
    model: LanguageModel,
    prompt: Prompt,
    answers: Tensor,
    words: list[Word],
    directions: Tensor,
    layer: int,
    steps: int,
    right_answers: Tensor | None,
    faded_to: Callable[[Tensor], Tensor] | None,
) -> Iterator[Effects]:
    device, number = model.device, None if right_answers is None else len(answers)
    asked = answers if right_answers is None else torch.cat([answers, right_answers])
    letters = torch.tensor([word.letter for word in words], device=device)
    own = [word.right for word in words]
    right = None if own[0] is None else torch.from_numpy(np.array(own)).to(device)

    def metric_of(logits: Tensor, times: int) -> Tensor:
        every = None if right is None else right.repeat(times, 1)
        return spelling_metric(logits, letters.repeat(times), number, every)

    spelling = model.spell(prompt, torch.tensor([word.token for word in words], device=device), layer, asked)
    active = [torch.from_numpy(word.latents.astype(np.int64)).to(device) for word in words]
    strength = [torch.from_numpy(word.activations).to(device) for word in words]
    written = torch.stack([z @ directions[latents] for latents, z in zip(active, strength, strict=True)])
    faded = written if faded_to is None else spelling.stream - faded_to(spelling.stream)
    scales = torch.arange(steps, 0, -1, device=device) / steps
    inputs = (spelling.stream - (1 - scales)[:, None, None] * faded).flatten(0, 1).requires_grad_()
    logits = spelling.answer(inputs)
    metrics = metric_of(logits, steps)
    (gradients,) = torch.autograd.grad(metrics.sum(), inputs)
    slopes = gradients.unflatten(0, (steps, -1)).mean(0)
    effects = [-z * (directions[latents] @ slope) for latents, z, slope in zip(active, strength, slopes, strict=True)]
    # The latents with the lowest effect and the next, removed one at a time; and the probe's direction.
    erases = words[0].erasure is not None
    taken = torch.zeros(2 + erases, *spelling.stream.shape, device=device)
    for place, (latents, z, effect) in enumerate(zip(active, strength, effects, strict=True)):
        for rank, latent in enumerate(effect.argsort()[:2]):
            taken[rank, place] = z[latent] * directions[latents[latent]]
        if (erasure := words[place].erasure) is not None:
            taken[2, place] = erasure.takes(spelling.stream[[place]])[0]
    with torch.no_grad():
        left = metric_of(spelling.answer((spelling.stream - taken).flatten(0, 1)), len(taken))
        odds = log_odds(logits[: len(words)], letters, number, right).cpu()
    metric = metrics[: len(words)].detach()
    changes = (left.view(len(taken), -1) - metric).cpu()
    for place, effect in enumerate(effects):
        yield Effects(
            float(metric[place]),
            int(logits[place, :number].argmax()),
            effect.cpu().numpy(),
            float(changes[0, place]) if len(effect) else float("nan"),
            float(changes[1, place]) if len(effect) > 1 else float("nan"),
            float(odds[place]),
            float(changes[2, place]) if erases else float("nan"),
        )


def is_absorption(
    *,
    split_activations: np.ndarray,
    top_effect: float,
    second_effect: float,
    top_cosine: float,
    effect_margin: float,
    cosine_threshold: float,
) -> bool:
    """Decide whether a word's top latent absorbs its letter (docs/method.md)."""
    decided = decides(top_effect, second_effect, top_cosine, margin=effect_margin, cosine_threshold=cosine_threshold)
    return bool((split_activations < SILENT).all() and decided)


def decides(top_effect: Any, second_effect: Any, top_cosine: Any, *, margin: Any, cosine_threshold: float) -> Any:
    """Tell whether a latent absorbs by its effect and cosine, of one word or of an array of words."""
    leads = abs(top_effect) - abs(second_effect) >= margin
    return (top_effect <= 0) & leads & (top_cosine >= cosine_threshold)


#: Fields of `Effects` behind the list of effects.
_NUMBERS = Effects._fields[3:]


class Tested(NamedTuple):
    """The tested words of one SAE: each word's place in the vocabulary, its letter, and its effects."""

    words: np.ndarray
    letters: np.ndarray
    effects: list[Effects]


def load_tested(folder: Path | None) -> Tested:
    """Read what the stage wrote; of a family that is not ablated, where there is no folder, no word is tested."""
    if folder is None:
        return Tested(np.zeros(0, int), np.zeros(0, int), [])
    with np.load(folder / "tested.npz") as arrays:
        by_word = np.split(arrays["effects"], arrays["ends"][:-1])
        names = ("metric", "answer", *_NUMBERS)
        rows = zip(by_word, *(arrays[name].tolist() for name in names), strict=False)
        effects = [Effects(metric, int(answer), effect, *numbers) for effect, metric, answer, *numbers in rows]
        return Tested(arrays["words"], arrays["letters"], effects)


def _erasures(needs: Mapping[str, Path]) -> Callable[[int, int], Erasure | None]:
    """Return what gives the erasure of a concept for a word of a fold; nothing where the stage erasure was not done."""
    if "erasure" not in needs:
        return lambda _fold, _place: None
    erased, probes = load_erased(needs["erasure"]), load_probes(needs["probes"]).folds
    return cache(lambda fold, place: erased.of(probes[fold], fold, place))


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Do the stage: test every candidate, prompt by prompt."""
    model, vocabulary, chosen = (
        model_of(settings, needs),
        load_vocabulary(needs["vocabulary"]),
        load_prompts(needs["prompts"]),
    )
    activations = Sparse.load(needs["latents"] / f"{TEST}.npz")
    sae = open_sae(needs["sae"], model.device)
    family = vocabulary.family
    answers = torch.tensor(answer_tokens(model.tokenizer, family.answers), device=model.device)
    how: dict[str, Any] = {"layer": settings["layer"], "steps": settings["steps"]}
    if settings["positive"] == "lower" and family.question:
        how["right_answers"] = torch.tensor(lower_case_tokens(model.tokenizer), device=model.device)
    if settings["error"] == "fades":
        how["faded_to"] = sae.without_latents
    erasure_of = _erasures(needs)
    candidates = load_candidates(needs["candidates"])
    pairs = [(int(word), letter) for letter, of_letter in candidates.items() for word in of_letter.tested]
    words = np.array([word for word, _ in pairs], int)
    row_of = dict(zip(words.tolist(), vocabulary.test_rows(words).tolist(), strict=True))
    prompt_of = {word: int(chosen.tested_in[row]) for word, row in row_of.items()}
    pairs.sort(key=lambda pair: (prompt_of[pair[0]], pair))
    found: list[Effects] = []
    for number, group in groupby(pairs, key=lambda pair: prompt_of[pair[0]]):
        prompt = to_prompt(chosen.templates[number], model.tokenizer)
        of_prompt = [
            Word(
                int(vocabulary.ids[word]),
                place,
                *activations.row(row_of[word]),
                vocabulary.labels[word],
                erasure_of(int(vocabulary.test_folds[row_of[word]]), place),
            )
            for word, place in group
        ]
        for effects in ablate(model, prompt, answers, of_prompt, sae.directions, **how):
            found.append(effects)
            progress(len(found) / len(pairs))
    columns = ("metric", "answer", *_NUMBERS)
    arrays: dict[str, Any] = {
        "words": np.array([word for word, _ in pairs], int),
        "letters": np.array([letter for _, letter in pairs], int),
        "effects": np.concatenate([one.effects for one in found] or [np.zeros(0, np.float32)]),
        "ends": np.cumsum([len(one.effects) for one in found], dtype=int),
        **{name: np.array([getattr(one, name) for one in found]) for name in columns},
    }
    np.savez(out / "tested.npz", **arrays)
