"""Stage: the model's accuracy in each of the drawn prompts, on a sample of training words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from measure.models.loading import model_of
from measure.stages.parts import part_folders, rows_of_part
from measure.stages.prompts import draw_templates, share_spelled
from measure.stages.vocabulary import load_vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from measure.stages.vocabulary import Vocabulary


def drawn(how: Mapping[str, Any], vocabulary: Vocabulary) -> list[str]:
    """Draw the prompts to try; all parts of the stage draw the same ones."""
    return draw_templates(vocabulary, number=how["drawn"], num_examples=how["num_examples"], seed=how["seed"])


def load_shares(folder: Path) -> list[float]:
    """Load the accuracy in each prompt, from all parts."""
    return np.concatenate([np.load(part / "shares.npy") for part in part_folders(folder)]).tolist()


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Run a part of the stage: some of the prompts."""
    model, vocabulary, how = model_of(settings, needs), load_vocabulary(needs["vocabulary"]), settings["prompts"]
    templates, rows = drawn(how, vocabulary), rows_of_part(how["drawn"], settings)
    shares = np.zeros(len(rows))
    for done, row in enumerate(rows):
        progress(done / len(rows))
        shares[done] = share_spelled(model, vocabulary, templates[row], num_words=how["sample"], seed=how["seed"])
    np.save(out / "shares.npy", shares)
    progress(1)
