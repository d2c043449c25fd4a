"""Stage: the residual stream at words in their prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from measure.models.loading import model_of
from measure.stages.prompts import batches, load_prompts, to_prompt
from measure.stages.text_activations import as_float16
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
    for places, tokens, prompt in batches(model, prompts, words, assigned):
        for layer, stream in model.word_streams(prompt, tokens, layers).items():
            found[layer][places] = as_float16(stream)
        progress(len(places))
    return found


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Do the stage: every word in its own prompt; and each training word in every prompt where SAEs train on them."""
    model, vocabulary, chosen = (
        model_of(settings, needs),
        load_vocabulary(needs["vocabulary"]),
        load_prompts(needs["prompts"]),
    )
    prompts = [to_prompt(text, model.tokenizer) for text in chosen.templates]
    parts = [("words", vocabulary.ids, chosen.assigned)]
    if settings["mix"]:
        train = vocabulary.ids[vocabulary.train]
        everywhere = np.repeat(np.arange(len(prompts)), len(train))
        parts.append(("mix", np.tile(train, len(prompts)), everywhere))
    total, done = sum(len(words) for _, words, _ in parts), 0

    def count(number: int) -> None:
        nonlocal done
        done += number
        progress(done / total)

    for name, words, assigned in parts:
        for layer, stream in word_streams(model, prompts, words, assigned, settings["layers"], count).items():
            np.save(out / f"{name}-{layer}.npy", stream)
