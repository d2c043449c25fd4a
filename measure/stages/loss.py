"""Stage: the model's loss on text held out, as it is and with the mean in place of a layer's stream."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from measure.models.loading import model_of
from measure.stages.parts import load_streams
from measure.stages.quality import mean_loss
from measure.stages.text import load_windows
from measure.streams import mean_of, ordinary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Do the stage."""
    model, windows = model_of(settings, needs), load_windows(needs["text"])
    length = windows.ids.shape[1] - 1
    held_out = windows.held_out[: settings["for_loss"]]
    of_sources = windows.sources[: len(held_out)]
    clean = mean_loss(model, held_out, {})
    found: dict[str, Any] = {"clean": clean, "perplexity": float(np.exp(clean)), "tokens": held_out[:, 2:].size}
    found["perplexity_by_source"] = {
        settings["sources"][source]: float(np.exp(mean_loss(model, held_out[of_sources == source], {})))
        for source in np.unique(of_sources)
    }
    found["ablated"] = {}
    for done, layer in enumerate(settings["layers"], start=1):
        stream = load_streams(needs["text_activations"], str(layer))
        usual = np.flatnonzero(ordinary(stream, windows.num_held_out * length))
        mean = torch.from_numpy(mean_of(stream, usual)).float().to(model.device)
        found["ablated"][layer] = mean_loss(model, held_out, {layer: mean.expand_as})
        progress(done / len(settings["layers"]))
    (out / "loss.json").write_text(json.dumps(found), "utf-8")
