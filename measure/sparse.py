"""Sparse matrices of latent activations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True)
class Sparse:
    """A sparse matrix (tokens, latents) in CSR format, which stores only active latents.

    Attributes
    ----------
    starts : numpy.ndarray
        Index of the first entry of each row, and the number of entries, (rows + 1,).
    latents, values : numpy.ndarray
        Active latents, ascending within a row, and their activations, (entries,).
    num_latents : int
    """

    starts: np.ndarray
    latents: np.ndarray
    values: np.ndarray
    num_latents: int

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return len(self.starts) - 1

    @cached_property
    def rows(self) -> np.ndarray:
        """The row of each entry, (entries,)."""
        return np.repeat(np.arange(self.num_rows), np.diff(self.starts))

    @cached_property
    def _by_latent(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self.latents, kind="stable")
        return order, np.searchsorted(self.latents[order], np.arange(self.num_latents + 1))

    def row(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the active latents of a row, and their activations."""
        place = slice(self.starts[number], self.starts[number + 1])
        return self.latents[place], self.values[place]

    def column(self, latent: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows in which a latent is active, and its activations there."""
        order, starts = self._by_latent
        place = order[starts[latent] : starts[latent + 1]]
        return self.rows[place], self.values[place]

    def dense(self, latents: Iterable[int]) -> np.ndarray:
        """Return the columns of `latents` as a dense array, (rows, latents)."""
        chosen = list(latents)
        full = np.zeros((self.num_rows, len(chosen)), np.float32)
        for place, latent in enumerate(chosen):
            rows, values = self.column(latent)
            full[rows, place] = values
        return full

    def counts(self) -> np.ndarray:
        """Return the number of rows in which each latent is active, (latents,)."""
        return np.bincount(self.latents, minlength=self.num_latents)

    def take(self, rows: np.ndarray) -> Sparse:
        """Return the given rows, in that order."""
        lengths = np.diff(self.starts)[rows]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        places = np.arange(starts[-1]) + np.repeat(self.starts[rows] - starts[:-1], lengths)
        return Sparse(starts, self.latents[places], self.values[places], self.num_latents)

    def save(self, file: Path) -> None:
        """Write it to a file."""
        np.savez(file, starts=self.starts, latents=self.latents, values=self.values, num_latents=self.num_latents)

    @classmethod
    def load(cls, file: Path) -> Sparse:
        """Read what `save` wrote."""
        with np.load(file) as arrays:
            return cls(arrays["starts"], arrays["latents"], arrays["values"], int(arrays["num_latents"]))

    @classmethod
    def stack(cls, pieces: Iterable[Sparse]) -> Sparse:
        """Concatenate matrices of the same latents along rows."""
        listed = list(pieces)
        lengths = np.concatenate([np.diff(piece.starts) for piece in listed])
        return cls(
            np.concatenate([[0], np.cumsum(lengths)]),
            np.concatenate([piece.latents for piece in listed]),
            np.concatenate([piece.values for piece in listed]),
            listed[0].num_latents,
        )
