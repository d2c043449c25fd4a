"""A toy model in which absorption can be computed: two features, one of which may imply the other, and an SAE.

The parent has the direction (1, 0), the child (0, 1). An input is the sum of the directions of its features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

#: The kinds of input, as columns parent and child.
INPUTS = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
KINDS = ("parent and child", "parent only", "child only", "neither")
_BOTH, _PARENT, _CHILD, _ = range(4)
#: Bisection steps, enough for double precision on an interval of length 2.
_HALVINGS = 60


class Toy(NamedTuple):
    """Probabilities of the features, and weight of sparsity.

    Attributes
    ----------
    parent : float
        Probability of the parent.
    child : float
        Probability of the child, given the parent.
    alone : float
        Probability of the child without the parent; 0 if the child implies the parent.
    sparsity : float
        Weight of the sparsity loss.
    """

    parent: float = 0.5
    child: float = 0.3
    alone: float = 0.0
    sparsity: float = 0.1

    @property
    def probabilities(self) -> np.ndarray:
        """The probability of each kind of input, of shape (4,)."""
        p, q, r = self.parent, self.child, self.alone
        return np.array([p * q, p * (1 - q), (1 - p) * r, (1 - p) * (1 - r)])

    @property
    def any_child(self) -> float:
        """The probability of the child."""
        return self.parent * self.child + (1 - self.parent) * self.alone

    @property
    def correlation(self) -> float:
        """The Pearson correlation of the two features."""
        variances = self.parent * (1 - self.parent) * self.any_child * (1 - self.any_child)
        return float(self.parent * (1 - self.parent) * (self.child - self.alone) / np.sqrt(variances))


class ToySae(NamedTuple):
    """The SAE of the toy.

    Attributes
    ----------
    encoder, decoder : ndarray of shape (latents, 2)
    bias : ndarray of shape (latents,)
        Bias of the encoder.
    decoder_bias : ndarray of shape (2,)
    """

    encoder: np.ndarray
    decoder: np.ndarray
    bias: np.ndarray
    decoder_bias: np.ndarray

    @property
    def activations(self) -> np.ndarray:
        """The activation of each latent on each kind of input, of shape (4, latents)."""
        return np.maximum(0.0, INPUTS @ self.encoder.T + self.bias)

    @property
    def outputs(self) -> np.ndarray:
        """The reconstruction of each kind of input, of shape (4, 2)."""
        return self.activations @ self.decoder + self.decoder_bias

    @property
    def errors(self) -> np.ndarray:
        """The squared reconstruction error on each kind of input, of shape (4,)."""
        error: np.ndarray = ((self.outputs - INPUTS) ** 2).sum(axis=1)
        return error

    @property
    def sparsity_losses(self) -> np.ndarray:
        """The sparsity loss on each kind of input, of shape (4,), without its weight."""
        return self.activations @ np.linalg.norm(self.decoder, axis=1)


class Loss(NamedTuple):
    """Expected loss over the inputs; each attribute is a number or an array.

    Attributes
    ----------
    error : float or ndarray
        Squared distance of input and output.
    sparsity : float or ndarray
        Sum over latents of activation times norm of the decoder row, without its weight.
    total : float or ndarray
        error + weight * sparsity.
    """

    error: Any
    sparsity: Any
    total: Any


def absorbing_sae(absorption: float) -> ToySae:
    """Return the SAE of two latents with the given absorption, from 0 (none) to 1 (full)."""
    return ToySae(
        np.array([[1.0, -absorption], [0.0, 1.0]]),
        np.array([[1.0, 0.0], [absorption, 1.0]]),
        np.zeros(2),
        np.zeros(2),
    )


def hedging_sae(toy: Toy, hedging: float) -> ToySae:
    """Return the SAE of one latent that fires on the parent and adds `hedging` of the child, with the optimal bias."""
    return ToySae(
        np.array([[1.0, 0.0]]),
        np.array([[1.0, hedging]]),
        np.zeros(1),
        np.array([0.0, toy.any_child - hedging * toy.parent]),
    )


def expected_loss(toy: Toy, sae: ToySae) -> Loss:
    """Return the expected loss of any SAE."""
    error, sparsity = toy.probabilities @ sae.errors, toy.probabilities @ sae.sparsity_losses
    return Loss(float(error), float(sparsity), float(error + toy.sparsity * sparsity))


def absorption_loss(toy: Toy, absorption: Any) -> Loss:
    """Return the loss of `absorbing_sae` in closed form."""
    both, parent, child, _ = toy.probabilities
    length = np.sqrt(1 + absorption**2)
    error = child * absorption**2
    sparsity = both * (1 - absorption + length) + parent + child * length
    return Loss(error, sparsity, error + toy.sparsity * sparsity)


def hedging_loss(toy: Toy, hedging: Any) -> Loss:
    """Return the loss of `hedging_sae` in closed form."""
    variance = toy.parent * (1 - toy.parent)
    error = toy.any_child * (1 - toy.any_child) + variance * (hedging**2 - 2 * hedging * (toy.child - toy.alone))
    sparsity = toy.parent * np.sqrt(1 + hedging**2)
    return Loss(error, sparsity, error + toy.sparsity * sparsity)


def best_absorption(toy: Toy) -> float:
    """Return the absorption from 0 to 1 that minimizes the loss, which is convex in it."""
    both, _, child, _ = toy.probabilities

    def slope(at: float) -> float:
        return 2 * child * at + toy.sparsity * ((both + child) * at / np.sqrt(1 + at**2) - both)

    return _zero(slope, 0.0, 1.0)


def best_hedging(toy: Toy) -> float:
    """Return the hedging from -1 to 1 that minimizes the loss, which is convex in it."""

    def slope(at: float) -> float:
        pull = 2 * (1 - toy.parent) * (at - (toy.child - toy.alone))
        return toy.parent * (pull + toy.sparsity * at / np.sqrt(1 + at**2))

    return _zero(slope, -1.0, 1.0)


def _zero(slope: Callable[[float], float], low: float, high: float) -> float:
    """Return the zero of an increasing slope by bisection; without a zero, the end of the interval closest to it."""
    if slope(high) <= 0:
        return high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return low


def measured_absorption(activations: np.ndarray) -> np.ndarray:
    """Measure the absorption of SAEs by their activations.

    Parameters
    ----------
    activations : ndarray of shape (..., 4, latents)
        Activation on each kind of input, times the norm of the latent's decoder row.

    Returns
    -------
    ndarray of shape (...)
        1 - (activation with the child / activation without it) of the latent that fires most on the parent alone: 0 if
        the child makes no difference, 1 if the latent is silent with it. Below 0 it fires more with the child. NaN if
        no latent fires on the parent alone.
    """
    parent_only, both = activations[..., _PARENT, :], activations[..., _BOTH, :]
    main = parent_only.argmax(axis=-1, keepdims=True)
    without_child = np.take_along_axis(parent_only, main, -1)[..., 0]
    with_child = np.take_along_axis(both, main, -1)[..., 0]
    return np.where(without_child > 0, 1 - with_child / np.where(without_child > 0, without_child, 1), np.nan)
