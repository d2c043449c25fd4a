"""Stage: the residual stream at words in their prompts, and in running text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from measure.prompts import batches

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from measure.models.base import LanguageModel, Prompt

_WINDOWS = 32


def word_streams(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    words: Sequence[int],
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


def text_streams(
    model: LanguageModel,
    windows: np.ndarray,
    layers: Sequence[int],
    out: dict[int, np.ndarray],
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Write the stream of each layer at every token of the windows but the first to `out`, (windows * tokens, d_model)."""
    tokens = windows.shape[1] - 1
    for start in range(0, len(windows), _WINDOWS):
        part = windows[start : start + _WINDOWS]
        ids = torch.from_numpy(part.astype(np.int64)).to(model.device)
        for layer, stream in model.streams(ids, layers).items():
            place = slice(start * tokens, (start + len(part)) * tokens)
            out[layer][place] = stream[:, 1:].flatten(0, 1).clamp(-65504, 65504).half().cpu().numpy()
        progress(len(part))


def ordinary(stream: np.ndarray) -> np.ndarray:
    """Tell which rows are not massive: their norm is at most ten times the median."""
    norms = np.linalg.norm(stream.astype(np.float32), axis=1)
    return norms <= 10 * np.median(norms)
