"""SAEs as the library SAELens saves them, whatever their architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from measure.errors import MeasureError
from measure.saes.base import Sae

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor


class SaeLens(Sae):
    """An SAE of that library.

    Parameters
    ----------
    sae : sae_lens.SAE
    """

    def __init__(self, sae: Any) -> None:
        self._sae = sae
        self.architecture = sae.cfg.architecture()
        self.hook = sae.cfg.metadata.hook_name
        self.directions = sae.W_dec.detach()
        self.encoder = sae.W_enc.detach().T

    def encode(self, stream: Tensor) -> Tensor:
        return self._sae.encode(stream)

    def decode(self, activations: Tensor) -> Tensor:
        return self._sae.decode(activations)


def load_sae_lens(folder: Path, device: torch.device) -> SaeLens:
    """Load the checkpoint in `folder`, with what it normalises by folded into its weights.

    Raises
    ------
    MeasureError
        Where the library is not there or cannot load it, or its decoder depends on the token.
    """
    try:
        from sae_lens import SAE
    except ImportError as error:
        message = f"{folder}: needs sae-lens to be read; pip install 'absorption-explorer[measure]'"
        raise MeasureError(message) from error
    try:
        sae = SAE.load_from_disk(folder, device=str(device), dtype="float32")
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        why = str(error).strip().splitlines()[0]
        message = f"{folder}: sae-lens cannot load it ({why}); mend the checkpoint"
        raise MeasureError(message) from error
    if sae.cfg.normalize_activations not in ("none", "expected_average_only_in"):
        message = (
            f"{folder}: normalises each token by itself ({sae.cfg.normalize_activations}), so its latents have no fixed"
            " directions in the stream; such SAEs cannot be measured"
        )
        raise MeasureError(message)
    return SaeLens(sae)
