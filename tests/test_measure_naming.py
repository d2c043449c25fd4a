"""How measured SAEs are named in their suite."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from measure.plan import Plan, SaePlan
from measure.suite import name_saes
from measure.tasks import Task

if TYPE_CHECKING:
    from pathlib import Path


def planned(work: Path, l0: float, k: int, *, seed: int = 0, repeats: bool = False) -> SaePlan:
    """Plan an SAE whose L0 was measured already."""
    task = Task("quality", {"k": k, "seed": seed}, label=f"training k {k}")
    task.folder(work).mkdir(parents=True)
    (task.folder(work) / "quality.json").write_text(json.dumps({"l0": l0, "n_latents": 64}), "utf-8")
    return SaePlan(3, 64, k, seed, repeats, None, {"quality": task, "sae": task})


def test_an_l0_is_rounded_and_never_moved(tmp_path: Path) -> None:
    first, same, other = planned(tmp_path, 9.3, 8), planned(tmp_path, 8.51, 9), planned(tmp_path, 10.2, 10)
    again = planned(tmp_path, 8.6, 9, seed=1, repeats=True)
    naming = name_saes(Plan({}, {}, [first, same, other, again]), tmp_path)
    assert naming.keys == {
        id(first): {"layer": 3, "width": 64, "l0": 9},
        id(other): {"layer": 3, "width": 64, "l0": 10},
    }
    (sentence,) = naming.left_out
    assert sentence == (
        "training k 9 is left out: its L0 of 8.51 and the 9.30 of another SAE of the same layer and width are both 9"
        " when rounded, and a suite holds one of them."
    )
