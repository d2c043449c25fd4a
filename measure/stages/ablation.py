"""Stage: effects of a word's active latents on the model's answer, by integrated gradients and by removing latents."""

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

#: Maximum batch size; larger batches are no faster.
AT_ONCE = 32
#: Number of latents per word whose effects are stored.
KEPT = 10


class Word(NamedTuple):
    """One tested word.

    Attributes
    ----------
    token, letter : int
        Token id, and the letter (or other concept) that it is tested for, as an index of the answers.
    latents, activations : numpy.ndarray
        Its active latents and their activations.
    right : numpy.ndarray of bool or None
        Mask of the answers that are right for it; None if only `letter` is.
    erasure : Erasure or None
        Erasure of the probe's direction, if its effect is to be measured.
    """

    token: int
    letter: int
    latents: np.ndarray
    activations: np.ndarray
    right: np.ndarray | None = None
    erasure: Erasure | None = None


class Effects(NamedTuple):
    """The results of one word.

    Attributes
    ----------
    metric : float
        Logit of the right letter less the mean of the others.
    answer : int
        The letter with the highest logit.
    effects : numpy.ndarray
        Attributed effect of removing each active latent on the metric; negative if the latent supports the answer.
    true_top, true_second : float
        Change of the metric when only the latent with the lowest effect, or the second lowest, is removed; NaN without
        one.
    log_odds : float
        Logit of the right letter less the logsumexp of the others.
    erased : float
        Change of the metric when the probe's direction is erased at the word; NaN if not measured.
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
    """Attribute the model's answers for words that share a prompt to their active latents.

    Parameters
    ----------
    model : LanguageModel
    prompt : Prompt
    answers : Tensor
        Token ids of the letters.
    words : iterable of Word
    directions : Tensor
        Decoder rows, (latents, d_model).
    layer : int
        Layer of the SAE.
    steps : int
        Number of steps of integrated gradients: latents are scaled by 1, (steps - 1) / steps, ..., 1 / steps, while the
        SAE's error and biases stay.
    batch : int
        Maximum number of words per batch.
    right_answers : Tensor, optional
        Token ids of the letters when they are the right answer, if these differ from `answers`.
    faded_to : callable, optional
        Maps streams to their reconstruction without latents (`Sae.without_latents`). If given, the SAE's error is
        scaled along with the latents.
    """
    listed = list(words)

    def run(part: list[Word]) -> list[Effects]:
        return [*_ablate(model, prompt, answers, part, directions, layer, steps, right_answers, faded_to)]

    if len(listed) > 1:
        # Caches the prefix of the prompt before the memory of a batch is measured.
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
    all_answers = answers if right_answers is None else torch.cat([answers, right_answers])
    letters = torch.tensor([word.letter for word in words], device=device)
    own = [word.right for word in words]
    right = None if own[0] is None else torch.from_numpy(np.array(own)).to(device)

    def metric_of(logits: Tensor, times: int) -> Tensor:
        every = None if right is None else right.repeat(times, 1)
        return spelling_metric(logits, letters.repeat(times), number, every)

    spelling = model.spell(prompt, torch.tensor([word.token for word in words], device=device), layer, all_answers)
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
    # Remove the latent with the lowest effect, that with the second lowest, and the probe's direction, one at a time.
    erases = words[0].erasure is not None
    removed = torch.zeros(2 + erases, *spelling.stream.shape, device=device)
    for place, (latents, z, effect) in enumerate(zip(active, strength, effects, strict=True)):
        for rank, latent in enumerate(effect.argsort()[:2]):
            removed[rank, place] = z[latent] * directions[latents[latent]]
        if (erasure := words[place].erasure) is not None:
            removed[2, place] = erasure.takes(spelling.stream[[place]])[0]
    with torch.no_grad():
        after = metric_of(spelling.answer((spelling.stream - removed).flatten(0, 1)), len(removed))
        odds = log_odds(logits[: len(words)], letters, number, right).cpu()
    metric = metrics[: len(words)].detach()
    changes = (after.view(len(removed), -1) - metric).cpu()
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
    """Apply the conditions on effect, margin and cosine, to one word or to arrays of words."""
    leads = abs(top_effect) - abs(second_effect) >= margin
    return (top_effect <= 0) & leads & (top_cosine >= cosine_threshold)


#: The fields of `Effects` after `effects`.
_NUMBERS = Effects._fields[3:]


class Tested(NamedTuple):
    """The tested words of one SAE: each word's index in the vocabulary, its letter, and its effects."""

    words: np.ndarray
    letters: np.ndarray
    effects: list[Effects]


def load_tested(folder: Path | None) -> Tested:
    """Load the stage's output; without a folder, for a family that is not ablated, there are no tested words."""
    if folder is None:
        return Tested(np.zeros(0, int), np.zeros(0, int), [])
    with np.load(folder / "tested.npz") as arrays:
        by_word = np.split(arrays["effects"], arrays["ends"][:-1])
        names = ("metric", "answer", *_NUMBERS)
        rows = zip(by_word, *(arrays[name].tolist() for name in names), strict=False)
        effects = [Effects(metric, int(answer), effect, *numbers) for effect, metric, answer, *numbers in rows]
        return Tested(arrays["words"], arrays["letters"], effects)


def _erasures(needs: Mapping[str, Path]) -> Callable[[int, int], Erasure | None]:
    """Return a function from fold and concept to the erasure; it returns None without the stage `erasure`."""
    if "erasure" not in needs:
        return lambda _fold, _place: None
    erased, probes = load_erased(needs["erasure"]), load_probes(needs["probes"]).folds
    return cache(lambda fold, place: erased.of(probes[fold], fold, place))


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Run the stage: test every candidate, prompt by prompt."""
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
    row_of = dict(zip(words.tolist(), vocabulary.test_positions(words).tolist(), strict=True))
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
