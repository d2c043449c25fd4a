"""Stage: streams that were computed in parts, on as many workers as there are, read as one."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

#: In how many parts a stage is done that all SAEs wait for; the same for any number of workers.
NUM_PARTS = 8
_PARTS = "parts.json"


class Streams:
    """Rows that lie in several files, one below the other; those that are asked for are read.

    Parameters
    ----------
    files : sequence of Path
        Arrays of the same width.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._parts = [np.load(file, mmap_mode="r") for file in files]
        self._starts = np.cumsum([0, *map(len, self._parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        places = np.arange(len(self))[rows]
        of_parts = np.searchsorted(self._starts, places, side="right") - 1
        found = np.empty((len(places), self._parts[0].shape[1]), self._parts[0].dtype)
        for number in np.unique(of_parts):
            here = of_parts == number
            found[here] = self._parts[number][places[here] - self._starts[number]]
        return found


def load_streams(folder: Path, name: str) -> Streams:
    """Open the streams called `name` of a folder, or of the parts that it names."""
    parts = folder / _PARTS
    folders = [folder / part for part in json.loads(parts.read_text("utf-8"))] if parts.exists() else [folder]
    return Streams([part / f"{name}.npy" for part in folders])


def rows_of_part(number: int, settings: Mapping[str, Any]) -> np.ndarray:
    """Return which of `number` things a part is of."""
    return np.array_split(np.arange(number), settings["parts"])[settings["part"]]


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Do the stage: name the parts, in their order, as they lie from here."""
    beside = [os.path.relpath(needs[str(part)], out) for part in range(settings["parts"])]
    (out / _PARTS).write_text(json.dumps(beside), "utf-8")
    progress(1)
