"""Open an SAE: weights of this project's trainer, or a SAELens checkpoint."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open

from measure.errors import MeasureError

if TYPE_CHECKING:
    from measure.saes.base import Sae

#: File names of the stages `train` and `existing_sae`; the latter writes only a record.
WEIGHTS, RECORD = "weights.safetensors", "sae.json"
#: Name of a block in a model of `transformers`, for hooks on its output: model.layers.2, transformer.h.2.
_BLOCK = re.compile(r"(?:\w+\.)*(?:layers|h|blocks)\.([0-9]+)")


def open_sae(path: Path, device: torch.device) -> Sae:
    """Open the SAE at `path`: a file of weights, the folder of a SAELens checkpoint, or the folder of a task.

    Raises
    ------
    MeasureError
        If there is none, or it cannot be loaded.
    """
    path = _resolve(path)
    if path.is_file():
        from measure.saes.trained import load_trained

        return load_trained(path, device)
    if (path / "cfg.json").is_file():
        from measure.saes.sae_lens import load_sae_lens

        return load_sae_lens(path, device)
    message = (
        f"{path}: no SAE; give a file of weights that `measure` wrote, or the folder of a SAELens checkpoint (cfg.json)"
    )
    raise MeasureError(message)


def _resolve(path: Path) -> Path:
    """Return the path of the weights; for a task's folder, its weights or the path in its record."""
    if not (path / RECORD).is_file():
        return path
    given = json.loads((path / RECORD).read_text("utf-8")).get("path")
    return path / WEIGHTS if given is None else Path(given)


def width_of(path: str | Path) -> int:
    """Return the number of latents of an SAE without loading it; `path` as in `open_sae`."""
    path = _resolve(Path(path))
    if path.is_dir():
        cfg = json.loads((path / "cfg.json").read_text("utf-8"))
        # Latents of AbsTopK can be negative and count as two (`SaeLens`).
        return int(cfg["d_sae"]) * (1 + (cfg.get("architecture") == "abstopk"))
    with safe_open(path, "pt") as weights:
        return int(weights.get_slice("W_dec").get_shape()[0])


def check_fit(sae: Sae, path: object, *, d_model: int, num_layers: int, layer: int) -> None:
    """Reject an SAE that does not fit the model.

    Raises
    ------
    MeasureError
        If its width, hook point or layer does not match the model, or its weights are unusable.
    """
    if not 0 <= layer < num_layers:
        message = (
            f"{path}: layer {layer} does not exist, the model has {num_layers} (0 to {num_layers - 1}); fix layers"
        )
        raise MeasureError(message)
    same = (f"blocks.{layer}.hook_resid_post", f"blocks.{layer + 1}.hook_resid_pre")
    block = _BLOCK.fullmatch(sae.hook or "")
    if sae.hook is not None and sae.hook not in same and not (block and int(block[1]) == layer):
        message = f"{path}: reads {sae.hook}, and what is measured is {same[0]}; fix layers, or give another SAE"
        raise MeasureError(message)
    if sae.d_model != d_model:
        message = (
            f"{path}: reads a stream of width {sae.d_model}, the model's is {d_model}; it is an SAE of another model"
        )
        raise MeasureError(message)
    if sae.encoder.shape != sae.directions.shape:
        message = f"{path}: encoder {tuple(sae.encoder.shape)} and decoder {tuple(sae.directions.shape)} do not fit"
        raise MeasureError(message)
    try:
        with torch.no_grad():
            reconstruction = sae.reconstruct(torch.ones(2, d_model, device=sae.directions.device))
    except (RuntimeError, ValueError) as error:
        message = f"{path}: cannot be used ({str(error).strip().splitlines()[0]}); fix its weights"
        raise MeasureError(message) from error
    if not all(bool(one.isfinite().all()) for one in (reconstruction, sae.directions, sae.encoder)):
        message = f"{path}: some of its weights are not finite, or a direction has no length; fix its weights"
        raise MeasureError(message)
