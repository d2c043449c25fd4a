"""Stage: the residual stream at words in their prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from measure.models.loading import model_of
from measure.stages.prompts import batches, load_prompts, to_prompt
from measure.stages.vocabulary import load_vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from measure.models.base import LanguageModel, Prompt

#: Prompts at a time where no two words share one.
_BATCH = 32


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
    if len(np.unique(assigned)) == len(words):
        for places, streams in _in_own_prompts(model, [prompts[number] for number in assigned], words, layers):
            for layer, stream in streams.items():
                found[layer][places] = stream.half().cpu().numpy()
            progress(len(places))
        return found
    for places, tokens, prompt in batches(prompts, words, assigned, model.device):
        for layer, stream in model.word_streams(prompt, tokens, layers).items():
            found[layer][places] = stream.half().cpu().numpy()
        progress(len(places))
    return found


def _in_own_prompts(
    model: LanguageModel, prompts: Sequence[Prompt], words: np.ndarray, layers: Sequence[int]
) -> Iterator[tuple[np.ndarray, dict[int, Tensor]]]:
    """Read words that share no prompt, prompts of one length at a time: places, and the stream of each layer."""
    lengths = np.array([len(prompt.prefix) for prompt in prompts])
    for length in np.unique(lengths):
        of_length = np.flatnonzero(lengths == length)
        for start in range(0, len(of_length), _BATCH):
            places = of_length[start : start + _BATCH]
            ids = torch.tensor([[*prompts[place].prefix, int(words[place])] for place in places], device=model.device)
            yield places, {layer: stream[:, -1] for layer, stream in model.streams(ids, layers).items()}


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Do the stage: words in their prompts, test words in those they are tested in, and training words for SAEs.

    SAEs train on each training word in every prompt, or, where each word has its own prompt, on it in that one.
    """
    model, vocabulary, chosen = (
        model_of(settings, needs),
        load_vocabulary(needs["vocabulary"]),
        load_prompts(needs["prompts"]),
    )
    prompts = [to_prompt(text, model.tokenizer) for text in chosen.templates]
    train, ids = vocabulary.train, vocabulary.ids
    passes = {"words": (ids, chosen.assigned)}
    if chosen.drawn_again:
        passes["test"] = (ids[vocabulary.test], chosen.tested_in)
    else:
        passes["mix"] = (np.tile(ids[train], len(prompts)), np.repeat(np.arange(len(prompts)), len(train)))
    total, done = sum(len(words) for words, _ in passes.values()), 0

    def count(number: int) -> None:
        nonlocal done
        done += number
        progress(done / total)

    for name, (words, assigned) in passes.items():
        for layer, stream in word_streams(model, prompts, words, assigned, settings["layers"], count).items():
            np.save(out / f"{name}-{layer}.npy", stream)
    for layer in settings["layers"]:
        stream = np.load(out / f"words-{layer}.npy", mmap_mode="r")
        same, rows = ("mix", train) if chosen.drawn_again else ("test", vocabulary.test)
        np.save(out / f"{same}-{layer}.npy", stream[rows])
