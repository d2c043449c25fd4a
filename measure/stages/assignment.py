"""Stage: select prompts, and assign them to words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from measure.stages.prompts import assign_prompts, draw_for_each_word
from measure.stages.trials import drawn, load_shares
from measure.stages.vocabulary import load_vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Run the stage: use the configured prompts, or draw one per word, or keep the best ones of the trials."""
    vocabulary, how = load_vocabulary(needs["vocabulary"]), settings["prompts"]
    test = vocabulary.test
    # The model is not asked if the family has no answers.
    asked = np.arange(len(test) if vocabulary.family.answers else 0)
    templates: list[str] = how["templates"]
    shares: list[Any] = [None] * len(templates)
    prompt_per_word = not templates and how["draw"] == "each_word"
    if prompt_per_word:
        choices = {name: how[name] for name in ("num_examples", "examples", "begin", "seed")}
        first, again = draw_for_each_word(vocabulary, **choices)
        templates, shares = first + again, [None] * len(first + again)
        assigned, tested_in = np.arange(len(first)), np.arange(len(first), len(templates))
        # Words do not share prompts, so asking the model about all of them would take as long as all other stages.
        asked = np.sort(np.random.RandomState(how["seed"]).permutation(len(test))[: how["sample"]])
    else:
        if not templates:
            tried, found = drawn(how, vocabulary), load_shares(needs["trials"])
            best = sorted(range(len(tried)), key=lambda place: -found[place])[: how["kept"]]
            templates, shares = [tried[place] for place in best], [found[place] for place in best]
        assigned = assign_prompts(len(vocabulary.ids), len(templates), how["assignment_seed"])
        tested_in = assigned[test]
    known = {"templates": templates, "shares": shares, "prompt_per_word": prompt_per_word}
    (out / "prompts.json").write_text(json.dumps(known), "utf-8")
    np.savez(out / "assigned.npz", assigned=assigned, tested_in=tested_in, asked=asked)
    progress(1)
