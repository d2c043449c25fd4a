"""What measuring asks of an SAE, whoever trained it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch

from measure.sparse import Sparse

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

_ROWS = 2048


class Sae(ABC):
    """A sparse autoencoder on the residual stream after one block.

    Attributes
    ----------
    architecture : str
    directions : Tensor
        What one unit of each latent adds to the stream, (latents, d_model).
    encoder : Tensor
        Direction of the stream that each latent looks for, (latents, d_model).
    """

    architecture: str
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
    def decode(self, activations: Tensor) -> Tensor:
        """Return the stream that activations stand for."""

    def encode_sparse(self, stream: np.ndarray) -> Sparse:
        """Encode many rows, and keep what is active."""
        pieces = []
        with torch.no_grad():
            for part in torch.from_numpy(stream).split(_ROWS):
                active = self.encode(part.float().to(self.directions.device))
                rows, latents = active.nonzero(as_tuple=True)
                pieces.append(sparse_rows(rows, latents, active[rows, latents], len(part), self.num_latents))
        return Sparse.stack(pieces)

    def reconstruct(self, stream: Tensor) -> Tensor:
        """Return the stream as the SAE gives it back."""
        return self.decode(self.encode(stream))


def sparse_rows(rows: Tensor, latents: Tensor, values: Tensor, num_rows: int, num_latents: int) -> Sparse:
    """Make a sparse matrix of its active places, which are in order."""
    starts = torch.zeros(num_rows + 1, dtype=torch.int64)
    starts[1:] = torch.bincount(rows.cpu(), minlength=num_rows).cumsum(0)
    return Sparse(
        starts.numpy(),
        latents.to(torch.int32).cpu().numpy(),
        values.float().cpu().numpy(),
        num_latents,
    )
