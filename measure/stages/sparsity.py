"""Activation functions during training, in which the architectures differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

#: Architectures that can be trained, by their names in configurations.
Architecture = Literal["batchtopk", "matryoshka", "topk", "jumprelu"]
#: Their names in suites.
LABELS: Mapping[Architecture, str] = {
    "batchtopk": "BatchTopK",
    "matryoshka": "Matryoshka BatchTopK",
    "topk": "TopK",
    "jumprelu": "JumpReLU",
}

#: JumpReLU: bandwidth of the estimate of a threshold's gradient, and weight of the sparsity penalty.
_WINDOW, _PENALTY = 0.5, 300.0


class Active(NamedTuple):
    """Active pairs of row and latent, sorted by row, and their activations."""

    rows: Tensor
    latents: Tensor
    values: Tensor


class BatchTop:
    """The largest of a whole batch: BatchTopK (Bussmann et al., 2024) and Matryoshka (Bussmann et al., 2025).

    For speed, only pre-activations above a guess from the previous batch are sorted.
    """

    def __init__(self) -> None:
        self.guess = 0.0

    def __call__(self, pre: Tensor, k: float) -> Active:
        """Return the active pre-activations of a batch, `k` per row on average."""
        number = round(len(pre) * k)
        places, values = above(pre, self.guess)
        if len(values) < number and self.guess > 0:
            places, values = above(pre, 0.0)
        if len(values) > number:
            least = np.partition(values, len(values) - number)[len(values) - number]
            kept = values >= least
            places, values = places[kept], values[kept]
        self.guess = 0.8 * float(values.min()) if len(values) else 0.0
        return _active(pre, places, values)


class Top:
    """The largest of each row: TopK (Gao et al., 2024)."""

    def __call__(self, pre: Tensor, k: float) -> Active:
        """Return the active pre-activations of a batch, at most `k` per row."""
        values, latents = pre.float().topk(min(round(k), pre.shape[1]), dim=1)
        rows = torch.arange(len(pre), device=pre.device)[:, None].expand_as(values)
        positive = values > 0
        return Active(rows[positive], latents[positive], values[positive])


class Jump:
    """All above a learned threshold per latent: JumpReLU (Rajamanoharan et al., 2024).

    The penalty is quadratic in the difference of L0 and k, as in that paper's section on targets. The parameters are
    the logarithms of the thresholds.

    Parameters
    ----------
    width : int
        Number of latents.
    device : torch.device
    """

    def __init__(self, width: int, device: torch.device) -> None:
        self.log_threshold: Tensor = torch.zeros(width, device=device)
        self._initialised = False

    def __call__(self, pre: Tensor, k: float) -> Active:
        """Return the active pre-activations of a batch; the first call sets the thresholds for `k` per row."""
        if not self._initialised:
            self._initialised = True
            with torch.no_grad():
                self.log_threshold.fill_(float(BatchTop()(pre, k).values.min().log()))
        places, values = above(pre - self.threshold.to(pre.dtype), 0.0)
        active = _active(pre, places, values)
        return active._replace(values=pre[active.rows, active.latents].float())

    @property
    def threshold(self) -> Tensor:
        """The thresholds, (latents,)."""
        return self.log_threshold.exp()

    def gradient(self, pre: Tensor, k: float, l0: float, slope: Tensor, decoder: Tensor) -> Tensor:
        """Return the gradient for the logarithms of the thresholds, with a rectangular kernel of width `_WINDOW`.

        Parameters
        ----------
        pre : Tensor
            Pre-activations, (rows, latents).
        k, l0 : float
            Target and actual number of active latents per row.
        slope : Tensor
            Gradient of the loss with respect to the reconstruction, (rows, d_model).
        decoder : Tensor
            (latents, d_model)
        """
        threshold = self.threshold
        places = np.flatnonzero(((pre.float() - threshold).abs() < _WINDOW / 2).cpu().numpy())
        at = torch.from_numpy(places).to(pre.device)
        rows, latents = at // pre.shape[1], at % pre.shape[1]
        by_error = -threshold[latents] * products(slope, decoder, rows, latents)
        by_penalty = -2 * _PENALTY * (l0 / k - 1) / k / len(pre)
        return threshold / _WINDOW * torch.bincount(latents, weights=by_error + by_penalty, minlength=len(threshold))


def products(slope: Tensor, decoder: Tensor, rows: Tensor, latents: Tensor) -> Tensor:
    """Return the dot product of a row's slope with a latent's direction for each pair, (pairs,)."""
    return torch.cat(
        [(slope[some] * decoder[of]).sum(1) for some, of in zip(rows.split(8192), latents.split(8192), strict=True)]
        or [slope.new_zeros(0)]
    )


def above(pre: Tensor, bound: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the flat indices of the values above a bound, and these values."""
    places = np.flatnonzero((pre > bound).cpu().numpy())
    return places, pre.view(-1)[torch.from_numpy(places).to(pre.device)].float().cpu().numpy()


def _active(pre: Tensor, places: np.ndarray, values: np.ndarray) -> Active:
    at = torch.from_numpy(places).to(pre.device)
    return Active(at // pre.shape[1], at % pre.shape[1], torch.from_numpy(values).to(pre.device))
