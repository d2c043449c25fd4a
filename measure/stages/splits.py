"""Stage: the number of split latents per concept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from measure.stages.k_sparse import MAX_SPLIT, load_k_sparse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def num_split_latents(f1: Mapping[int, float], tau: float, errors: Mapping[int, float] | None = None) -> int:
    """Return the number of split latents: the largest k up to which each latent adds more than `tau` to F1.

    Parameters
    ----------
    f1 : mapping of int to float
        F1 by k.
    tau : float
    errors : mapping of int to float, optional
        Standard error of each F1 gain, by k; if given, gains must exceed it, too.
    """
    number = 1
    # Rounded, because 0.73 - 0.70 > 0.03 in floating point.
    while number < MAX_SPLIT and number + 1 in f1:
        if round(f1[number + 1] - f1[number], 9) <= max(tau, errors[number + 1] if errors else 0):
            break
        number += 1
    return number


def load_splits(folder: Path) -> dict[int, int]:
    """Load the stage's output: the number of split latents by concept."""
    known = json.loads((folder / "splits.json").read_text("utf-8"))
    return {int(letter): number for letter, number in known.items()}


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Run the stage."""
    known = load_k_sparse(needs["k_sparse"])
    found = {
        letter: num_split_latents({k: of_k.f1 for k, of_k in by_k.items()}, settings["tau"])
        for letter, by_k in known.scores.items()
    }
    # If words have folds, the number is chosen on training words only.
    found |= {
        letter: num_split_latents(curve.f1, settings["tau"], curve.errors) for letter, curve in known.curves.items()
    }
    (out / "splits.json").write_text(json.dumps(found), "utf-8")
    progress(1)
