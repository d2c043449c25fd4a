"""Training of the toy SAE: Adam on its expected loss, from several random starts at once."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from explorer.learn.toy import INPUTS, Toy, ToySae, measured_absorption

#: Number of SAEs trained in parallel, training steps, and steps between recordings.
STARTS, STEPS, EVERY = 8, 1500, 25
_RATE, _DECAY, _SQUARE_DECAY, _TINY = 0.02, 0.9, 0.99, 1e-12
#: Length of the decoder rows at the start.
_LENGTH = 0.6


class Training(NamedTuple):
    """The result of training.

    Attributes
    ----------
    steps : ndarray of shape (recordings,)
    absorption, loss : ndarray of shape (recordings, starts)
        `measured_absorption` of each SAE, and its expected loss.
    ends : tuple of ToySae
        The trained SAEs.
    """

    steps: np.ndarray
    absorption: np.ndarray
    loss: np.ndarray
    ends: tuple[ToySae, ...]


@lru_cache(maxsize=64)
def train(toy: Toy, seed: int) -> Training:
    """Train SAEs of two latents by Adam on the exact expected loss; the same toy and seed give the same numbers.

    The decoder rows start in random directions of the quadrant that the inputs span, and the encoder rows equal them.
    In other quadrants, a latent can be silent on every input from the start, and would remain so.

    Parameters
    ----------
    toy : Toy
    seed : int
        Seed of the initial weights.

    Returns
    -------
    Training
    """
    rng = np.random.default_rng(seed)
    decoder = np.abs(rng.normal(size=(STARTS, 2, 2)))
    decoder *= _LENGTH / np.linalg.norm(decoder, axis=2, keepdims=True)
    # One row per SAE: encoder by columns, its bias, decoder by rows.
    weights = np.concatenate(
        [decoder.transpose(0, 2, 1).reshape(STARTS, 4), np.zeros((STARTS, 2)), decoder.reshape(STARTS, 4)], axis=1
    )
    probability = toy.probabilities[:, None]
    mean, square = np.zeros_like(weights), np.zeros_like(weights)
    activations, losses = [], []
    for step in range(STEPS + 1):
        encoder, bias, decoder = _parts(weights)
        before = INPUTS @ encoder + bias[:, None]
        active = np.maximum(before, 0.0)
        length = np.sqrt((decoder**2).sum(axis=2) + _TINY)
        off = active @ decoder - INPUTS
        if step % EVERY == 0:
            sizes = active * length[:, None]
            activations.append(sizes)
            of_kinds = (off**2).sum(axis=2) + toy.sparsity * sizes.sum(axis=2)
            losses.append(of_kinds @ toy.probabilities)
        by_output = 2 * probability * off
        by_input = (by_output @ decoder.transpose(0, 2, 1) + toy.sparsity * probability * length[:, None]) * (
            before > 0
        )
        by_decoder = active.transpose(0, 2, 1) @ by_output
        by_decoder += (toy.sparsity * (toy.probabilities @ active) / length)[..., None] * decoder
        gradient = np.concatenate(
            [(INPUTS.T @ by_input).reshape(STARTS, 4), by_input.sum(axis=1), by_decoder.reshape(STARTS, 4)], axis=1
        )
        mean += (1 - _DECAY) * (gradient - mean)
        square += (1 - _SQUARE_DECAY) * (gradient**2 - square)
        size = np.sqrt(square / (1 - _SQUARE_DECAY ** (step + 1))) + _TINY
        weights = weights - _RATE / (1 - _DECAY ** (step + 1)) * mean / size
    return Training(
        np.arange(0, STEPS + 1, EVERY),
        measured_absorption(np.array(activations)),
        np.array(losses),
        tuple(
            ToySae(rows.T, row_decoder, row_bias, np.zeros(2))
            for rows, row_bias, row_decoder in zip(encoder, bias, decoder, strict=True)
        ),
    )


def _parts(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return encoder columns, encoder bias and decoder rows of all SAEs."""
    return weights[:, :4].reshape(-1, 2, 2), weights[:, 4:6], weights[:, 6:].reshape(-1, 2, 2)
