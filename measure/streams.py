"""Streams that lie on disk, of which some rows are read at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

#: Bytes of rows that are looked at together where all are gone through.
_PIECE = 2**26


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

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows, and their width."""
        return len(self), self._parts[0].shape[1]

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        places = self._places[rows]
        of_parts = np.searchsorted(self._starts, places, side="right") - 1
        found = np.empty((len(places), self.shape[1]), self._parts[0].dtype)
        for number in np.unique(of_parts):
            here = of_parts == number
            found[here] = self._parts[number][places[here] - self._starts[number]]
        return found


def in_pieces(stream: np.ndarray | Streams, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Go through rows of a stream, as float32."""
    size = max(_PIECE // (4 * stream.shape[1]), 1)
    for start in range(0, len(rows), size):
        yield stream[rows[start : start + size]].astype(np.float32)


def ordinary(stream: np.ndarray | Streams, number: int | None = None) -> np.ndarray:
    """Tell which of the first `number` rows, or of all, are not massive: their norm is at most ten times the median."""
    rows = np.arange(len(stream) if number is None else number)
    norms = np.concatenate([np.linalg.norm(piece, axis=1) for piece in in_pieces(stream, rows)])
    return norms <= 10 * np.median(norms)


def mean_of(stream: np.ndarray | Streams, rows: np.ndarray) -> np.ndarray:
    """Return the mean of rows, in float64."""
    return np.sum([piece.sum(0, dtype=np.float64) for piece in in_pieces(stream, rows)], axis=0) / len(rows)
