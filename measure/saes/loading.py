"""Open an SAE: weights of this project's own trainer, or a SAELens checkpoint."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from measure.errors import MeasureError

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from measure.saes.base import Sae

#: What the stage writes beside, or instead of, the weights.
WEIGHTS, RECORD = "weights.safetensors", "sae.json"


def open_sae(path: Path, device: torch.device) -> Sae:
    """Open the SAE at `path`: a file of weights, the folder of a SAELens checkpoint, or the folder of a task.

    Raises
    ------
    MeasureError
        Where there is none, or it cannot be loaded.
    """
    if (path / RECORD).is_file():
        given = json.loads((path / RECORD).read_text("utf-8")).get("path")
        path = path / WEIGHTS if given is None else path.__class__(given)
    if path.is_file():
        from measure.saes.batch_topk import load_batch_topk

        return load_batch_topk(path, device)
    if (path / "cfg.json").is_file():
        from measure.saes.sae_lens import load_sae_lens

        return load_sae_lens(path, device)
    message = f"{path}: no SAE; give a file of BatchTopK weights, or the folder of a SAELens checkpoint (with cfg.json)"
    raise MeasureError(message)


def check_fit(sae: Sae, path: object, *, d_model: int, num_layers: int, layer: int) -> None:
    """Refuse an SAE that does not fit the model.

    Raises
    ------
    MeasureError
        Where it reads another width or place, or a layer that the model does not have.
    """
    if not 0 <= layer < num_layers:
        message = (
            f"{path}: layer {layer} does not exist, the model has {num_layers} (0 to {num_layers - 1}); mend layers"
        )
        raise MeasureError(message)
    same = (f"blocks.{layer}.hook_resid_post", f"blocks.{layer + 1}.hook_resid_pre")
    if sae.hook is not None and sae.hook not in same:
        message = f"{path}: reads {sae.hook}, and what is measured is {same[0]}; mend layers, or give another SAE"
        raise MeasureError(message)
    if sae.d_model != d_model:
        message = (
            f"{path}: reads a stream of width {sae.d_model}, the model's is {d_model}; it is an SAE of another model"
        )
        raise MeasureError(message)
    if sae.encoder.shape != sae.directions.shape:
        message = f"{path}: encoder {tuple(sae.encoder.shape)} and decoder {tuple(sae.directions.shape)} do not fit"
        raise MeasureError(message)
