"""Stage: how many latents share a letter."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from measure.stages.k_sparse import load_k_sparse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

#: The last k at which a latent may still be accepted.
MAX_SPLIT = 15


def num_split_latents(f1: Mapping[int, float], tau: float) -> int:
    """Count the split latents: from the first on, each that lifts F1 by more than `tau` over the one before.

    Parameters
    ----------
    f1 : mapping of int to float
        F1 by k.
    tau : float
    """
    number = 1
    # Rounded, lest 0.73 - 0.70 exceed 0.03.
    while number < MAX_SPLIT and number + 1 in f1 and round(f1[number + 1] - f1[number], 9) > tau:
        number += 1
    return number


def load_splits(folder: Path) -> dict[int, int]:
    """Read what the stage wrote: the number of split latents by letter."""
    known = json.loads((folder / "splits.json").read_text("utf-8"))
    return {int(letter): number for letter, number in known.items()}


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Do the stage."""
    scores = load_k_sparse(needs["k_sparse"]).scores
    found = {
        letter: num_split_latents({k: of_k.f1 for k, of_k in by_k.items()}, settings["tau"])
        for letter, by_k in scores.items()
    }
    (out / "splits.json").write_text(json.dumps(found), "utf-8")
    progress(1)
