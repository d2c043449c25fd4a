"""Stage: what the active latents of a word do to its spelling, by integrated gradients and by taking one away."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor

    from measure.models.base import LanguageModel, Prompt

#: Latents of a word whose effects are kept.
KEPT = 10


class Word(NamedTuple):
    """One tested word: its token, its letter's place among the answers, its active latents and how strongly."""

    token: int
    letter: int
    latents: np.ndarray
    activations: np.ndarray


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
        Measured change when only the latent with the lowest effect, or the next, is taken away; NaN where there is none.
    """

    metric: float
    answer: int
    effects: np.ndarray
    true_top: float
    true_second: float


def spelling_metric(logits: Tensor, letters: Tensor) -> Tensor:
    """Return the logit of the right letter less the mean logit of the others, row by row."""
    right = logits.gather(1, letters[:, None])[:, 0]
    return right - (logits.sum(1) - right) / (logits.shape[1] - 1)


def ablate(
    model: LanguageModel,
    prompt: Prompt,
    answers: Tensor,
    words: Iterable[Word],
    directions: Tensor,
    *,
    layer: int,
    steps: int = 6,
    batch: int = 32,
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
        Of the integrated gradients: latents are scaled by 1, (steps - 1) / steps, ..., 1 / steps; what the SAE leaves out
        and its biases stay.
    batch : int
        Words at a time.
    """
    listed = list(words)
    for start in range(0, len(listed), batch):
        yield from _ablate(model, prompt, answers, listed[start : start + batch], directions, layer, steps)


def _ablate(
    model: LanguageModel,
    prompt: Prompt,
    answers: Tensor,
    words: list[Word],
    directions: Tensor,
    layer: int,
    steps: int,
) -> Iterator[Effects]:
    device = model.device
    letters = torch.tensor([word.letter for word in words], device=device)
    spelling = model.spell(prompt, torch.tensor([word.token for word in words], device=device), layer, answers)
    active = [torch.from_numpy(word.latents.astype(np.int64)).to(device) for word in words]
    strength = [torch.from_numpy(word.activations).to(device) for word in words]
    written = torch.stack([z @ directions[latents] for latents, z in zip(active, strength, strict=True)])
    scales = torch.arange(steps, 0, -1, device=device) / steps
    inputs = (spelling.stream - (1 - scales)[:, None, None] * written).flatten(0, 1).requires_grad_()
    logits = spelling.answer(inputs)
    metrics = spelling_metric(logits, letters.repeat(steps))
    (gradients,) = torch.autograd.grad(metrics.sum(), inputs)
    slopes = gradients.unflatten(0, (steps, -1)).mean(0)
    effects = [
        -z * (directions[latents] @ slope) for latents, z, slope in zip(active, strength, slopes, strict=True)
    ]
    # The latents with the lowest effect and the next, taken away one at a time.
    taken = torch.zeros(2, *spelling.stream.shape, device=device)
    for place, (latents, z, effect) in enumerate(zip(active, strength, effects, strict=True)):
        for rank, latent in enumerate(effect.argsort()[:2]):
            taken[rank, place] = z[latent] * directions[latents[latent]]
    with torch.no_grad():
        left = spelling_metric(spelling.answer((spelling.stream - taken).flatten(0, 1)), letters.repeat(2))
    metric = metrics[: len(words)].detach()
    changes = (left.view(2, -1) - metric).cpu()
    for place, effect in enumerate(effects):
        yield Effects(
            float(metric[place]),
            int(logits[place].argmax()),
            effect.cpu().numpy(),
            *(float(changes[rank, place]) if len(effect) > rank else float("nan") for rank in range(2)),
        )


def is_absorption(
    *,
    split_activations: np.ndarray,
    top_effect: float,
    second_effect: float,
    top_cosine: float,
    effect_margin: float,
    cosine_threshold: float,
    silent: float = 1e-8,
) -> bool:
    """Decide whether a word's top latent absorbs its letter (docs/method.md)."""
    return bool(
        (split_activations < silent).all()
        and top_effect <= 0
        and abs(top_effect) - abs(second_effect) >= effect_margin
        and top_cosine >= cosine_threshold
    )
