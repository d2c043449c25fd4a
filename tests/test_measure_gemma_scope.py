"""From an SAE of Gemma Scope to a suite, by the steps of docs/measure.md: the same code on smaller weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sae_lens import SAE
from sae_lens.loading import pretrained_sae_loaders
from sae_lens.saes import sae as library
from typer.testing import CliRunner

from explorer.cli import app
from measure.models.loading import open_model
from queries import check_suite
from queries.suite import read_manifest
from tests.small_measurement import NUM_LATENTS, write_config, write_model
from tests.small_models import D_MODEL

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

RELEASE, ID = "gemma-scope-2b-pt-res", "layer_1/width_16k/average_l0_102"


def write_params(file: Path) -> None:
    """Write an SAE as Gemma Scope publishes it."""
    rng = np.random.default_rng(0)
    decoder = rng.standard_normal((NUM_LATENTS, D_MODEL), np.float32)
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    b_enc, b_dec, threshold = np.zeros(NUM_LATENTS), np.zeros(D_MODEL), np.full(NUM_LATENTS, 1.5)
    np.savez(file, W_enc=decoder.T.copy(), W_dec=decoder, b_enc=b_enc, b_dec=b_dec, threshold=threshold)


def test_gemma_scope_sae_becomes_a_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_params(tmp_path / "params.npz")
    monkeypatch.setattr(pretrained_sae_loaders, "hf_hub_download", lambda **_: str(tmp_path / "params.npz"))
    monkeypatch.setattr(library, "get_config_overrides", lambda *_: {"d_in": D_MODEL, "d_sae": NUM_LATENTS})
    SAE.from_pretrained(RELEASE, ID).save_model(tmp_path / "saes" / "layer-1")
    write_model(tmp_path / "model", architecture="gemma-2")
    file = write_config(tmp_path, {"saes/layer-1": 'name = "Gemma Scope"'}, {})
    command = ["measure", str(file), "--to", str(tmp_path / "suite")]
    dry = CliRunner().invoke(app, [*command, "--dry-run"])
    assert dry.exit_code == 0, dry.output
    first, second, words, *tasks = dry.stdout.splitlines()
    assert words.startswith("first-letter")
    assert first.startswith(f"{len(tasks)} of {len(tasks)} tasks are to be done")
    assert all(word in second for word in ("on this machine", "of memory", "of disk"))
    assert all("about" in line for line in tasks)
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert check_suite(tmp_path / "suite") == []
    (sae,) = read_manifest(tmp_path / "suite").saes
    assert (sae.layer, sae.n_latents, sae.architecture, sae.title) == (1, NUM_LATENTS, "jumprelu", "Gemma Scope")
    open_model.cache_clear()
