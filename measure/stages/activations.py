"""Stage: the residual stream at words in their prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from measure.models.loading import model_of
from measure.stages.prompts import batches, load_prompts, to_prompt
from measure.stages.vocabulary import load_vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from measure.models.base import LanguageModel, Prompt


def word_streams(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    words: np.ndarray,
    assigned: np.ndarray,
    layers: Sequence[int],
    progress: Callable[[int], None] = lambda _: None,
) -> dict[int, np.ndarray]:
    """Return the stream of each layer at words in their prompts, in float16."""
    found = {layer: np.empty((len(words), model.d_model), np.float16) for layer in layers}
    for places, tokens, prompt in batches(prompts, words, assigned, model.device):
        for layer, stream in model.word_streams(prompt, tokens, layers).items():
            found[layer][places] = stream.half().cpu().numpy()
        progress(len(places))
    return found


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Do the stage: every word in its own prompt, and each training word in every prompt, for SAEs to train on."""
    model, vocabulary, chosen = (
        model_of(settings, needs),
        load_vocabulary(needs["vocabulary"]),
        load_prompts(needs["prompts"]),
    )
    prompts = [to_prompt(text, model.tokenizer) for text in chosen.templates]
    train = vocabulary.ids[vocabulary.train]
    everywhere = np.repeat(np.arange(len(prompts)), len(train))
    total, done = len(vocabulary.ids) + len(everywhere), 0

    def count(number: int) -> None:
        nonlocal done
        done += number
        progress(done / total)

    for name, words, assigned in (
        ("words", vocabulary.ids, chosen.assigned),
        ("mix", np.tile(train, len(prompts)), everywhere),
    ):
        for layer, stream in word_streams(model, prompts, words, assigned, settings["layers"], count).items():
            np.save(out / f"{name}-{layer}.npy", stream)
