"""Stage: reconstruction quality of an SAE on held-out text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from measure.errors import MeasureError
from measure.models.loading import model_of
from measure.saes.loading import open_sae
from measure.sparse import Sparse
from measure.stages.families import folders_by_family
from measure.stages.latents import WORDS
from measure.stages.losses import losses_of
from measure.stages.parts import load_streams
from measure.stages.text import load_windows
from measure.stages.text_latents import EVIDENCE, HELD_OUT
from measure.streams import mean_of, not_massive
from queries.manifest import MAX_SCORE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from measure.saes.base import Sae
    from measure.streams import Streams

_ROWS = 2048


def variance_explained(sae: Sae, stream: np.ndarray | Streams, rows: np.ndarray) -> float:
    """Return 1 less the squared error of the reconstruction divided by that of the mean."""
    mean = torch.from_numpy(mean_of(stream, rows))
    error = total = 0.0
    with torch.no_grad():
        for start in range(0, len(rows), _ROWS):
            part = torch.from_numpy(stream[rows[start : start + _ROWS]].astype(np.float32))
            reconstruction = sae.reconstruct_all(part.to(sae.directions.device)).cpu()
            error += float((part - reconstruction).double().square().sum())
            total += float((part.double() - mean).square().sum())
    return 1 - error / total


def dead_fraction(*activations: Sparse) -> float:
    """Return the share of latents that are never active."""
    return float((np.sum([one.counts() for one in activations], axis=0) == 0).mean())


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Run the stage; the losses that do not depend on the SAE are those of the stage `loss`."""
    model, windows, layer = model_of(settings, needs), load_windows(needs["text"]), settings["layer"]
    sae = open_sae(needs["sae"], model.device)
    length = windows.ids.shape[1] - 1
    stream = load_streams(needs["text_activations"], str(layer))
    usual = not_massive(stream, windows.num_held_out * length)
    evidence, active = (Sparse.load(needs["text_latents"] / f"{name}.npz") for name in (EVIDENCE, HELD_OUT))
    words = Sparse.stack([Sparse.load(family["latents"] / f"{WORDS}.npz") for family in folders_by_family(needs)])
    explained = variance_explained(sae, stream, np.flatnonzero(usual))
    progress(0.3)
    known = json.loads((needs["loss"] / "loss.json").read_text("utf-8"))
    clean, ablated = known["clean"], known["ablated"][str(layer)]
    if not explained >= -MAX_SCORE:
        message = (
            f"explains {explained:.3g} of the variance of held-out text: its reconstruction is not the stream;"
            " give an SAE of this model and layer, its normalisation folded into its weights"
        )
        raise MeasureError(message)
    loss = float(losses_of(model, windows.held_out[: settings["for_loss"]], {layer: sae.reconstruct_all}).mean())
    # If mean ablation does not increase the loss, recovered loss is undefined.
    recovered = (ablated - loss) / (ablated - clean) if ablated > clean else np.inf
    found = {
        "l0": float(np.diff(active.starts)[usual].mean()),
        "l0_words": len(words.values) / words.num_rows,
        "variance_explained": explained,
        "dead_fraction": dead_fraction(words, evidence),
        "loss": loss,
        "loss_recovered": recovered if abs(recovered) <= MAX_SCORE else None,
        "architecture": sae.architecture,
        "neuronpedia": sae.neuronpedia,
        "n_latents": sae.num_latents,
    }
    (out / "quality.json").write_text(json.dumps(found), "utf-8")
    progress(1)
