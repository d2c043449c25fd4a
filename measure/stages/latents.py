"""Stage: which latents are active on words and on text.

On each word, on the test words in the prompts that they are tested in, on the text for evidence, and on that held out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from measure.device import best_device
from measure.saes.loading import open_sae
from measure.stages.activations import load_tested_in
from measure.stages.parts import load_streams
from measure.stages.prompts import load_prompts
from measure.stages.text import load_windows
from measure.stages.vocabulary import load_vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

#: The names of the files, without their ending.
WORDS, TEST, EVIDENCE, HELD_OUT = "words", "test", "evidence", "held_out"


def rows_of(windows: np.ndarray, length: int) -> np.ndarray:
    """Return the rows of the tokens of windows, of which each has `length`."""
    return (windows[:, None] * length + np.arange(length)).ravel()


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Do the stage."""
    windows, layer = load_windows(needs["text"]), settings["layer"]
    length = windows.ids.shape[1] - 1
    sae = open_sae(needs["sae"], best_device())
    vocabulary, chosen = load_vocabulary(needs["vocabulary"]), load_prompts(needs["prompts"])
    words = load_streams(needs["activations"], f"words-{layer}")
    text = load_streams(needs["text_activations"], str(layer))
    for done, (name, stream) in enumerate(
        (
            (WORDS, words[:]),
            (TEST, load_tested_in(needs["activations"], layer, vocabulary, chosen)),
            (EVIDENCE, text[rows_of(windows.evidence, length)]),
            (HELD_OUT, text[rows_of(np.arange(windows.num_held_out), length)]),
        ),
        start=1,
    ):
        sae.encode_sparse(stream).save(out / f"{name}.npz")
        progress(done / 4)
