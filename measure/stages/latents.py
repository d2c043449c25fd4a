"""Stage: which latents are active on the words, on the text for evidence, and on the text held out."""

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

#: The names of the files, without their ending.
WORDS, EVIDENCE, HELD_OUT = "words", "evidence", "held_out"


def rows_of(windows: np.ndarray, length: int) -> np.ndarray:
    """Return the rows of the tokens of windows, of which each has `length`."""
    return (windows[:, None] * length + np.arange(length)).ravel()


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Do the stage."""
    windows, layer = load_windows(needs["text"]), settings["layer"]
    length = windows.ids.shape[1] - 1
    sae = open_sae(needs["sae"], best_device())
    words = load_streams(needs["activations"], f"words-{layer}")
    text = load_streams(needs["text_activations"], str(layer))
    for done, (name, stream) in enumerate(
        (
            (WORDS, words[:]),
            (EVIDENCE, text[rows_of(windows.evidence, length)]),
            (HELD_OUT, text[rows_of(np.arange(windows.num_held_out), length)]),
        ),
        start=1,
    ):
        sae.encode_sparse(stream).save(out / f"{name}.npz")
        progress(done / 3)
