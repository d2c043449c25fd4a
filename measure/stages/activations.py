"""Stage: the residual stream at words in their prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from measure.models.loading import model_of
from measure.stages.parts import rows_of_part
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
    """Do a part of the stage: every word in its own prompt; for SAEs to train on, training words in every prompt."""
    model, vocabulary, chosen = (
        model_of(settings, needs),
        load_vocabulary(needs["vocabulary"]),
        load_prompts(needs["prompts"]),
    )
    prompts = [to_prompt(text, model.tokenizer) for text in chosen.templates]
    # Prompt by prompt, so that few parts have to read the same prompt.
    order = np.argsort(chosen.assigned, kind="stable")
    np.save(out / "words-rows.npy", order[rows_of_part(len(order), settings)])
    listed = [("words", vocabulary.ids[order], chosen.assigned[order])]
    if settings["mix"]:
        train = vocabulary.ids[vocabulary.train]
        everywhere = np.repeat(np.arange(len(prompts)), len(train))
        listed.append(("mix", np.tile(train, len(prompts)), everywhere))
    of_part = [rows_of_part(len(words), settings) for _, words, _ in listed]
    total, done = sum(map(len, of_part)), 0

    def count(number: int) -> None:
        nonlocal done
        done += number
        progress(done / total)

    for (name, words, assigned), rows in zip(listed, of_part, strict=True):
        streams = word_streams(model, prompts, words[rows], assigned[rows], settings["layers"], count)
        for layer, stream in streams.items():
            np.save(out / f"{name}-{layer}.npy", stream)
