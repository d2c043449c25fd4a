"""Stage: the residual stream in running text."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from measure.memory import batch_size
from measure.models.loading import model_of
from measure.stages.parts import rows_of_part
from measure.stages.text import load_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from measure.models.base import LanguageModel

#: Maximum batch size; larger batches are no faster.
WINDOWS = 32


def as_float16(stream: Tensor) -> np.ndarray:
    """Convert a stream to float16; values outside its range are clipped."""
    return stream.clamp(-65504, 65504).half().cpu().numpy()


def text_streams(
    model: LanguageModel,
    windows: np.ndarray,
    layers: Sequence[int],
    out: dict[int, np.ndarray],
    progress: Callable[[float], None] = lambda _: None,
) -> None:
    """Write the stream of each layer at all tokens of windows except the first to `out[layer]`, (tokens, d_model)."""
    tokens = windows.shape[1] - 1
    ids = torch.from_numpy(windows.astype(np.int64)).to(model.device)
    size = batch_size(partial(model.streams, ids[:1], layers), model.device, min(len(ids), WINDOWS))
    for start in range(0, len(ids), size):
        end = min(start + size, len(ids))
        for layer, stream in model.streams(ids[start:end], layers).items():
            out[layer][start * tokens : end * tokens] = as_float16(stream[:, 1:].flatten(0, 1))
        progress(end / len(ids))


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Run a part of the stage: some of the windows, in order."""
    model, windows = model_of(settings, needs), load_windows(needs["text"])
    ids = windows.ids[rows_of_part(len(windows.ids), settings)]
    rows = ids.shape[0] * (ids.shape[1] - 1)
    streams: dict[int, np.ndarray] = {
        layer: np.lib.format.open_memmap(out / f"{layer}.npy", "w+", np.float16, (rows, model.d_model))
        for layer in settings["layers"]
    }
    text_streams(model, ids, settings["layers"], streams, progress)
