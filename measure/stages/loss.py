"""Stage: mean losses of the unchanged model and of mean ablation at each layer, from the parts of stage `losses`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from measure.stages.losses import CLEAN
from measure.stages.parts import part_folders
from measure.stages.text import load_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Run the stage."""
    parts = [np.load(part / "losses.npz") for part in part_folders(needs["losses"])]
    losses = {name: np.concatenate([part[name] for part in parts]) for name in parts[0].files}
    clean = losses.pop(CLEAN)
    of_sources = load_windows(needs["text"]).sources[: len(clean)]
    found: dict[str, Any] = {
        "clean": float(clean.mean()),
        "perplexity": float(np.exp(clean.mean())),
        "tokens": clean.size,
        "perplexity_by_source": {
            settings["sources"][source]: float(np.exp(clean[of_sources == source].mean()))
            for source in np.unique(of_sources)
        },
        "ablated": {layer: float(of_layer.mean()) for layer, of_layer in losses.items()},
    }
    (out / "loss.json").write_text(json.dumps(found), "utf-8")
    progress(1)
