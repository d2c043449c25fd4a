"""Stage: the residual stream at words in their prompts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from measure.memory import batch_size
from measure.models.loading import model_of
from measure.stages.parts import load_streams, rows_of_part
from measure.stages.prompts import batches, load_prompts, to_prompt
from measure.stages.text_activations import as_float16
from measure.stages.vocabulary import load_vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from measure.models.base import LanguageModel, Prompt
    from measure.stages.prompts import Chosen
    from measure.stages.vocabulary import Vocabulary

#: Maximum batch size if each word has its own prompt; larger batches are no faster.
_BATCH = 32


def word_streams(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    words: np.ndarray,
    assigned: np.ndarray,
    layers: Sequence[int],
    progress: Callable[[int], None] = lambda _: None,
) -> dict[int, np.ndarray]:
    """Return the stream of each layer at words in their prompts, (words, d_model), in float16."""
    found = {layer: np.empty((len(words), model.d_model), np.float16) for layer in layers}
    # If no two words share a prompt, prompts of equal length are batched.
    if len(np.unique(assigned)) == len(words):
        for places, streams in _in_own_prompts(model, [prompts[number] for number in assigned], words, layers):
            for layer, stream in streams.items():
                found[layer][places] = as_float16(stream)
            progress(len(places))
        return found

    def read(prompt: Prompt, tokens: Tensor) -> dict[int, Tensor]:
        return model.word_streams(prompt, tokens, layers)

    for places, streams in batches(read, model.device, prompts, words, assigned):
        for layer, stream in streams.items():
            found[layer][places] = as_float16(stream)
        progress(len(places))
    return found


def _in_own_prompts(
    model: LanguageModel, prompts: Sequence[Prompt], words: np.ndarray, layers: Sequence[int]
) -> Iterator[tuple[np.ndarray, dict[int, Tensor]]]:
    """Run words with their own prompts, batched by length; yield indices and the stream of each layer."""
    lengths = np.array([len(prompt.prefix) for prompt in prompts])
    for length in np.unique(lengths):
        of_length = np.flatnonzero(lengths == length)
        tokens = [[*prompts[place].prefix, int(words[place])] for place in of_length.tolist()]
        ids = torch.tensor(tokens, device=model.device)
        size = batch_size(partial(model.streams, ids[:1], layers), model.device, min(len(ids), _BATCH))
        for start in range(0, len(ids), size):
            streams = model.streams(ids[start : start + size], layers)
            yield of_length[start : start + size], {layer: stream[:, -1] for layer, stream in streams.items()}


def load_tested_in(folder: Path, layer: int, vocabulary: Vocabulary, chosen: Chosen) -> np.ndarray:
    """Load the stream at the test words in the prompts that they are tested in, (test words, d_model).

    If each word has its own prompt, test words have a second one for this; otherwise their rows are those of all words.
    """
    if chosen.prompt_per_word:
        return load_streams(folder, f"test-{layer}")[:]
    return load_streams(folder, f"words-{layer}")[vocabulary.test]


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Run a part of the stage: words in their prompts, test words in their second prompts, and training words for SAEs.

    SAEs train on each training word in every prompt or, if each word has its own prompt, in that one. These activations
    ("mix") are only computed for layers at which an SAE is trained.
    """
    model, vocabulary, chosen = (
        model_of(settings, needs),
        load_vocabulary(needs["vocabulary"]),
        load_prompts(needs["prompts"]),
    )
    prompts = [to_prompt(text, model.tokenizer) for text in chosen.templates]
    # Sorted by prompt, so that few parts run the same prompt.
    order = np.argsort(chosen.assigned, kind="stable")
    of_part = order[rows_of_part(len(order), settings)]
    np.save(out / "words-rows.npy", of_part)
    passes = {"words": (vocabulary.ids[of_part], chosen.assigned[of_part])}
    if chosen.prompt_per_word:
        rows = rows_of_part(len(vocabulary.test), settings)
        passes["test"] = (vocabulary.ids[vocabulary.test[rows]], chosen.tested_in[rows])
    elif settings["mix"]:
        prompt, place = np.divmod(rows_of_part(len(prompts) * len(vocabulary.train), settings), len(vocabulary.train))
        passes["mix"] = (vocabulary.ids[vocabulary.train[place]], prompt)
    total, done = sum(len(words) for words, _ in passes.values()), 0

    def count(number: int) -> None:
        nonlocal done
        done += number
        progress(done / total)

    for name, (words, assigned) in passes.items():
        layers = settings["mix" if name == "mix" else "layers"]
        for layer, stream in word_streams(model, prompts, words, assigned, layers, count).items():
            np.save(out / f"{name}-{layer}.npy", stream)
            if name == "words" and chosen.prompt_per_word and layer in settings["mix"]:
                np.save(out / f"mix-{layer}.npy", stream[np.isin(of_part, vocabulary.train)])
