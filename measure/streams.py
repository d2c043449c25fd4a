"""Activations of the residual stream on disk, from which rows are read as needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

#: Bytes of rows that are read at once by `in_pieces`.
_PIECE = 2**26


class Streams:
    """The concatenated rows of several files; indexing reads only the selected rows.

    Parameters
    ----------
    files : sequence of Path
        Arrays (.npy) of the same width.
    order : numpy.ndarray, optional
        The row number of each stored row; by default, rows are stored in order.
    """

    def __init__(self, files: Sequence[Path], order: np.ndarray | None = None) -> None:
        self._parts = [np.load(file, mmap_mode="r") for file in files]
        self._starts = np.cumsum([0, *map(len, self._parts)])
        self._places = np.arange(len(self)) if order is None else np.argsort(order)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, d_model)."""
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
    """Yield rows of a stream in pieces of limited size, as float32."""
    size = max(_PIECE // (4 * stream.shape[1]), 1)
    for start in range(0, len(rows), size):
        yield stream[rows[start : start + size]].astype(np.float32)


def not_massive(stream: np.ndarray | Streams, number: int | None = None) -> np.ndarray:
    """Return a mask of the first `number` rows (default all) whose norm is at most ten times the median."""
    rows = np.arange(len(stream) if number is None else number)
    norms = np.concatenate([np.linalg.norm(piece, axis=1) for piece in in_pieces(stream, rows)])
    return norms <= 10 * np.median(norms)


def mean_of(stream: np.ndarray | Streams, rows: np.ndarray) -> np.ndarray:
    """Return the mean of rows, (d_model,), in float64."""
    return np.sum([piece.sum(0, dtype=np.float64) for piece in in_pieces(stream, rows)], axis=0) / len(rows)
