"""The trainer: its own gradients are those of autograd, and it finds the directions that data are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch.nn import functional

from measure.saes.trained import load_trained
from measure.stages.quality import dead_fraction, variance_explained
from measure.stages.sparsity import LABELS, BatchTop, Jump, Top
from measure.stages.train import _gradients, _of_prefixes, _passes, _prefixes, train

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from measure.stages.sparsity import Architecture

CPU = torch.device("cpu")


def test_batch_top_k_is_exact_for_any_guess() -> None:
    pre = torch.randn(16, 50, generator=torch.Generator().manual_seed(0))
    least = pre.flatten().topk(40).values.min()
    for guess in (0.0, 0.5, 100.0):
        choose = BatchTop()
        choose.guess = guess
        active = choose(pre, 2.5)
        assert len(active.values) == 40
        assert active.values.min() == least
        assert torch.equal(active.values, pre[active.rows, active.latents])
        assert (active.rows.diff() >= 0).all()
        assert 0 < choose.guess < least
    assert len(BatchTop()(-pre.abs(), 2.5).values) == 0  # inactive latents do not become active


def test_top_k_of_each_row_is_exact() -> None:
    pre = torch.randn(16, 50, generator=torch.Generator().manual_seed(0))
    active = Top()(pre, 3.0)
    assert torch.bincount(active.rows).tolist() == [3] * 16
    for row in range(16):
        assert set(active.latents[active.rows == row].tolist()) == set(pre[row].topk(3).indices.tolist())
    assert len(Top()(-pre.abs(), 3.0).values) == 0


@pytest.mark.parametrize("shares", [(1.0,), (0.25, 0.5, 1.0)])
def test_gradients_equal_those_of_autograd(shares: tuple[float, ...]) -> None:
    """The loss is the mean of the squared errors of the prefixes."""
    generator = torch.Generator().manual_seed(1)
    x, encoder = torch.randn(8, 5, generator=generator), torch.randn(12, 5, generator=generator)
    decoder, bias = functional.normalize(torch.randn(12, 5, generator=generator), dim=1), torch.zeros(12)
    leaves = [one.clone().requires_grad_() for one in (encoder, bias, decoder)]
    pre = x @ leaves[0].T + leaves[1]
    active, prefixes = BatchTop()(pre.detach(), 2.5), _prefixes(12, shares, CPU)
    values = torch.zeros_like(pre).index_put((active.rows, active.latents), pre[active.rows, active.latents])
    ends = [round(12 * share) for share in shares]
    torch.stack([(values[:, :end] @ leaves[2][:end] - x).square().sum(1).mean() for end in ends]).mean().backward()
    errors = _of_prefixes(active, decoder, prefixes, len(x)) - x
    for error, end in zip(errors, ends, strict=True):
        torch.testing.assert_close(error, values[:, :end] @ decoder[:end] - x)
    slopes = (2 / len(x) / len(errors) * errors).flip(0).cumsum(0).flip(0)
    found = _gradients(active, slopes, prefixes[active.latents], x, decoder)
    for own, leaf in zip(found, leaves, strict=True):
        torch.testing.assert_close(own, leaf.grad)


def test_threshold_gradient_matches_the_paper() -> None:
    """The estimate equals the formula of the paper."""
    generator = torch.Generator().manual_seed(2)
    pre, decoder = 2 * torch.rand(64, 6, generator=generator), torch.randn(6, 5, generator=generator)
    slope = torch.randn(64, 5, generator=generator)
    choose = Jump(6, CPU)
    active = choose(pre, 3.0)
    assert len(active.values) == pytest.approx(3 * 64, abs=1)
    choose.log_threshold += torch.linspace(-0.3, 0.3, 6)
    threshold, window, penalty = choose.threshold, 0.5, 300.0
    near = ((pre - threshold).abs() < window / 2).float()
    l0 = 4.5
    by_error = -(near * threshold * (slope @ decoder.T)).sum(0) / window
    by_penalty = -penalty * 2 * (l0 / 3 - 1) / 3 * near.mean(0) / window
    torch.testing.assert_close(choose.gradient(pre, 3.0, l0, slope, decoder), threshold * (by_error + by_penalty))


def test_every_row_is_drawn_once_per_pass() -> None:
    passes = _passes(10, 4, np.random.RandomState(0))
    drawn = np.concatenate([next(passes) for _ in range(5)])
    assert sorted(drawn[:8].tolist()) != list(range(8))
    assert np.bincount(drawn, minlength=10).tolist() == [2] * 10


@pytest.mark.parametrize("architecture", LABELS)
def test_sparse_data_are_reconstructed(architecture: Architecture, tmp_path: Path) -> None:
    rng = np.random.RandomState(0)
    features = rng.randn(40, 16)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    held = (rng.rand(4096, 40) < 0.05) * (1 + rng.rand(4096, 40))
    data = (held @ features + 3).astype(np.float16)

    def batches(seed: int) -> Iterator[np.ndarray]:
        order = np.random.RandomState(seed)
        while True:
            yield data[order.randint(0, len(data), 1024)]

    reported: list[int] = []
    trained = [
        train(
            batches,
            architecture=architecture,
            width=64,
            k=4,
            tokens=150_000,
            seed=0,
            device=CPU,
            progress=reported.append,
        )
        for _ in range(2)
    ]
    sae = trained[0]
    assert torch.equal(sae.W_enc, trained[1].W_enc)  # the same seed, the same SAE
    assert sum(reported) == 2 * 150_528
    active = sae.encode_sparse(data)
    counts = np.diff(active.starts)
    assert abs(counts.mean() - 4) < 0.5
    assert counts.max() <= 4 or architecture != "topk"
    assert variance_explained(sae, data, np.arange(len(data))) > 0.7
    assert dead_fraction(active) < 0.5
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(64))
    dense = sae.encode(torch.from_numpy(data[:100]).float()).numpy()
    np.testing.assert_allclose(active.take(np.arange(100)).dense(range(64)), dense, atol=1e-6)
    sae.save(tmp_path / "weights.safetensors")
    again = load_trained(tmp_path / "weights.safetensors", CPU)
    assert again.architecture == LABELS[architecture]
    assert torch.equal(again.encode(torch.from_numpy(data).float()), sae.encode(torch.from_numpy(data).float()))


def test_matryoshka_prefixes_reconstruct_the_stream() -> None:
    """Data of broad and narrow features: the broad ones come first, so a prefix explains more than one of BatchTopK."""
    rng = np.random.RandomState(1)
    broad, narrow = (
        functional.normalize(torch.randn(n, 24, generator=torch.manual_seed(n)), dim=1).numpy() for n in (4, 60)
    )
    chosen, kind = rng.rand(4096, 4) < 0.3, rng.rand(4096, 60) < 0.03
    data = (3 * chosen @ broad + kind @ narrow).astype(np.float16)

    def batches(seed: int) -> Iterator[np.ndarray]:
        order = np.random.RandomState(seed)
        while True:
            yield data[order.randint(0, len(data), 1024)]

    explained = {}
    for architecture in ("batchtopk", "matryoshka"):
        sae = train(batches, architecture=architecture, width=64, k=3, tokens=150_000, seed=0, device=CPU)
        x = torch.from_numpy(data).float()
        first = sae.encode(x)[:, :8] @ sae.W_dec[:8] + sae.b_dec
        left = (x - sae.mean) * sae.scale - first
        explained[architecture] = 1 - float(left.square().sum() / ((x - sae.mean) * sae.scale).square().sum())
    assert explained["matryoshka"] > explained["batchtopk"] + 0.2
