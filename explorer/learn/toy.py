"""A toy in which absorption can be computed: two features, one of which may imply the other, and an SAE.

The parent has the direction (1, 0), the child (0, 1). An input is the sum of the directions of its features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

#: The kinds of input: whether each has the parent and the child.
INPUTS = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
KINDS = ("parent and child", "parent only", "child only", "neither")
_BOTH, _PARENT, _CHILD, _ = range(4)
#: Halvings of an interval of length 2 at most: to the last digits of a float.
_HALVINGS = 60


class Toy(NamedTuple):
    """How often the features occur, and what sparsity is worth.

    Attributes
    ----------
    parent : float
        Probability of the parent.
    child : float
        Probability of the child where the parent is.
    alone : float
        Probability of the child where the parent is not; 0 where the child implies the parent.
    sparsity : float
        Weight of the sparsity loss.
    """

    parent: float = 0.5
    child: float = 0.3
    alone: float = 0.0
    sparsity: float = 0.1

    @property
    def probabilities(self) -> np.ndarray:
        """The probability of each kind of input."""
        p, q, r = self.parent, self.child, self.alone
        return np.array([p * q, p * (1 - q), (1 - p) * r, (1 - p) * (1 - r)])

    @property
    def any_child(self) -> float:
        """The probability of the child."""
        return self.parent * self.child + (1 - self.parent) * self.alone

    @property
    def correlation(self) -> float:
        """The correlation of the two features over all inputs."""
        variances = self.parent * (1 - self.parent) * self.any_child * (1 - self.any_child)
        return float(self.parent * (1 - self.parent) * (self.child - self.alone) / np.sqrt(variances))


class ToySae(NamedTuple):
    """An SAE.

    Attributes
    ----------
    encoder, decoder : ndarray of shape (latents, 2)
    bias : ndarray of shape (latents,)
        Of the encoder.
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
        """What it makes of each kind of input, of shape (4, 2)."""
        return self.activations @ self.decoder + self.decoder_bias

    @property
    def errors(self) -> np.ndarray:
        """The reconstruction error on each kind of input."""
        error: np.ndarray = ((self.outputs - INPUTS) ** 2).sum(axis=1)
        return error

    @property
    def sizes(self) -> np.ndarray:
        """The sparsity loss on each kind of input."""
        return self.activations @ np.linalg.norm(self.decoder, axis=1)


class Loss(NamedTuple):
    """Expected over the inputs; each a number, or an array of them.

    Attributes
    ----------
    error : float or ndarray
        Squared distance of input and output.
    sparsity : float or ndarray
        Sum of the activations, each times the length of its latent's decoder row.
    total : float or ndarray
        Their sum, sparsity weighted.
    """

    error: Any
    sparsity: Any
    total: Any


def absorbing_sae(absorption: float) -> ToySae:
    """Return the SAE at a place between no absorption, 0, and full absorption, 1."""
    return ToySae(
        np.array([[1.0, -absorption], [0.0, 1.0]]),
        np.array([[1.0, 0.0], [absorption, 1.0]]),
        np.zeros(2),
        np.zeros(2),
    )


def hedging_sae(toy: Toy, hedging: float) -> ToySae:
    """Return the SAE of one latent that fires on the parent and writes `hedging` of the child, with its best bias."""
    return ToySae(
        np.array([[1.0, 0.0]]),
        np.array([[1.0, hedging]]),
        np.zeros(1),
        np.array([0.0, toy.any_child - hedging * toy.parent]),
    )


def expected_loss(toy: Toy, sae: ToySae) -> Loss:
    """Add up the loss of any SAE over the kinds of input."""
    error, sparsity = toy.probabilities @ sae.errors, toy.probabilities @ sae.sizes
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
    """Return the absorption, from 0 to 1, with the least loss; the loss is convex in it."""
    both, _, child, _ = toy.probabilities

    def slope(at: float) -> float:
        return 2 * child * at + toy.sparsity * ((both + child) * at / np.sqrt(1 + at**2) - both)

    return _zero(slope, 0.0, 1.0)


def best_hedging(toy: Toy) -> float:
    """Return the hedging, from -1 to 1, with the least loss; the loss is convex in it."""

    def slope(at: float) -> float:
        pull = 2 * (1 - toy.parent) * (at - (toy.child - toy.alone))
        return toy.parent * (pull + toy.sparsity * at / np.sqrt(1 + at**2))

    return _zero(slope, -1.0, 1.0)


def _zero(slope: Callable[[float], float], low: float, high: float) -> float:
    """Find where a slope that only rises crosses zero; the nearer end where it does not."""
    if slope(high) <= 0:
        return high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return low


def measured_absorption(activations: np.ndarray) -> np.ndarray:
    """Place SAEs on the axis from no absorption to absorbed, by how they behave.

    Parameters
    ----------
    activations : ndarray of shape (..., 4, latents)
        On each kind of input, each times the length of its latent's decoder row.

    Returns
    -------
    ndarray of shape (...)
        By how much the latent of the parent, the one that fires most on the parent alone, fires less where the child
        is, too: 0 not at all, 1 it is silent. Below 0 it fires more: it has mixed in the child. NaN where no latent
        fires on the parent alone.
    """
    alone, both = activations[..., _PARENT, :], activations[..., _BOTH, :]
    main = alone.argmax(axis=-1, keepdims=True)
    fires = np.take_along_axis(alone, main, -1)[..., 0]
    beside = np.take_along_axis(both, main, -1)[..., 0]
    return np.where(fires > 0, 1 - beside / np.where(fires > 0, fires, 1), np.nan)
