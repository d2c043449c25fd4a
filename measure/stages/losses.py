"""Stage: the loss at held-out tokens, of the unchanged model and with a layer's stream replaced by its mean."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from measure.memory import batch_size
from measure.models.loading import model_of
from measure.stages.parts import load_streams, rows_of_part
from measure.stages.text import load_windows
from measure.streams import mean_of, not_massive

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor

    from measure.models.base import LanguageModel

#: Maximum batch size; larger batches are no faster.
WINDOWS = 8
CLEAN = "clean"


def losses_of(model: LanguageModel, windows: np.ndarray, replaced: dict[int, Callable[[Tensor], Tensor]]) -> np.ndarray:
    """Return the cross entropy of next tokens, without that after a window's first token, (windows, tokens - 2).

    `windows` has token ids, (windows, tokens); `replaced` is as in `LanguageModel.losses`.
    """
    ids = torch.from_numpy(windows.astype(np.int64)).to(model.device)
    size = batch_size(partial(model.losses, ids[:1], replaced), model.device, min(len(ids), WINDOWS))
    found = [model.losses(part, replaced)[:, 1:].double().cpu() for part in ids.split(size) if len(part)]
    return torch.cat(found or [torch.zeros(0, ids.shape[1] - 2)]).numpy()


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Run a part of the stage: some of the windows."""
    model, windows = model_of(settings, needs), load_windows(needs["text"])
    rows = rows_of_part(settings["for_loss"], settings)
    chosen, num_runs = windows.held_out[rows], len(settings["layers"]) + 1
    found = {CLEAN: losses_of(model, chosen, {})}
    progress(1 / num_runs)
    for layer in settings["layers"]:
        stream = load_streams(needs["text_activations"], str(layer))
        usual = np.flatnonzero(not_massive(stream, windows.num_held_out * (windows.ids.shape[1] - 1)))
        mean = torch.from_numpy(mean_of(stream, usual)).float().to(model.device)
        found[str(layer)] = losses_of(model, chosen, {layer: mean.expand_as})
        progress(len(found) / num_runs)
    np.savez(out / "losses.npz", **found)  # type: ignore[arg-type] # mypy cannot tell which parameters the keys are
