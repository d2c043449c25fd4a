"""SAEs trained by the stage `train`: on a normalised stream, with fixed thresholds after training."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from measure.errors import MeasureError
from measure.saes.base import Sae

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

#: The tensors in a file of weights, and the metadata key of its architecture.
_WEIGHTS = ("W_enc", "b_enc", "W_dec", "b_dec", "mean", "scale", "threshold")
_KIND = "absorption-explorer"


@dataclass
class TrainedSae(Sae):
    """An SAE's weights, and the normalisation of the stream: xn = (x - mean) * scale.

    pre = (xn - b_dec) @ W_enc + b_enc; z = pre where pre > threshold, else 0; the reconstruction of xn is
    z @ W_dec + b_dec. The threshold is a scalar or one number per latent. If `most` is not 0, only the `most` largest
    latents of a token can be active (TopK).
    """

    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor
    mean: Tensor
    scale: Tensor
    threshold: Tensor
    architecture: str = "BatchTopK"
    most: int = 0

    @property
    def directions(self) -> Tensor:  # type: ignore[override]
        return self.W_dec / self.scale

    @property
    def encoder(self) -> Tensor:  # type: ignore[override]
        return self.W_enc.T

    @property
    def num_latents(self) -> int:
        return self.W_dec.shape[0]

    def before(self, stream: Tensor) -> Tensor:
        """Return the pre-activations, (rows, latents)."""
        return ((stream - self.mean) * self.scale - self.b_dec) @ self.W_enc + self.b_enc

    def encode(self, stream: Tensor) -> Tensor:
        pre = self.before(stream)
        if self.most:
            values, latents = pre.topk(min(self.most, self.num_latents), dim=-1)
            pre = torch.zeros_like(pre).scatter(-1, latents, values)
        return torch.where(pre > self.threshold, pre, 0)

    def reconstruct(self, stream: Tensor) -> Tensor:
        return (self.encode(stream) @ self.W_dec + self.b_dec) / self.scale + self.mean

    def save(self, file: Path) -> None:
        """Write the weights to a file."""
        weights = {name: getattr(self, name).contiguous().cpu() for name in _WEIGHTS}
        # A single entry, because the library writes several in arbitrary order.
        save_file(weights, file, metadata={_KIND: json.dumps({"architecture": self.architecture, "most": self.most})})


def load_trained(file: Path, device: torch.device) -> TrainedSae:
    """Load weights that `TrainedSae.save` wrote.

    Raises
    ------
    MeasureError
        If the file was not written by it.
    """
    try:
        with safe_open(file, "pt") as opened:
            names = opened.keys()
            # Files of earlier versions have no metadata; all of them are BatchTopK.
            kind = json.loads((opened.metadata() or {}).get(_KIND, "{}"))
            weights = {name: opened.get_tensor(name).to(device) for name in names}
    except (OSError, SafetensorError) as error:
        why = str(error).strip().splitlines()[0]
        message = (
            f"{file}: no safetensors file ({why}); give weights that `measure` wrote, or a SAELens checkpoint's folder"
        )
        raise MeasureError(message) from error
    missing = sorted(set(_WEIGHTS) - set(weights))
    if missing:
        message = (
            f"{file}: holds no {missing[0]!r}; give weights that `measure` wrote, or the folder of a SAELens checkpoint"
        )
        raise MeasureError(message)
    return TrainedSae(**{name: weights[name] for name in _WEIGHTS}, **kind)
