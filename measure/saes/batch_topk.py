"""The SAEs that are trained here: BatchTopK on a normalised stream, with a fixed threshold once they are trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file

from measure.errors import MeasureError
from measure.saes.base import Sae, sparse_rows
from measure.sparse import Sparse

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from torch import Tensor

_ROWS = 4096
#: By how much a pre-activation in bfloat16 may fall short of the threshold and still be looked at in float32.
_SLACK = 0.15


@dataclass
class BatchTopK(Sae):
    """Weights, and the normalisation of the stream: xn = (x - mean) * scale.

    pre = (xn - b_dec) @ W_enc + b_enc; z = pre where pre > threshold, else 0; xn is given back as z @ W_dec + b_dec.
    """

    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor
    mean: Tensor
    scale: Tensor
    threshold: Tensor

    architecture = "BatchTopK"

    @property
    def directions(self) -> Tensor:  # type: ignore[override]
        return self.W_dec / self.scale

    @property
    def encoder(self) -> Tensor:  # type: ignore[override]
        return self.W_enc.T

    @property
    def num_latents(self) -> int:
        return self.W_dec.shape[0]

    def normalised(self, stream: Tensor) -> Tensor:
        """Return what the encoder multiplies."""
        return (stream - self.mean) * self.scale - self.b_dec

    def encode(self, stream: Tensor) -> Tensor:
        pre = self.normalised(stream) @ self.W_enc + self.b_enc
        return torch.where(pre > self.threshold, pre, 0)

    def decode(self, activations: Tensor) -> Tensor:
        return (activations @ self.W_dec + self.b_dec) / self.scale + self.mean

    def encode_sparse(self, stream: np.ndarray) -> Sparse:
        """Encode many rows: all products in bfloat16 first, then in float32 those that may exceed the threshold."""
        pieces = []
        encoder = self.W_enc.bfloat16()
        columns = self.W_enc.T.contiguous()
        with torch.no_grad():
            for part in torch.from_numpy(stream).split(_ROWS):
                x = self.normalised(part.float().to(self.W_enc.device))
                near = (x.bfloat16() @ encoder + self.b_enc.bfloat16()) > self.threshold - _SLACK
                rows, latents = near.nonzero(as_tuple=True)
                exact = torch.cat(
                    [
                        (x[r] * columns[c]).sum(1)
                        for r, c in zip(rows.split(65536), latents.split(65536), strict=True)
                    ]
                    or [x.new_zeros(0)]
                )
                exact = exact + self.b_enc[latents]
                active = exact > self.threshold
                pieces.append(sparse_rows(rows[active], latents[active], exact[active], len(part), self.num_latents))
        return Sparse.stack(pieces)

    def save(self, file: Path) -> None:
        """Write the weights to a file."""
        save_file({name: value.contiguous().cpu() for name, value in vars(self).items()}, file)


def load_batch_topk(file: Path, device: torch.device) -> BatchTopK:
    """Read weights that `BatchTopK.save` wrote; MeasureError where they are not of that kind."""
    weights = {name: value.to(device) for name, value in load_file(file).items()}
    missing = sorted(set(BatchTopK.__dataclass_fields__) - set(weights))
    if missing:
        message = f"{file}: holds no {missing[0]!r}; give the weights of a BatchTopK SAE, or a SAELens checkpoint's folder"
        raise MeasureError(message)
    return BatchTopK(**{name: weights[name] for name in BatchTopK.__dataclass_fields__})
