"""Stage: train an SAE on the residual stream, with hand-written gradients that involve only active latents."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from measure.device import best_device, fast_precision
from measure.saes.loading import RECORD, WEIGHTS
from measure.saes.trained import TrainedSae
from measure.stages.parts import load_streams
from measure.stages.sparsity import LABELS, Active, BatchTop, Jump, Top, above, products
from measure.stages.text import load_windows
from measure.streams import not_massive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from measure.stages.sparsity import Architecture
    from measure.streams import Streams

_BATCH = 1024
#: Share of a batch that is training words in prompts; the rest is running text.
_WORDS = 0.2
_RATE, _WARM_UP, _DECAY = 3e-3, 0.05, 0.25
_ANNEALED, _FIRST_K = 0.1, 3
#: AuxK: dead latents are trained to reconstruct the residual, every second step, on a quarter of the batch.
_AUX_SHARE, _AUX_LATENTS, _AUX_ROWS, _DEAD_AFTER = 1 / 32, 64, 256, 150_000
_SAMPLED_BATCHES = 32
#: Matryoshka: the nested prefixes of latents that must each reconstruct the stream, as shares of the width.
_NESTED = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
#: JumpReLU: the gradient of the thresholds is estimated from every fourth row of a batch.
_JUMP_EVERY = 4


def train(
    batches: Callable[[int], Iterator[np.ndarray]],
    *,
    architecture: Architecture = "batchtopk",
    width: int,
    k: int,
    tokens: int,
    seed: int,
    device: torch.device,
    progress: Callable[[int], None] = lambda _: None,
) -> TrainedSae:
    """Train an SAE.

    Parameters
    ----------
    batches : callable
        Maps a seed to an endless iterator over batches of the stream, (rows, d_model).
    architecture : str
    width, k : int
        Number of latents, and mean number of active latents per token.
    tokens : int
        Number of tokens to train on.
    seed : int
        Seed of the initial weights and of the order of the data.
    device : torch.device
    progress : callable
        Called after each batch with its number of tokens.
    """
    stream = batches(seed)
    # Normalisation and threshold are estimated from batches in another order.
    sample = [next(held) for held in [batches(seed + 1)] for _ in range(_SAMPLED_BATCHES)]
    mean, scale = _normalisation(np.concatenate(sample), device)
    torch.manual_seed(seed)
    decoder = functional.normalize(torch.randn(width, len(mean), device=device), dim=1)
    parameters = [decoder.clone(), torch.zeros(width, device=device), decoder, torch.zeros(len(mean), device=device)]
    encoder, b_enc, decoder, b_dec = parameters
    choose: BatchTop | Top | Jump
    if architecture == "jumprelu":
        choose = Jump(width, device)
        parameters.append(choose.log_threshold)
    else:
        choose = Top() if architecture == "topk" else BatchTop()
    prefixes = _prefixes(width, _NESTED if architecture == "matryoshka" else (1.0,), device)
    for parameter in parameters:
        parameter.requires_grad_()
    optimizer = torch.optim.Adam(parameters, lr=_RATE, fused=True)
    steps = -(-tokens // _BATCH)
    silent_for = torch.zeros(width, device=device)
    for step in range(steps):
        x = _normalised(next(stream), mean, scale, device)
        wanted = _k_at(step / steps, k)
        found = _gradients_at(x, parameters, choose, prefixes, wanted, silent_for, help_dead=step % 2 == 1)
        for parameter, gradient in zip(parameters, found, strict=True):
            parameter.grad = gradient
        optimizer.param_groups[0]["lr"] = _RATE * _rate_at(step / steps)
        optimizer.step()
        with torch.no_grad():
            decoder /= decoder.norm(dim=1, keepdim=True)
        progress(len(x))
    encoder, b_enc, decoder, b_dec = (parameter.detach() for parameter in parameters[:4])
    threshold = choose.threshold.detach() if isinstance(choose, Jump) else torch.tensor(1.0, device=device)
    name, most = LABELS[architecture], k if architecture == "topk" else 0
    sae = TrainedSae(encoder.T.contiguous(), b_enc, decoder, b_dec, mean, scale, threshold, name, most)
    sae.threshold = threshold * (0.0 if most else _threshold(sae, sample, k))
    return sae


def _gradients_at(
    x: Tensor,
    parameters: list[Tensor],
    choose: BatchTop | Top | Jump,
    prefixes: Tensor,
    k: float,
    silent_for: Tensor,
    *,
    help_dead: bool,
) -> list[Tensor]:
    """Return the gradient of each parameter on a batch; update `silent_for`, the tokens since a latent was active."""
    encoder, b_enc, decoder, b_dec = parameters[:4]
    with torch.no_grad():
        centred = x - b_dec
        pre = functional.linear(*(one.to(fast_precision(x.device)) for one in (centred, encoder, b_enc)))
        active = choose(pre, k)
        # Reconstruction errors of each prefix of latents, (prefixes, rows, d_model).
        errors = _of_prefixes(active, decoder, prefixes, len(x)) + b_dec - x
        silent_for += len(x)
        silent_for[active.latents] = 0
        # A latent contributes to the errors of all prefixes that contain it.
        slopes = (2 / len(x) / len(errors) * errors).flip(0).cumsum(0).flip(0)
        gradients = _gradients(active, slopes, prefixes[active.latents], centred, decoder)
        if help_dead and (dead := (silent_for > _DEAD_AFTER).nonzero()[:, 0]).numel():
            revived = _top_dead(pre[:_AUX_ROWS], dead)
            residual = errors[-1, :_AUX_ROWS] + decode(revived, decoder, _AUX_ROWS)
            aux_slope = 2 * _AUX_SHARE / _AUX_ROWS * residual
            aux = _gradients(revived, aux_slope[None], torch.zeros_like(revived.latents), centred[:_AUX_ROWS], decoder)
            gradients = [one + other for one, other in zip(gradients, aux, strict=True)]
        d_encoder, d_b_enc, d_decoder = gradients
        # Decoder rows keep unit norm, so the component of the gradient along each row is removed.
        d_decoder -= (d_decoder * decoder).sum(1, keepdim=True) * decoder
        found = [d_encoder, d_b_enc, d_decoder, slopes[0].sum(0) - d_b_enc @ encoder]
        if isinstance(choose, Jump):
            l0, some = len(active.values) / len(x), slice(None, None, _JUMP_EVERY)
            found.append(choose.gradient(pre[some], k, l0, _JUMP_EVERY * slopes[-1][some], decoder))
        return found


def _prefixes(width: int, shares: Sequence[float], device: torch.device) -> Tensor:
    """Return the index of the smallest prefix that contains each latent, (latents,)."""
    ends = torch.tensor([round(share * width) for share in shares], device=device)
    return torch.searchsorted(ends, torch.arange(width, device=device), right=True)


def _k_at(done: float, k: int) -> float:
    """Return the target number of active latents per token, after a share of the training."""
    return k * (_FIRST_K - (_FIRST_K - 1) * min(done / _ANNEALED, 1))


def _rate_at(done: float) -> float:
    """Return the factor on the learning rate, after a share of the training."""
    return min((done + 1e-3) / _WARM_UP, 1.0, (1 - done) / _DECAY)


def _normalisation(sample: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the mean of the stream, and the scale with which its mean norm is sqrt(d_model)."""
    x = torch.from_numpy(sample).float().to(device)
    mean = x.mean(0)
    return mean, len(mean) ** 0.5 / (x - mean).norm(dim=1).mean()


def _normalised(batch: np.ndarray, mean: Tensor, scale: Tensor, device: torch.device) -> Tensor:
    return (torch.from_numpy(batch).float().to(device) - mean) * scale


def _top_dead(pre: Tensor, dead: Tensor) -> Active:
    """Return the dead latents with the largest positive pre-activations of each row."""
    values, places = pre[:, dead].float().topk(min(_AUX_LATENTS, len(dead)), dim=1)
    rows = torch.arange(len(pre), device=pre.device)[:, None].expand_as(values)
    positive = values > 0
    return Active(rows[positive], dead[places[positive]], values[positive])


def decode(active: Active, decoder: Tensor, num_rows: int) -> Tensor:
    """Return the sum of the active latents' contributions, (rows, d_model)."""
    return _gathered(active.latents, decoder, active.rows, active.values, num_rows)


def _of_prefixes(active: Active, decoder: Tensor, prefixes: Tensor, num_rows: int) -> Tensor:
    """Return the sum of the contributions of the active latents in each prefix, (prefixes, rows, d_model)."""
    number = int(prefixes[-1]) + 1
    groups = prefixes[active.latents] * num_rows + active.rows
    order = groups.argsort(stable=True)
    added = _gathered(active.latents[order], decoder, groups[order], active.values[order], number * num_rows)
    return added.view(number, num_rows, -1).cumsum(0)


def _gathered(chosen: Tensor, source: Tensor, groups: Tensor, weights: Tensor, num_groups: int) -> Tensor:
    """Sum weighted rows of `source` by group, (num_groups, width); `groups` must be sorted."""
    starts = torch.searchsorted(groups, torch.arange(num_groups, device=groups.device))
    return functional.embedding_bag(chosen, source, starts, mode="sum", per_sample_weights=weights)


def _gradients(active: Active, slopes: Tensor, prefix: Tensor, centred: Tensor, decoder: Tensor) -> list[Tensor]:
    """Return the gradients of encoder, encoder bias and decoder.

    `slopes` are the gradients with respect to the reconstruction, (prefixes, rows, d_model); `prefix` is the index of
    the prefix for each active pair.
    """
    slopes, at = slopes.flatten(0, 1), prefix * len(centred) + active.rows
    d_values = products(slopes, decoder, at, active.latents)
    order = active.latents.argsort()
    latents, width = active.latents[order], len(decoder)
    return [
        _gathered(active.rows[order], centred, latents, d_values[order], width),
        torch.bincount(latents, weights=d_values[order], minlength=width),
        _gathered(at[order], slopes, latents, active.values[order], width),
    ]


def _threshold(sae: TrainedSae, sample: list[np.ndarray], k: int) -> float:
    """Return the factor on the thresholds with which `k` latents per token are active on average on the sample."""
    values, number = [], 0
    floor = 0.0
    with torch.no_grad():
        for batch in sample:
            pre = sae.before(torch.from_numpy(batch).float().to(sae.W_enc.device)) / sae.threshold
            number += len(batch)
            _, more = above(pre, floor)
            # At most twice the wanted number is kept, to limit memory.
            if len(more) > 2 * k * len(batch):
                more = np.partition(more, len(more) - 2 * k * len(batch))[len(more) - 2 * k * len(batch) :]
                floor = 0.8 * float(more.min())
            values.append(more)
    pooled = np.concatenate(values)
    wanted = min(k * number, len(pooled) - 1)
    return float(np.partition(pooled, len(pooled) - wanted - 1)[len(pooled) - wanted - 1])


def mixed(text: Streams, rows: np.ndarray, words: Streams, seed: int) -> Iterator[np.ndarray]:
    """Yield batches of selected rows of running text and of words in prompts, shuffled, endlessly."""
    num_words = round(_BATCH * _WORDS)
    parts = [
        _passes(len(rows), _BATCH - num_words, np.random.RandomState(seed)),
        _passes(len(words), num_words, np.random.RandomState(seed + 1)),
    ]
    while True:
        of_text, of_words = (next(part) for part in parts)
        yield np.concatenate([text[rows[of_text]], words[of_words]])


def _passes(number: int, size: int, rng: np.random.RandomState) -> Iterator[np.ndarray]:
    """Yield batches of `size` indices below `number`, shuffled anew for each pass over all of them."""
    queue = np.empty(0, int)
    while True:
        while len(queue) < size:
            queue = np.concatenate([queue, rng.permutation(number)])
        yield np.sort(queue[:size])
        queue = queue[size:]


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Run the stage."""
    windows, layer = load_windows(needs["text"]), settings["layer"]
    length = windows.ids.shape[1] - 1
    text = load_streams(needs["text_activations"], str(layer))
    rows = np.flatnonzero(not_massive(text))
    rows = rows[rows >= windows.num_held_out * length]
    words = load_streams(needs["activations"], f"mix-{layer}")
    done = 0

    def count(number: int) -> None:
        nonlocal done
        done += number
        progress(done / settings["tokens"])

    sae = train(
        lambda seed: mixed(text, rows, words, seed),
        architecture=settings["architecture"],
        width=settings["width"],
        k=settings["k"],
        tokens=settings["tokens"],
        seed=settings["seed"],
        device=best_device(),
        progress=count,
    )
    sae.save(out / WEIGHTS)
    (out / RECORD).write_text(json.dumps({"tokens_seen": done}), "utf-8")
