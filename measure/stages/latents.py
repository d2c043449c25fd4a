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
    words = sae.encode_sparse(load_streams(needs["activations"], f"words-{layer}"))
    words.save(out / f"{WORDS}.npz")
    progress(1 / 4)
    if chosen.drawn_again:
        tested = sae.encode_sparse(load_tested_in(needs["activations"], layer, vocabulary, chosen))
    else:
        tested = words.take(vocabulary.test)
    tested.save(out / f"{TEST}.npz")
    text = load_streams(needs["text_activations"], str(layer))
    for done, (name, windows_of) in enumerate(
        ((EVIDENCE, windows.evidence), (HELD_OUT, np.arange(windows.num_held_out))), start=2
    ):
        progress(done / 4)
        sae.encode_sparse(text, rows_of(windows_of, length)).save(out / f"{name}.npz")
    progress(1)
