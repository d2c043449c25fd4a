"""The trainer: its own gradients are those of autograd, and it finds the directions that data are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from measure.stages.quality import dead_fraction, variance_explained
from measure.stages.train import _gradients, _passes, batch_top, decode, train

if TYPE_CHECKING:
    from collections.abc import Iterator

CPU = torch.device("cpu")


def test_the_largest_of_a_batch_are_active_whatever_was_guessed() -> None:
    pre = torch.randn(16, 50, generator=torch.Generator().manual_seed(0))
    least = pre.flatten().topk(40).values.min()
    for guess in (0.0, 0.5, 100.0):
        active, bound = batch_top(pre, 40, guess)
        assert len(active.values) == 40
        assert active.values.min() == least
        assert torch.equal(active.values, pre[active.rows, active.latents])
        assert (active.rows.diff() >= 0).all()
        assert 0 < bound < least
    assert len(batch_top(-pre.abs(), 40, 0.0)[0].values) == 0  # silence is not made to speak


def test_gradients_are_those_of_autograd() -> None:
    generator = torch.Generator().manual_seed(1)
    x, encoder = torch.randn(8, 5, generator=generator), torch.randn(12, 5, generator=generator)
    decoder, bias = functional.normalize(torch.randn(12, 5, generator=generator), dim=1), torch.zeros(12)
    leaves = [one.clone().requires_grad_() for one in (encoder, bias, decoder)]
    pre = x @ leaves[0].T + leaves[1]
    active, _ = batch_top(pre.detach(), 20, 0.0)
    values = torch.zeros_like(pre).index_put((active.rows, active.latents), pre[active.rows, active.latents])
    (values @ leaves[2] - x).square().sum(1).mean().backward()
    error = decode(active, decoder, len(x)) - x
    for own, leaf in zip(_gradients(active, 2 / len(x) * error, x, decoder), leaves, strict=True):
        torch.testing.assert_close(own, leaf.grad)


def test_every_row_has_its_turn_before_one_comes_again() -> None:
    passes = _passes(10, 4, np.random.RandomState(0))
    drawn = np.concatenate([next(passes) for _ in range(5)])
    assert sorted(drawn[:8].tolist()) != list(range(8))
    assert np.bincount(drawn, minlength=10).tolist() == [2] * 10


def test_sparse_data_are_given_back() -> None:
    rng = np.random.RandomState(0)
    features = rng.randn(40, 16)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    held = (rng.rand(4096, 40) < 0.05) * (1 + rng.rand(4096, 40))
    data = (held @ features + 3).astype(np.float16)

    def batches(seed: int) -> Iterator[np.ndarray]:
        order = np.random.RandomState(seed)
        while True:
            yield data[order.randint(0, len(data), 1024)]

    told: list[int] = []
    trained = [
        train(batches, width=64, k=4, tokens=150_000, seed=0, device=CPU, progress=told.append) for _ in range(2)
    ]
    sae = trained[0]
    assert torch.equal(sae.W_enc, trained[1].W_enc)  # the same seed, the same SAE
    assert sum(told) == 2 * 150_528
    active = sae.encode_sparse(data)
    assert abs(len(active.values) / active.num_rows - 4) < 0.5
    assert variance_explained(sae, data, np.arange(len(data))) > 0.7
    assert dead_fraction(active) < 0.5
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(64))
    dense = sae.encode(torch.from_numpy(data[:100]).float()).numpy()
    np.testing.assert_allclose(active.take(np.arange(100)).dense(range(64)), dense, atol=1e-6)
