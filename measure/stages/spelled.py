"""Stage: the model's answers for the test words in the prompts that they are tested in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from measure.models.loading import model_of
from measure.stages.parts import rows_of_part
from measure.stages.prompts import spell_words, to_prompt
from measure.stages.vocabulary import load_vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Run a part of the stage: some of the words, sorted by prompt."""
    model, vocabulary = model_of(settings, needs), load_vocabulary(needs["vocabulary"])
    templates = json.loads((needs["assignment"] / "prompts.json").read_text("utf-8"))["templates"]
    with np.load(needs["assignment"] / "assigned.npz") as arrays:
        tested_in, asked = arrays["tested_in"], arrays["asked"]
    # Sorted by prompt, so that few parts run the same prompt.
    in_order = asked[np.argsort(tested_in[asked], kind="stable")]
    rows = in_order[rows_of_part(len(in_order), settings)]
    used, places = np.unique(tested_in[rows], return_inverse=True)
    prompts = [to_prompt(templates[number], model.tokenizer) for number in used]
    words = vocabulary.test[rows]
    labels, answers = vocabulary.labels[words], vocabulary.family.answers
    spelled = spell_words(model, prompts, vocabulary.ids[words], labels, places, answers)
    np.savez(out / "spelled.npz", rows=rows, **spelled._asdict())
    progress(1)
