"""The interface of SAEs."""

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

#: Maximum numbers of elements and of rows of dense activations in memory; larger batches are no faster.
_DENSE = 2**26
_ROWS = 2048
#: Number of rows for measuring the memory per row; large enough that constant overhead hardly matters.
_TRIED = 16


class Sae(ABC):
    """A sparse autoencoder on the residual stream after one block.

    Attributes
    ----------
    architecture : str
    hook : str or None
        The hook point that it was trained on, as named by TransformerLens or `transformers`; None if unknown.
    neuronpedia : str or None
        Its id on Neuronpedia, model/SAE.
    centred : bool
        Whether it was trained on a model with centred writing weights, so that the stream has a mean of 0.
    directions : Tensor
        Decoder rows: the change of the stream per unit of each latent, (latents, d_model).
    encoder : Tensor
        Encoder directions, (latents, d_model).
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
        """Return the activations of all latents, (rows, latents), of a stream, (rows, d_model)."""

    @abstractmethod
    def reconstruct(self, stream: Tensor) -> Tensor:
        """Return the reconstruction of a stream, (rows, d_model)."""

    def seen(self, stream: Tensor) -> Tensor:
        """Return the input of the encoder, up to terms that are the same for all tokens, (rows, d_model)."""
        return stream

    def without_latents(self, stream: Tensor) -> Tensor:
        """Return what the reconstruction of a stream would be if no latent were active, (rows, d_model)."""
        with torch.no_grad():
            return self.reconstruct(stream) - self.encode(stream) @ self.directions

    @cached_property
    def rows_at_once(self) -> int:
        """Batch size of dense activations, limited by the free memory."""
        most = max(min(_ROWS, _DENSE // self.num_latents), 1)
        tried = torch.ones(min(most, _TRIED), self.d_model, device=self.directions.device)
        with torch.no_grad():
            return batch_size(lambda: self.reconstruct(tried), tried.device, most, len(tried))

    def encode_sparse(self, stream: np.ndarray | Streams, rows: np.ndarray | None = None) -> Sparse:
        """Encode rows of a stream (default all) in batches; return the active latents."""
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
        """Return the reconstruction of a stream, (rows, d_model), computed in batches."""
        return torch.cat([self.reconstruct(part) for part in stream.split(self.rows_at_once)])
