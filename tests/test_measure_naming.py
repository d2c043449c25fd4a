"""How measured SAEs are named in their suite."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from measure.plan import SaePlan
from measure.saes.loading import RECORD
from measure.stages.sparsity import LABELS
from measure.suite import name_saes
from measure.tasks import Task

if TYPE_CHECKING:
    from pathlib import Path

    from measure.stages.sparsity import Architecture


def planned(
    work: Path, l0: float, k: int, *, seed: int = 0, repeats: bool = False, architecture: Architecture = "batchtopk"
) -> SaePlan:
    """Plan an SAE that was trained and whose L0 was measured already."""
    task = Task("quality", {"k": k, "seed": seed, "architecture": architecture}, label=f"training k {k}")
    task.folder(work).mkdir(parents=True)
    quality = {"l0": l0, "n_latents": 64, "architecture": LABELS[architecture], "neuronpedia": None}
    quality |= dict.fromkeys(("variance_explained", "loss_recovered", "dead_fraction"))
    (task.folder(work) / "quality.json").write_text(json.dumps(quality), "utf-8")
    (task.folder(work) / RECORD).write_text(json.dumps({"tokens_seen": 40}), "utf-8")
    return SaePlan(3, architecture, 64, k, seed, repeats, None, {"quality": task, "sae": task})


def test_saes_are_named_by_layer_width_and_l0(tmp_path: Path) -> None:
    saes = [planned(tmp_path, 9.3, 9), planned(tmp_path, 10.2, 10)]
    saes += [planned(tmp_path, 10.6, 10, seed=1, repeats=True)]
    named = name_saes(saes, tmp_path)
    assert [sae.id for sae in named] == ["l3-w64-l0-9", "l3-w64-l0-10", "l3-w64-l0-10-s1"]
    assert [(sae.seed, sae.repeat_of) for sae in named] == [(0, None), (0, None), (1, "l3-w64-l0-10")]
    assert [(sae.l0, sae.l0_nominal) for sae in named] == [(9.3, 9), (10.2, 10), (10.6, 10)]


def test_saes_with_equal_rounded_l0_have_distinct_ids(tmp_path: Path) -> None:
    saes = [planned(tmp_path, 9.3, 8), planned(tmp_path, 8.51, 9), planned(tmp_path, 8.6, 9, seed=1, repeats=True)]
    assert [sae.id for sae in name_saes(saes, tmp_path)] == ["l3-w64-l0-9.3", "l3-w64-l0-8.51", "l3-w64-l0-8.51-s1"]


def test_architectures_of_equal_width_and_k_have_distinct_ids(tmp_path: Path) -> None:
    saes = [planned(tmp_path, 8.0, 8, architecture=one) for one in ("batchtopk", "matryoshka")]
    saes += [planned(tmp_path, 8.1, 8, seed=1, repeats=True, architecture=one) for one in ("batchtopk", "matryoshka")]
    named = name_saes(saes, tmp_path)
    first = ["l3-w64-batchtopk-l0-8", "l3-w64-matryoshka-batchtopk-l0-8"]
    assert [sae.id for sae in named] == [*first, *(f"{one}-s1" for one in first)]
    assert [sae.repeat_of for sae in named] == [None, None, *first]
