"""Stage: an existing SAE, checked against the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure.models.loading import model_of
from measure.saes.loading import RECORD, check_fit, open_sae

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Run the stage: check the SAE, and record its path."""
    path, model = Path(settings["path"]), model_of(settings, needs)
    sae = open_sae(path, model.device)
    check_fit(sae, path, d_model=model.d_model, num_layers=model.num_layers, layer=settings["layer"])
    (out / RECORD).write_text(json.dumps({"path": str(path.resolve())}), "utf-8")
    progress(1)
