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
    order : numpy.ndarray, optional
        Which row each one is that lies there; they lie in their order where none is given.
    """

    def __init__(self, files: Sequence[Path], order: np.ndarray | None = None) -> None:
        self._parts = [np.load(file, mmap_mode="r") for file in files]
        self._starts = np.cumsum([0, *map(len, self._parts)])
        self._places = np.arange(len(self)) if order is None else np.argsort(order)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        places = self._places[rows]
        of_parts = np.searchsorted(self._starts, places, side="right") - 1
        found = np.empty((len(places), self._parts[0].shape[1]), self._parts[0].dtype)
        for number in np.unique(of_parts):
            here = of_parts == number
            found[here] = self._parts[number][places[here] - self._starts[number]]
        return found


def load_streams(folder: Path, name: str) -> Streams:
    """Open the streams called `name` of a folder, or of the parts that it names.

    A part whose rows are not the next ones says which they are, for all layers: words-8 by words-rows.
    """
    parts = folder / _PARTS
    folders = [folder / part for part in json.loads(parts.read_text("utf-8"))] if parts.exists() else [folder]
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
