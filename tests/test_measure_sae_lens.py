"""SAEs that the library SAELens saved are read as it reads them, and those that do not fit are refused in one line."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from sae_lens import (
    AbsTopKSAE,
    AbsTopKSAEConfig,
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    JumpReLUSAE,
    JumpReLUSAEConfig,
    MatryoshkaBatchTopKTrainingSAE,
    MatryoshkaBatchTopKTrainingSAEConfig,
    SkipTranscoder,
    SkipTranscoderConfig,
    StandardSAE,
    StandardSAEConfig,
    TopKSAE,
    TopKSAEConfig,
    Transcoder,
    TranscoderConfig,
)

from measure.errors import MeasureError
from measure.saes.loading import RECORD, WEIGHTS, check_fit, open_sae, width_of
from measure.saes.sae_lens import SaeLens
from measure.saes.trained import TrainedSae

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


def _trained(num_biases: int) -> TrainedSae:
    """Make one of this project's own SAEs with 20 latents, which is valid with as many biases."""
    encoder, biases, decoder = torch.ones(6, 20), torch.zeros(num_biases), torch.ones(20, 6)
    return TrainedSae(encoder, biases, decoder, torch.zeros(6), torch.zeros(6), torch.ones(()), torch.ones(()))


def _standard(normalised: Any = "none", **metadata: object) -> StandardSAE:
    config = StandardSAEConfig(d_in=6, d_sae=20, normalize_activations=normalised)
    for name, value in metadata.items():
        config.metadata[name] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return StandardSAE(config)


@pytest.mark.parametrize(
    "sae",
    [
        _standard(),
        _standard("layer_norm"),
        _standard("constant_norm_rescale"),
        _standard(model_from_pretrained_kwargs={"center_writing_weights": True}),
        JumpReLUSAE(JumpReLUSAEConfig(d_in=6, d_sae=20)),
        TopKSAE(TopKSAEConfig(d_in=6, d_sae=20, k=3)),
        TopKSAE(TopKSAEConfig(d_in=6, d_sae=20, k=3, rescale_acts_by_decoder_norm=True)),
        AbsTopKSAE(AbsTopKSAEConfig(d_in=6, d_sae=20, k=3)),
    ],
    ids=lambda sae: f"{sae.cfg.architecture()}-{sae.cfg.normalize_activations}",
)
def test_checkpoints_are_read_as_by_the_library(sae: Any, tmp_path: Path) -> None:
    own = open_sae(_saved(tmp_path / "sae", sae), CPU)
    stream = 1 + 2 * torch.randn(30, 6, generator=torch.Generator().manual_seed(1))
    given = stream
    if sae.cfg.metadata.model_from_pretrained_kwargs:
        # Its model's stream has a mean of 0; the mean that is subtracted here is added again.
        given = stream - stream.mean(1, keepdim=True)
    torch.testing.assert_close(own.reconstruct(stream), sae(given).detach() + stream - given)
    activations, theirs = own.encode(stream), sae.encode(given).detach()
    assert (activations >= 0).all()
    if own.num_latents == 2 * theirs.shape[1]:
        positive, negative = activations.chunk(2, dim=1)
        assert (negative > 0).any()
        activations_alike = positive - negative
    else:
        activations_alike = activations
    assert torch.equal(activations_alike != 0, theirs != 0)
    sparse = own.encode_sparse(stream.numpy())
    np.testing.assert_allclose(sparse.dense(range(own.num_latents)), activations.detach().numpy(), atol=1e-6)
    # Active latents add their directions to a stream, so without them only the part common to all tokens is left.
    left = own.reconstruct(stream) - activations @ own.directions
    assert isinstance(own, SaeLens)
    bias = sae.b_dec.detach() * own._scale(given)
    if sae.cfg.normalize_activations == "layer_norm":
        bias = bias + given.mean(1, keepdim=True)
    torch.testing.assert_close(left.detach(), (bias + stream - given).expand_as(left), atol=1e-5, rtol=1e-5)
    # Pre-activations differ from the library's by a constant.
    before = own.seen(stream) @ own.encoder[: theirs.shape[1]].T - sae.process_sae_in(given) @ sae.W_enc
    torch.testing.assert_close(before, before[:1].expand_as(before), atol=1e-4, rtol=1e-4)
    check_fit(own, tmp_path, d_model=6, num_layers=3, layer=2)


def test_scaling_factor_of_the_stream_is_folded_in(tmp_path: Path) -> None:
    folder = _saved(tmp_path / "sae", sae := _standard("expected_average_only_in"))
    with pytest.raises(
        MeasureError, match=r"normalises the stream \(expected_average_only_in\) by numbers that are not"
    ):
        open_sae(folder, CPU)
    (folder / "activation_scaler.json").write_text('{"scaling_factor": 0.5, "has_whitening": false}')
    stream = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(open_sae(folder, CPU).reconstruct(stream), 2 * sae(0.5 * stream).detach())


def test_blocks_may_be_named_as_in_transformers(tmp_path: Path) -> None:
    for name in ("model.layers.2", "transformer.h.2", "gpt_neox.layers.2", "blocks.2.hook_resid_post"):
        sae = open_sae(_saved(tmp_path / name, _standard(hook_name=name)), CPU)
        check_fit(sae, name, d_model=6, num_layers=4, layer=2)
        with pytest.raises(MeasureError, match=f"reads {name}, and what is measured is blocks.1"):
            check_fit(sae, name, d_model=6, num_layers=4, layer=1)
    sae.hook = "model.layers.2.mlp"
    with pytest.raises(MeasureError, match=r"reads model\.layers\.2\.mlp"):
        check_fit(sae, "sae", d_model=6, num_layers=4, layer=2)


_ELSEWHERE: dict[str, Any] = {"d_in": 6, "d_sae": 20, "d_out": 6, "apply_b_dec_to_input": False}
_BATCHED: dict[str, Any] = {"d_in": 6, "d_sae": 20, "k": 3}


@pytest.mark.parametrize(
    ("sae", "why"),
    [
        (Transcoder(TranscoderConfig(**_ELSEWHERE)), "is a transcoder"),
        (
            SkipTranscoder(SkipTranscoderConfig(**_ELSEWHERE)),
            "is a transcoder",
        ),
        (BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(**_BATCHED)), "save it by save_inference_model"),
        (
            MatryoshkaBatchTopKTrainingSAE(
                MatryoshkaBatchTopKTrainingSAEConfig(**_BATCHED, matryoshka_widths=[10, 20])
            ),
            "save it by save_inference_model",
        ),
        (_standard("covariance_whitening"), "normalises the stream"),
    ],
    ids=lambda given: given if isinstance(given, str) else given.cfg.architecture(),
)
def test_unsupported_saes_are_refused_with_a_reason(sae: Any, why: str, tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match=why) as caught:
        open_sae(_saved(tmp_path / "sae", sae), CPU)
    assert "\n" not in str(caught.value)


def test_reconstruction_not_given_by_the_directions_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An architecture is refused if its output is not the sum of its latents' directions."""
    folder = _saved(tmp_path / "sae", _standard())
    decode = StandardSAE.decode
    monkeypatch.setattr(StandardSAE, "decode", lambda self, given: decode(self, given) + given.square() @ self.W_dec)
    with pytest.raises(MeasureError, match="is not the sum of its latents' directions"):
        open_sae(folder, CPU)


def test_broken_weights_are_refused_before_use(tmp_path: Path) -> None:
    sae = _standard()
    _saved(tmp_path / "sae", sae)
    with torch.no_grad():
        sae.W_dec[3, 2] = torch.nan
    with pytest.raises(MeasureError, match="not finite"):
        check_fit(SaeLens(sae), "sae", d_model=6, num_layers=3, layer=2)
    _trained(num_biases=19).save(tmp_path / "odd.safetensors")
    with pytest.raises(MeasureError, match="odd: cannot be used"):
        check_fit(open_sae(tmp_path / "odd.safetensors", CPU), "odd", d_model=6, num_layers=3, layer=2)
    np.savez(tmp_path / "sae.npz", W_enc=np.zeros((6, 20)))
    with pytest.raises(MeasureError, match=r"sae.npz: no safetensors file") as caught:
        open_sae(tmp_path / "sae.npz", CPU)
    assert "\n" not in str(caught.value)


def test_number_of_latents_is_read_without_the_weights(tmp_path: Path) -> None:
    """For a checkpoint, a file of weights, and the folder of a task that trained an SAE or names one."""
    (tmp_path / "task").mkdir()
    (tmp_path / "named").mkdir()
    _trained(num_biases=20).save(tmp_path / "task" / WEIGHTS)
    (tmp_path / "task" / RECORD).write_text('{"tokens_seen": 40}', "utf-8")
    checkpoint = _saved(tmp_path / "sae", AbsTopKSAE(AbsTopKSAEConfig(d_in=6, d_sae=20, k=3)))
    (tmp_path / "named" / RECORD).write_text(json.dumps({"path": str(checkpoint)}), "utf-8")
    for path in (checkpoint, tmp_path / "task" / WEIGHTS, tmp_path / "task", tmp_path / "named"):
        assert width_of(path) == open_sae(path, CPU).num_latents


def test_unsuitable_saes_are_refused_in_one_line(tmp_path: Path) -> None:
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
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "cfg.json").write_text("{}")
    for name, why in (("broken", "cannot load it"), ("none", "no SAE; give a file")):
        with pytest.raises(MeasureError, match=why) as caught:
            open_sae(tmp_path / name, CPU)
        assert "\n" not in str(caught.value)
