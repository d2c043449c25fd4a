"""Stage: activations of latents on the evidence text and on the held-out text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from measure.device import best_device
from measure.saes.loading import open_sae
from measure.stages.parts import load_streams
from measure.stages.text import load_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

#: File names, without suffix.
EVIDENCE, HELD_OUT = "evidence", "held_out"


def rows_of(windows: np.ndarray, length: int) -> np.ndarray:
    """Return the row numbers of the tokens of windows that have `length` tokens each."""
    return (windows[:, None] * length + np.arange(length)).ravel()


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Run the stage."""
    windows, sae = load_windows(needs["text"]), open_sae(needs["sae"], best_device())
    length = windows.ids.shape[1] - 1
    text = load_streams(needs["text_activations"], str(settings["layer"]))
    for name, windows_of in ((EVIDENCE, windows.evidence), (HELD_OUT, np.arange(windows.num_held_out))):
        sae.encode_sparse(text, rows_of(windows_of, length)).save(out / f"{name}.npz")
        progress(1 / 2)
    progress(1)
