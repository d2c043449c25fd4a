"""The SAEs that are trained here: on a normalised stream, with fixed thresholds once they are trained."""

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

#: What a file of weights holds, and the key under which it says what kind of SAE they are of.
_WEIGHTS = ("W_enc", "b_enc", "W_dec", "b_dec", "mean", "scale", "threshold")
_KIND = "absorption-explorer"


@dataclass
class TrainedSae(Sae):
    """Weights, and the normalisation of the stream: xn = (x - mean) * scale.

    pre = (xn - b_dec) @ W_enc + b_enc; z = pre where pre > threshold, else 0; xn is given back as z @ W_dec + b_dec.
    The threshold is one for all latents or one for each. Where `most` is not 0, at most that many latents of a token
    are active, the largest: TopK.
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
        # As one text, for the library writes several in any order.
        save_file(weights, file, metadata={_KIND: json.dumps({"architecture": self.architecture, "most": self.most})})


def load_trained(file: Path, device: torch.device) -> TrainedSae:
    """Read weights that `TrainedSae.save` wrote; MeasureError where they are not of that kind."""
    try:
        with safe_open(file, "pt") as opened:
            names = opened.keys()
            # Files that do not say so are of the time when all were BatchTopK.
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
