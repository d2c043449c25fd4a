"""The SAEs that are trained here: BatchTopK on a normalised stream, with a fixed threshold once they are trained."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from measure.errors import MeasureError
from measure.saes.base import Sae

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


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

    def reconstruct(self, stream: Tensor) -> Tensor:
        return (self.encode(stream) @ self.W_dec + self.b_dec) / self.scale + self.mean

    def save(self, file: Path) -> None:
        """Write the weights to a file."""
        save_file({field.name: getattr(self, field.name).contiguous().cpu() for field in fields(self)}, file)


def load_batch_topk(file: Path, device: torch.device) -> BatchTopK:
    """Read weights that `BatchTopK.save` wrote; MeasureError where they are not of that kind."""
    try:
        weights = {name: value.to(device) for name, value in load_file(file).items()}
    except (OSError, SafetensorError) as error:
        why = str(error).strip().splitlines()[0]
        message = f"{file}: no safetensors file ({why}); give BatchTopK weights, or a SAELens checkpoint's folder"
        raise MeasureError(message) from error
    missing = sorted(set(BatchTopK.__dataclass_fields__) - set(weights))
    if missing:
        message = (
            f"{file}: holds no {missing[0]!r}; give the weights of a BatchTopK SAE, or a SAELens checkpoint's folder"
        )
        raise MeasureError(message)
    return BatchTopK(**{name: weights[name] for name in BatchTopK.__dataclass_fields__})
