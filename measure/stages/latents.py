"""Stage: activations of latents on the words of a family, and on the test words in the prompts they are tested in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from measure.device import best_device
from measure.saes.loading import open_sae
from measure.stages.activations import load_tested_in
from measure.stages.parts import load_streams
from measure.stages.prompts import load_prompts
from measure.stages.vocabulary import load_vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

#: File names, without suffix.
WORDS, TEST = "words", "test"


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Run the stage."""
    layer, sae = settings["layer"], open_sae(needs["sae"], best_device())
    vocabulary, chosen = load_vocabulary(needs["vocabulary"]), load_prompts(needs["prompts"])
    words = sae.encode_sparse(load_streams(needs["activations"], f"words-{layer}"))
    words.save(out / f"{WORDS}.npz")
    progress(1 / 2)
    if chosen.prompt_per_word:
        tested = sae.encode_sparse(load_tested_in(needs["activations"], layer, vocabulary, chosen))
    else:
        tested = words.take(vocabulary.test)
    tested.save(out / f"{TEST}.npz")
    progress(1)
