"""Stage: train a BatchTopK SAE on the stream, by hand-written gradients that touch active latents only."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from measure.device import best_device, fast_precision
from measure.saes.batch_topk import BatchTopK
from measure.saes.loading import RECORD, WEIGHTS
from measure.stages.parts import load_streams
from measure.stages.text import load_windows
from measure.streams import ordinary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

    from measure.streams import Streams

_BATCH = 1024
#: Share of a batch that is training words in prompts; the rest is running text.
_WORDS = 0.2
_RATE, _WARM_UP, _DECAY = 3e-3, 0.05, 0.25
_ANNEALED, _FIRST_K = 0.1, 3
#: AuxK: dead latents take part in what is left over, every second step on a quarter of the batch.
_AUX_SHARE, _AUX_LATENTS, _AUX_ROWS, _DEAD_AFTER = 1 / 32, 64, 256, 150_000
_SAMPLED_BATCHES = 32


class Active(NamedTuple):
    """Pairs of row and latent that are active, by row, and how strongly."""

    rows: Tensor
    latents: Tensor
    values: Tensor


def train(
    batches: Callable[[int], Iterator[np.ndarray]],
    *,
    width: int,
    k: int,
    tokens: int,
    seed: int,
    device: torch.device,
    progress: Callable[[int], None] = lambda _: None,
) -> BatchTopK:
    """Train an SAE.

    Parameters
    ----------
    batches : callable
        Takes a seed; returns batches of the stream without end, (rows, d_model).
    width, k : int
        Number of latents, and of those active on a token, on average.
    tokens : int
        Number of tokens to train on.
    seed : int
        Of the first weights and of the order of the data.
    device : torch.device
    progress : callable
        Told of each batch how many tokens it had.
    """
    stream = batches(seed)
    # What normalises and where the threshold lies is read off batches in another order.
    sample = [next(held) for held in [batches(seed + 1)] for _ in range(_SAMPLED_BATCHES)]
    mean, scale = _normalisation(np.concatenate(sample), device)
    torch.manual_seed(seed)
    decoder = functional.normalize(torch.randn(width, len(mean), device=device), dim=1)
    parameters = [decoder.clone(), torch.zeros(width, device=device), decoder, torch.zeros(len(mean), device=device)]
    encoder, b_enc, decoder, b_dec = parameters
    for parameter in parameters:
        parameter.requires_grad_()
    optimizer = torch.optim.Adam(parameters, lr=_RATE, fused=True)
    steps = -(-tokens // _BATCH)
    precision = fast_precision(device)
    silent_for = torch.zeros(width, device=device)
    guess = 0.0
    for step in range(steps):
        x = _normalised(next(stream), mean, scale, device)
        with torch.no_grad():
            centred = x - b_dec
            pre = functional.linear(*(one.to(precision) for one in (centred, encoder, b_enc)))
            active, guess = batch_top(pre, round(len(x) * _k_at(step / steps, k)), guess)
            error = decode(active, decoder, len(x)) + b_dec - x
            silent_for += len(x)
            silent_for[active.latents] = 0
            slope = 2 / len(x) * error
            gradients = _gradients(active, slope, centred, decoder)
            if step % 2 and (dead := (silent_for > _DEAD_AFTER).nonzero()[:, 0]).numel():
                helping = _helpers(pre[:_AUX_ROWS], dead)
                left = error[:_AUX_ROWS] + decode(helping, decoder, _AUX_ROWS)
                slope_left = 2 * _AUX_SHARE / _AUX_ROWS * left
                aux = _gradients(helping, slope_left, centred[:_AUX_ROWS], decoder)
                gradients = [one + other for one, other in zip(gradients, aux, strict=True)]
            d_encoder, d_b_enc, d_decoder = gradients
            # Along a unit row there is no slope.
            d_decoder -= (d_decoder * decoder).sum(1, keepdim=True) * decoder
            d_b_dec = slope.sum(0) - d_b_enc @ encoder
        for parameter, gradient in zip(parameters, (d_encoder, d_b_enc, d_decoder, d_b_dec), strict=True):
            parameter.grad = gradient
        optimizer.param_groups[0]["lr"] = _RATE * _rate_at(step / steps)
        optimizer.step()
        with torch.no_grad():
            decoder /= decoder.norm(dim=1, keepdim=True)
        progress(len(x))
    encoder, b_enc, decoder, b_dec = (parameter.detach() for parameter in parameters)
    sae = BatchTopK(encoder.T.contiguous(), b_enc, decoder, b_dec, mean, scale, torch.tensor(0.0, device=device))
    sae.threshold = _threshold(sae, sample, k)
    return sae


def _k_at(done: float, k: int) -> float:
    """Return the number of active latents a token at that share of the training."""
    return k * (_FIRST_K - (_FIRST_K - 1) * min(done / _ANNEALED, 1))


def _rate_at(done: float) -> float:
    """Return the share of the learning rate at that share of the training."""
    return min((done + 1e-3) / _WARM_UP, 1.0, (1 - done) / _DECAY)


def _normalisation(sample: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the mean of the stream, and the scale that gives it a mean norm of the root of its width."""
    x = torch.from_numpy(sample).float().to(device)
    mean = x.mean(0)
    return mean, len(mean) ** 0.5 / (x - mean).norm(dim=1).mean()


def _normalised(batch: np.ndarray, mean: Tensor, scale: Tensor, device: torch.device) -> Tensor:
    return (torch.from_numpy(batch).float().to(device) - mean) * scale


def batch_top(pre: Tensor, number: int, guess: float) -> tuple[Active, float]:
    """Return the `number` largest pre-activations of a batch that are positive, and a bound for the next batch.

    A value above which there are surely enough, guessed from the batch before, leaves few to be ordered.
    """
    places, values = _above(pre, guess)
    if len(values) < number and guess > 0:
        places, values = _above(pre, 0.0)
    if len(values) > number:
        least = np.partition(values, len(values) - number)[len(values) - number]
        kept = values >= least
        places, values = places[kept], values[kept]
    at = torch.from_numpy(places).to(pre.device)
    active = Active(at // pre.shape[1], at % pre.shape[1], torch.from_numpy(values).to(pre.device))
    return active, 0.8 * float(values.min()) if len(values) else 0.0


def _above(pre: Tensor, bound: float) -> tuple[np.ndarray, np.ndarray]:
    places = np.flatnonzero((pre > bound).cpu().numpy())
    return places, pre.view(-1)[torch.from_numpy(places).to(pre.device)].float().cpu().numpy()


def _helpers(pre: Tensor, dead: Tensor) -> Active:
    """Let the strongest dead latents of each row take part."""
    values, places = pre[:, dead].float().topk(min(_AUX_LATENTS, len(dead)), dim=1)
    rows = torch.arange(len(pre), device=pre.device)[:, None].expand_as(values)
    speaking = values > 0
    return Active(rows[speaking], dead[places[speaking]], values[speaking])


def decode(active: Active, decoder: Tensor, num_rows: int) -> Tensor:
    """Return what the active latents add up to, row by row."""
    return _gathered(active.latents, decoder, active.rows, active.values, num_rows)


def _gathered(chosen: Tensor, source: Tensor, groups: Tensor, weights: Tensor, num_groups: int) -> Tensor:
    """Add up weighted rows of `source` by group; groups are in order."""
    starts = torch.searchsorted(groups, torch.arange(num_groups, device=groups.device))
    return functional.embedding_bag(chosen, source, starts, mode="sum", per_sample_weights=weights)


def _gradients(active: Active, slope: Tensor, centred: Tensor, decoder: Tensor) -> list[Tensor]:
    """Return the gradients of encoder, its bias and decoder; `slope` is that of the reconstruction."""
    d_values = torch.cat(
        [
            (slope[rows] * decoder[latents]).sum(1)
            for rows, latents in zip(active.rows.split(8192), active.latents.split(8192), strict=True)
        ]
        or [slope.new_zeros(0)]
    )
    order = active.latents.argsort()
    latents, rows, width = active.latents[order], active.rows[order], len(decoder)
    return [
        _gathered(rows, centred, latents, d_values[order], width),
        torch.bincount(latents, weights=d_values[order], minlength=width),
        _gathered(rows, slope, latents, active.values[order], width),
    ]


def _threshold(sae: BatchTopK, sample: list[np.ndarray], k: int) -> Tensor:
    """Return the threshold above which `k` latents a token are active on the sample, on average."""
    values, number = [], 0
    floor = 0.0
    with torch.no_grad():
        for batch in sample:
            pre = sae.normalised(torch.from_numpy(batch).float().to(sae.W_enc.device)) @ sae.W_enc + sae.b_enc
            number += len(batch)
            _, above = _above(pre, floor)
            # More than twice as many as wanted are never needed.
            if len(above) > 2 * k * len(batch):
                above = np.partition(above, len(above) - 2 * k * len(batch))[len(above) - 2 * k * len(batch) :]
                floor = 0.8 * float(above.min())
            values.append(above)
    pooled = np.concatenate(values)
    wanted = min(k * number, len(pooled) - 1)
    found = np.partition(pooled, len(pooled) - wanted - 1)[len(pooled) - wanted - 1]
    return torch.tensor(float(found), device=sae.W_enc.device)


def mixed(text: Streams, rows: np.ndarray, words: Streams, seed: int) -> Iterator[np.ndarray]:
    """Go through chosen rows of running text and through words in prompts, shuffled, again and again."""
    num_words = round(_BATCH * _WORDS)
    parts = [
        _passes(len(rows), _BATCH - num_words, np.random.RandomState(seed)),
        _passes(len(words), num_words, np.random.RandomState(seed + 1)),
    ]
    while True:
        of_text, of_words = (next(part) for part in parts)
        yield np.concatenate([text[rows[of_text]], words[of_words]])


def _passes(number: int, size: int, rng: np.random.RandomState) -> Iterator[np.ndarray]:
    """Draw `size` of `number` things at a time, without repeating one before all had their turn."""
    ahead = np.empty(0, int)
    while True:
        while len(ahead) < size:
            ahead = np.concatenate([ahead, rng.permutation(number)])
        yield np.sort(ahead[:size])
        ahead = ahead[size:]


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Do the stage."""
    windows, layer = load_windows(needs["text"]), settings["layer"]
    length = windows.ids.shape[1] - 1
    text = load_streams(needs["text_activations"], str(layer))
    rows = np.flatnonzero(ordinary(text))
    rows = rows[rows >= windows.num_held_out * length]
    words = load_streams(needs["activations"], f"mix-{layer}")
    done = 0

    def count(number: int) -> None:
        nonlocal done
        done += number
        progress(done / settings["tokens"])

    sae = train(
        lambda seed: mixed(text, rows, words, seed),
        width=settings["width"],
        k=settings["k"],
        tokens=settings["tokens"],
        seed=settings["seed"],
        device=best_device(),
        progress=count,
    )
    sae.save(out / WEIGHTS)
    (out / RECORD).write_text(json.dumps({"tokens_seen": done}), "utf-8")
