"""Measuring at scale: what is expensive is shared by workers, and done in pieces that fit into memory."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from sae_lens import TopKSAE, TopKSAEConfig

from measure.config import read_config
from measure.engine import perform_all
from measure.models.loading import open_model
from measure.plan import Plan, make_plan
from measure.stages.parts import NUM_PARTS
from measure.stages.prompts import load_prompts, share_spelled, spell_words, to_prompt
from measure.stages.trials import drawn
from measure.stages.vocabulary import load_vocabulary
from measure.tasks import in_order
from tests.small_measurement import NUM_LATENTS, write_config, write_model, write_sae
from tests.small_models import D_MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from measure.tasks import Task


class Measurement(NamedTuple):
    """A small measurement whose tasks are done: its plan, and where they lie."""

    plan: Plan
    folder: Path
    work: Path

    def done(self, task: Task) -> Path:
        return task.folder(self.work)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measurement]:
    folder = tmp_path_factory.mktemp("scale")
    write_model(folder / "model")
    write_sae(folder / "few", TopKSAE(TopKSAEConfig(d_in=D_MODEL, d_sae=NUM_LATENTS, k=3)))
    plan = make_plan(read_config(write_config(folder, {"few": ""}, {})), folder)
    assert perform_all(plan.tasks, folder / "work") == {}
    yield Measurement(plan, folder, folder / "work")
    open_model.cache_clear()


def test_what_all_saes_wait_for_is_shared_by_workers(small: Measurement) -> None:
    stages = Counter(task.stage for task in in_order(*small.plan.shared.values()))
    assert {stage for stage, number in stages.items() if number == NUM_PARTS} == {
        *("trials", "spelled", "activations", "text_activations", "losses"),
    }
    ahead = {task.stage for task in in_order(*small.plan.shared.values()) if "model" in task.settings}
    # What is not shared computes little: words and text are read off the tokenizer.
    assert ahead - {stage for stage, number in stages.items() if number == NUM_PARTS} == {"vocabulary", "text"}


def test_prompts_are_tried_and_words_spelled_in_parts_as_in_one(small: Measurement) -> None:
    vocabulary = load_vocabulary(small.done(small.plan.shared["vocabulary"]))
    chosen = load_prompts(small.done(small.plan.shared["prompts"]))
    model = open_model((small.folder / "model").resolve(), "float32")
    how = read_config(small.folder / "tiny.toml").prompts
    tried = {
        text: share_spelled(model, vocabulary, text, num_words=how.sample, seed=how.seed)
        for text in drawn(how.model_dump(), vocabulary)
    }
    assert chosen.templates == sorted(tried, key=lambda text: -tried[text])[: how.kept]
    assert chosen.shares == [tried[text] for text in chosen.templates]
    prompts = [to_prompt(text, model.tokenizer) for text in chosen.templates]
    test = vocabulary.test
    expected = spell_words(model, prompts, vocabulary.ids[test], vocabulary.letters[test], chosen.tested_in)
    assert (chosen.spelled.answers == expected.answers).all()
    np.testing.assert_allclose(chosen.spelled.metrics, expected.metrics, atol=1e-4)
