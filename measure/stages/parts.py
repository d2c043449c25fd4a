"""Stage: what was computed in parts, on as many workers as there are, is read as one."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from measure.streams import Streams

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

#: In how many parts a stage is done that all SAEs wait for; the same for any number of workers.
NUM_PARTS = 8
_PARTS = "parts.json"


def part_folders(folder: Path) -> list[Path]:
    """Return the folders of the parts that one names, in their order; or that folder."""
    parts = folder / _PARTS
    return [folder / part for part in json.loads(parts.read_text("utf-8"))] if parts.exists() else [folder]


def load_streams(folder: Path, name: str) -> Streams:
    """Open the streams called `name` of a folder, or of the parts that it names.

    A part whose rows are not the next ones says which they are, for all layers: words-8 by words-rows.
    """
    folders = part_folders(folder)
    rows = [part / f"{name.partition('-')[0]}-rows.npy" for part in folders]
    order = np.concatenate([np.load(file) for file in rows]) if all(file.exists() for file in rows) else None
    return Streams([part / f"{name}.npy" for part in folders], order)


def rows_of_part(number: int, settings: Mapping[str, Any]) -> np.ndarray:
    """Return which of `number` things a part is of."""
    return np.array_split(np.arange(number), settings["parts"])[settings["part"]]


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Do the stage: name the parts, in their order, as they lie from here."""
    beside = [os.path.relpath(needs[str(part)], out) for part in range(settings["parts"])]
    (out / _PARTS).write_text(json.dumps(beside), "utf-8")
    progress(1)
