"""Measuring at scale: expensive stages are divided among workers, and processed in chunks that fit into memory."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import pytest
from sae_lens import TopKSAE, TopKSAEConfig

from measure import memory, streams
from measure.config import read_config
from measure.cost import effort, estimate, facts_of
from measure.engine import perform_all
from measure.models.loading import open_model
from measure.plan import Plan, make_plan
from measure.saes import base
from measure.stages import ablation, activations, evidence, losses, prompts, text_activations
from measure.stages.parts import NUM_PARTS
from measure.stages.prompts import load_prompts, share_spelled, spell_words, to_prompt
from measure.stages.text import load_windows
from measure.stages.trials import drawn
from measure.stages.vocabulary import load_vocabulary
from measure.tasks import in_order
from tests.small_measurement import NUM_LATENTS, write_config, write_model, write_sae
from tests.small_models import D_MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import torch

    from measure.tasks import Task


class Measurement(NamedTuple):
    """A small measurement with finished tasks: its plan and folders."""

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


def test_shared_stages_are_divided_among_workers(small: Measurement) -> None:
    stages = Counter(task.stage for task in in_order(*small.plan.shared.values()))
    assert {stage for stage, number in stages.items() if number == NUM_PARTS} == {
        *("trials", "spelled", "activations", "text_activations", "losses"),
    }
    ahead = {task.stage for task in in_order(*small.plan.shared.values()) if "model" in task.settings}
    # Stages that are not divided compute little: words and text are read with the tokenizer.
    assert ahead - {stage for stage, number in stages.items() if number == NUM_PARTS} == {"vocabulary", "text"}


def test_prompts_and_spelling_in_parts_equal_those_in_one(small: Measurement) -> None:
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
    expected = spell_words(model, prompts, vocabulary.ids[test], vocabulary.labels[test], chosen.tested_in)
    assert (chosen.spelled.answers == expected.answers).all()
    np.testing.assert_allclose(chosen.spelled.metrics, expected.metrics, atol=1e-4)


@pytest.mark.parametrize("free", [2**18, 1], ids=["little memory", "none"])
def test_results_do_not_depend_on_the_available_memory(
    small: Measurement, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    """Computations in chunks, with the sizes of chunks for little memory."""
    sizes: dict[bool, list[int]] = {True: [], False: []}
    plain = memory.batch_size

    def batch_size(run: Callable[[], object], device: torch.device, most: int, number: int = 1) -> int:
        size = plain(run, device, most, number)
        sizes[size < most].append(size)
        return size

    monkeypatch.setattr(memory, "free_memory", lambda _: free)
    monkeypatch.setattr(streams, "_PIECE", 1000)
    for module in (prompts, activations, text_activations, losses, ablation, evidence, base):
        monkeypatch.setattr(module, "batch_size", batch_size)
    assert perform_all(small.plan.tasks, tmp_path) == {}
    assert len(sizes[True]) > 20
    assert set(sizes[True]) == {1} if free == 1 else max(sizes[True]) > 1
    for task in in_order(*small.plan.tasks):
        for file in small.done(task).rglob("*"):
            if file.is_file():
                _check_same(file, task.folder(tmp_path) / file.relative_to(small.done(task)))


#: Streams are stored as half floats; their rounding depends on the batch size and the processor. If large products
#: cancel each other, it is small relative to the largest.
_ROUNDED = 5e-3
#: Activations on words have eight significant bits: two close values may be rounded in different directions.
_ONE_BIT = 2**-7


def _check_same(one: Path, other: Path) -> None:
    """Compare two files up to rounding."""
    match one.suffix:
        case ".npz":
            with np.load(one) as first, np.load(other) as second:
                assert first.files == second.files
                for name in (name for name in first.files if first[name].dtype.kind != "U"):
                    _check_close(first[name], second[name], f"{one}: {name}")
        case ".npy":
            _check_close(np.load(one), np.load(other), str(one))
        case ".parquet":
            frames = [pd.read_parquet(file) for file in (one, other)]
            rtol = _ONE_BIT if one.stem == "token_activations" else 2e-3
            pd.testing.assert_frame_equal(*frames, rtol=rtol, atol=2e-3, obj=str(one))
        case _:
            assert one.name == "parts.json" or _close(*(json.loads(file.read_text("utf-8")) for file in (one, other)))


def _check_close(one: np.ndarray, other: np.ndarray, what: str) -> None:
    size = np.abs(other[np.isfinite(other)]).max(initial=1.0)
    np.testing.assert_allclose(one, other, rtol=_ROUNDED, atol=_ROUNDED * size, err_msg=what)


def _close(one: object, other: object) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_close(one[key], other[key]) for key in one)
    return one == other or one == pytest.approx(other, rel=2e-3)


def test_cost_estimate_matches_the_tasks(small: Measurement) -> None:
    config = read_config(small.folder / "tiny.toml")
    model = open_model((small.folder / "model").resolve(), "float32")
    facts = facts_of(model, config, small.folder)
    tasks = in_order(*small.plan.tasks)
    cost = estimate(small.plan, tasks, facts, config, 1)
    vocabulary = load_vocabulary(small.done(small.plan.shared["vocabulary"]))
    windows = load_windows(small.done(small.plan.shared["text"]))
    assert (facts.text, facts.active) == (len(windows.ids), 3)
    assert facts.families == {"first-letter": (len(vocabulary.ids), len(vocabulary.test), 26)}
    held = sum(
        file.stat().st_size
        for stage in ("activations", "text_activations", "latents", "text_latents")
        for file in (small.work / stage).rglob("*.np[yz]")
    )
    assert 0.8 * held < cost.disk < 1.5 * held
    # If one chunk takes twice as long, so do the stages that consist of such chunks.
    (task,) = (task for task in tasks if task.stage == "ablation")
    slower = replace(facts, tested=facts.tested._replace(seconds=2 * facts.tested.seconds))
    assert effort(task, slower, config) == pytest.approx(2 * effort(task, facts, config))
    assert cost.seconds == pytest.approx(sum(effort(task, facts, config) for task in tasks))
    assert estimate(small.plan, tasks, facts, config, 2).memory > cost.memory > 2 * 1200 * D_MODEL
