"""Stage: combine the outputs of a stage that was computed in parts, possibly by several workers."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from measure.streams import Streams

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

#: Number of parts of a stage that all SAEs depend on; it does not depend on the number of workers.
NUM_PARTS = 8
_PARTS = "parts.json"


def part_folders(folder: Path) -> list[Path]:
    """Return the folders of the parts of a stage in order, or `folder` itself if it was not computed in parts."""
    parts = folder / _PARTS
    return [folder / part for part in json.loads(parts.read_text("utf-8"))] if parts.exists() else [folder]


def load_streams(folder: Path, name: str) -> Streams:
    """Open the streams called `name` of a stage that may have been computed in parts.

    If the rows of a part are not contiguous, it stores their numbers in one file for all layers: those of words-8 are
    in words-rows.
    """
    folders = part_folders(folder)
    rows = [part / f"{name.partition('-')[0]}-rows.npy" for part in folders]
    order = np.concatenate([np.load(file) for file in rows]) if all(file.exists() for file in rows) else None
    return Streams([part / f"{name}.npy" for part in folders], order)


def rows_of_part(number: int, settings: Mapping[str, Any]) -> np.ndarray:
    """Return the indices, of `number` items, that a part processes."""
    return np.array_split(np.arange(number), settings["parts"])[settings["part"]]


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Run the stage: write the relative paths of the parts, in order."""
    paths = [os.path.relpath(needs[str(part)], out) for part in range(settings["parts"])]
    (out / _PARTS).write_text(json.dumps(paths), "utf-8")
    progress(1)
