"""SAEs that the library SAELens saved are read as it reads them, and those that do not fit are refused in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from sae_lens import (
    JumpReLUSAE,
    JumpReLUSAEConfig,
    StandardSAE,
    StandardSAEConfig,
    TopKSAE,
    TopKSAEConfig,
)

from measure.errors import MeasureError
from measure.saes.loading import check_fit, open_sae

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")


def _saved(folder: Path, sae: Any) -> Path:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    sae.save_model(folder)
    return folder


@pytest.mark.parametrize(
    "sae",
    [
        StandardSAE(StandardSAEConfig(d_in=6, d_sae=20)),
        StandardSAE(StandardSAEConfig(d_in=6, d_sae=20, normalize_activations="expected_average_only_in")),
        JumpReLUSAE(JumpReLUSAEConfig(d_in=6, d_sae=20)),
        TopKSAE(TopKSAEConfig(d_in=6, d_sae=20, k=3)),
    ],
    ids=lambda sae: f"{sae.cfg.architecture()}-{sae.cfg.normalize_activations}",
)
def test_checkpoints_are_read_as_the_library_reads_them(sae: Any, tmp_path: Path) -> None:
    own = open_sae(_saved(tmp_path / "sae", sae), CPU)
    stream = torch.randn(30, 6, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(own.encode(stream), sae.encode(stream).detach())
    torch.testing.assert_close(own.reconstruct(stream), sae(stream).detach())
    sparse = own.encode_sparse(stream.numpy())
    np.testing.assert_allclose(sparse.dense(range(20)), sae.encode(stream).detach().numpy(), atol=1e-6)
    # What a latent adds to the stream is its direction, whatever the weights were saved with.
    activations = own.encode(stream)
    without = activations.clone()
    without[:, 4] = 0
    added = own.decode(activations) - own.decode(without)
    torch.testing.assert_close(added, activations[:, 4:5] * own.directions[4], atol=1e-5, rtol=1e-5)
    check_fit(own, tmp_path, d_model=6, num_layers=3, layer=2)


def test_what_does_not_fit_is_refused_in_one_line(tmp_path: Path) -> None:
    sae = open_sae(_saved(tmp_path / "sae", TopKSAE(TopKSAEConfig(d_in=6, d_sae=20, k=3))), CPU)
    for how, why in (
        ({"d_model": 8, "num_layers": 3, "layer": 2}, "reads a stream of width 6, the model's is 8"),
        ({"d_model": 6, "num_layers": 3, "layer": 3}, "layer 3 does not exist"),
    ):
        with pytest.raises(MeasureError, match=why):
            check_fit(sae, "sae", **how)
    sae.hook = "blocks.1.hook_resid_pre"
    check_fit(sae, "sae", d_model=6, num_layers=3, layer=0)
    with pytest.raises(MeasureError, match="and what is measured is blocks"):
        check_fit(sae, "sae", d_model=6, num_layers=3, layer=1)
    sae.hook = None
    normed = StandardSAE(StandardSAEConfig(d_in=6, d_sae=20, normalize_activations="layer_norm"))
    with pytest.raises(MeasureError, match="normalises each token by itself"):
        open_sae(_saved(tmp_path / "normed", normed), CPU)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "cfg.json").write_text("{}")
    for name, why in (("broken", "cannot load it"), ("none", "no SAE; give a file")):
        with pytest.raises(MeasureError, match=why) as caught:
            open_sae(tmp_path / name, CPU)
        assert "\n" not in str(caught.value)
