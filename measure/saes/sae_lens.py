"""Checkpoints of SAELens, of any architecture."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError

from measure.errors import MeasureError
from measure.saes.base import Sae

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

#: File of SAELens's trainer with the factor by which it multiplied the stream.
_SCALER = "activation_scaler.json"
_CLOSE = 1e-3


class SaeLens(Sae):
    """An SAE of SAELens.

    Activations are in units of `directions`: if the SAE normalises each token, they are multiplied by the token's norm.
    A latent that can be negative counts as two latents; the second half of the latents are the negative parts.

    Parameters
    ----------
    sae : sae_lens.SAE
    """

    def __init__(self, sae: Any) -> None:
        from sae_lens import AbsTopKSAE

        self._sae, metadata = sae, sae.cfg.metadata
        self.architecture = sae.cfg.architecture()
        self.hook = metadata.hook_name
        self.neuronpedia = metadata.neuronpedia_id
        self.centred = bool((metadata.model_from_pretrained_kwargs or {}).get("center_writing_weights"))
        self._signed = isinstance(sae, AbsTopKSAE)
        directions, encoder = sae.W_dec.detach(), sae.W_enc.detach().T
        if getattr(sae.cfg, "rescale_acts_by_decoder_norm", False):
            directions = directions / directions.norm(dim=1, keepdim=True)
        self.directions, self.encoder = (
            torch.cat([one, -one]) if self._signed else one for one in (directions, encoder)
        )

    def encode(self, stream: Tensor) -> Tensor:
        inside = self._centre(stream)
        activations = self._sae.encode(inside) * self._scale(inside)
        return torch.cat([activations.relu(), (-activations).relu()], dim=-1) if self._signed else activations

    def reconstruct(self, stream: Tensor) -> Tensor:
        inside = self._centre(stream)
        return self._sae(inside) + (stream - inside)

    def seen(self, stream: Tensor) -> Tensor:
        inside = self._centre(stream)
        if self._sae.cfg.normalize_activations == "layer_norm":
            inside = inside - inside.mean(-1, keepdim=True)
        return inside / self._scale(inside)

    def _centre(self, stream: Tensor) -> Tensor:
        """Return the stream less its mean, if the SAE was trained on a model with centred writing weights."""
        return stream - stream.mean(-1, keepdim=True) if self.centred else stream

    def _scale(self, stream: Tensor) -> Tensor | float:
        """Return the factor that each token is divided by before it is encoded, (rows, 1) or 1."""
        match self._sae.cfg.normalize_activations:
            case "layer_norm":
                return stream.std(-1, keepdim=True)
            case "constant_norm_rescale":
                return stream.norm(dim=-1, keepdim=True) / stream.shape[-1] ** 0.5
        return 1.0

    def is_linear(self) -> bool:
        """Check that the library's reconstruction is linear in the activations, with the decoder rows `directions`.

        This is tested on random tokens and activations.
        """
        generator = torch.Generator().manual_seed(0)
        d_in, d_sae = self._sae.W_dec.shape[::-1]
        device = self._sae.W_dec.device
        stream = self._centre(torch.randn(4, d_in, generator=generator).to(device))
        some = (torch.rand(4, d_sae, generator=generator) < max(8 / d_sae, 0.01)).to(device)
        activations = some * torch.rand(4, d_sae, generator=generator).to(device)
        decoded = []
        for given in (activations, 0 * activations):
            self._sae.encode(stream)  # the library decodes with the token norms of the last encoding
            decoded.append(self._sae.decode(given))
        directions = self.directions[:d_sae]
        added = decoded[0] - decoded[1] - (activations * self._scale(stream)) @ directions
        forward = self._sae(stream) - self._sae.decode(self._sae.encode(stream))
        limit = _CLOSE * (decoded[0].norm() + decoded[1].norm())
        return bool(added.norm() <= limit and forward.norm() <= limit)


def load_sae_lens(folder: Path, device: torch.device) -> SaeLens:
    """Load the checkpoint in `folder`, and fold the normalisation into its weights.

    Raises
    ------
    MeasureError
        If sae-lens is not installed or cannot load it, or it is not an SAE of the residual stream.
    """
    try:
        from sae_lens import SAE, Transcoder
        from sae_lens.registry import SAE_CLASS_REGISTRY, SAE_TRAINING_CLASS_REGISTRY
    except ImportError as error:
        message = f"{folder}: needs sae-lens to be read; pip install 'absorption-explorer[measure]'"
        raise MeasureError(message) from error
    try:
        named = json.loads((folder / "cfg.json").read_text("utf-8")).get("architecture", "standard")
        if named not in SAE_CLASS_REGISTRY and named in SAE_TRAINING_CLASS_REGISTRY:
            message = (
                f"{folder}: is a checkpoint for further training ({named}), saved by save_model;"
                " save it by save_inference_model"
            )
            raise MeasureError(message)
        with warnings.catch_warnings():
            # The warning is about settings of the model that the SAE was trained on, which this class applies.
            warnings.filterwarnings("ignore", message=r"\s*This SAE has non-empty model_from", category=UserWarning)
            sae = SAE.load_from_disk(folder, device=str(device), dtype="float32")
        _fold_scale(sae, folder)
        if isinstance(sae, Transcoder):
            message = f"{folder}: is a transcoder ({named}), which does not reconstruct its input; give an SAE"
            raise MeasureError(message)
        opened = SaeLens(sae)
        with torch.no_grad():
            fits = opened.is_linear()
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError, SafetensorError) as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        message = f"{folder}: sae-lens cannot load it ({why}); fix the checkpoint"
        raise MeasureError(message) from error
    if not fits:
        message = (
            f"{folder}: the reconstruction of {named} is not the sum of its latents' directions, so it cannot be"
            " measured; give another SAE"
        )
        raise MeasureError(message)
    return opened


def _fold_scale(sae: Any, folder: Path) -> None:
    """Fold the training-time scaling of the stream into the weights, unless they already contain it."""
    how = sae.cfg.normalize_activations
    if how == "expected_average_only_in" and (folder / _SCALER).is_file():
        sae.fold_activation_norm_scaling_factor(json.loads((folder / _SCALER).read_text("utf-8"))["scaling_factor"])
    elif how in ("expected_average_only_in", "covariance_whitening"):
        message = (
            f"{folder}: normalises the stream ({how}) by numbers that are not in its weights; fold them in with"
            " sae-lens (fold_activation_norm_scaling_factor, fold_activation_whitening) and save it again"
        )
        raise MeasureError(message)
