"""What measuring asks of an SAE, whoever trained it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from measure.memory import batch_size
from measure.sparse import Sparse

if TYPE_CHECKING:
    from torch import Tensor

    from measure.streams import Streams

#: Activations, of all latents, and rows of them that are held in full at a time: more are no faster.
_DENSE = 2**26
_ROWS = 2048
#: Rows on which it is measured what memory one takes, so that what all share hardly counts.
_TRIED = 16


class Sae(ABC):
    """A sparse autoencoder on the residual stream after one block.

    Attributes
    ----------
    architecture : str
    hook : str or None
        What it says that it reads, in TransformerLens's terms or those of `transformers`.
    neuronpedia : str or None
        Where it says that Neuronpedia hosts it: model/SAE.
    centred : bool
        Whether it was trained on a model whose stream has a mean of 0, by the weights that write to it.
    directions : Tensor
        What one unit of each latent adds to the stream, (latents, d_model).
    encoder : Tensor
        Direction of the stream that each latent looks for, (latents, d_model).
    """

    architecture: str
    hook: str | None = None
    neuronpedia: str | None = None
    centred: bool = False
    directions: Tensor
    encoder: Tensor

    @property
    def num_latents(self) -> int:
        """Number of latents."""
        return self.directions.shape[0]

    @property
    def d_model(self) -> int:
        """Width of the stream."""
        return self.directions.shape[1]

    @abstractmethod
    def encode(self, stream: Tensor) -> Tensor:
        """Return the activations of all latents, (rows, latents)."""

    @abstractmethod
    def reconstruct(self, stream: Tensor) -> Tensor:
        """Return the stream as the SAE gives it back."""

    def seen(self, stream: Tensor) -> Tensor:
        """Return what encoder directions are multiplied with, less what is the same for all tokens, (rows, d_model)."""
        return stream

    def without_latents(self, stream: Tensor) -> Tensor:
        """Return what the SAE would give back of the stream if no latent were active."""
        with torch.no_grad():
            return self.reconstruct(stream) - self.encode(stream) @ self.directions

    @cached_property
    def rows_at_once(self) -> int:
        """Number of rows whose activations are held in full at a time, if there is memory for so many."""
        most = max(min(_ROWS, _DENSE // self.num_latents), 1)
        tried = torch.ones(min(most, _TRIED), self.d_model, device=self.directions.device)
        with torch.no_grad():
            return batch_size(lambda: self.reconstruct(tried), tried.device, most, len(tried))

    def encode_sparse(self, stream: np.ndarray | Streams, rows: np.ndarray | None = None) -> Sparse:
        """Encode rows of a stream, all of them where none are given, some at a time; keep what is active."""
        chosen = np.arange(len(stream)) if rows is None else rows
        pieces = [Sparse(np.zeros(1, int), np.zeros(0, np.int32), np.zeros(0, np.float32), self.num_latents)]
        with torch.no_grad():
            for start in range(0, len(chosen), self.rows_at_once):
                part = torch.from_numpy(stream[chosen[start : start + self.rows_at_once]].astype(np.float32))
                active = self.encode(part.to(self.directions.device)).cpu().numpy()
                places = np.flatnonzero(active)
                starts = np.searchsorted(places, np.arange(len(active) + 1) * active.shape[1])
                latents = (places % active.shape[1]).astype(np.int32)
                pieces.append(Sparse(starts, latents, active.ravel()[places], active.shape[1]))
        return Sparse.stack(pieces)

    def reconstruct_all(self, stream: Tensor) -> Tensor:
        """Return the stream as the SAE gives it back, some rows at a time."""
        return torch.cat([self.reconstruct(part) for part in stream.split(self.rows_at_once)])
