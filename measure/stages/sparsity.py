"""Which latents of a batch are active while an SAE is trained: the difference between the architectures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

#: What is trained, by the name that a configuration gives it.
Architecture = Literal["batchtopk", "matryoshka", "topk", "jumprelu"]
#: What a suite calls them.
LABELS: Mapping[Architecture, str] = {
    "batchtopk": "BatchTopK",
    "matryoshka": "Matryoshka BatchTopK",
    "topk": "TopK",
    "jumprelu": "JumpReLU",
}

#: JumpReLU: width of the window around a threshold in which its gradient is estimated, and the weight of the penalty.
_WINDOW, _PENALTY = 0.5, 300.0


class Active(NamedTuple):
    """Pairs of row and latent that are active, by row, and how strongly."""

    rows: Tensor
    latents: Tensor
    values: Tensor


class BatchTop:
    """The largest of a whole batch: BatchTopK (Bussmann et al., 2024) and Matryoshka (Bussmann et al., 2025).

    A value above which there are surely enough, guessed from the batch before, leaves few to be ordered.
    """

    def __init__(self) -> None:
        self.guess = 0.0

    def __call__(self, pre: Tensor, k: float) -> Active:
        """Return the pre-activations of a batch that are active, `k` a row on average."""
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
        """Return the pre-activations of a batch that are active, at most `k` a row."""
        values, latents = pre.float().topk(min(round(k), pre.shape[1]), dim=1)
        rows = torch.arange(len(pre), device=pre.device)[:, None].expand_as(values)
        positive = values > 0
        return Active(rows[positive], latents[positive], values[positive])


class Jump:
    """All above a threshold of each latent's own, which is learned: JumpReLU (Rajamanoharan et al., 2024).

    The penalty grows with the square of L0's distance from k, as in that paper's section on targets. Thresholds are
    learned by their logarithm.

    Parameters
    ----------
    width : int
        Number of latents.
    device : torch.device
    """

    def __init__(self, width: int, device: torch.device) -> None:
        self.log_threshold: Tensor = torch.zeros(width, device=device)
        self._begun = False

    def __call__(self, pre: Tensor, k: float) -> Active:
        """Return the pre-activations of a batch that are active; on the first batch, `k` a row on average."""
        if not self._begun:
            self._begun = True
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
        """Return the gradient of the logarithms of the thresholds, estimated within a window around each.

        Parameters
        ----------
        pre : Tensor
            Pre-activations, (rows, latents).
        k, l0 : float
            Latents that should be, and that are, active a row.
        slope : Tensor
            Gradient of the reconstruction's error by the reconstruction, (rows, d_model).
        decoder : Tensor
            Directions, (latents, d_model).
        """
        threshold = self.threshold
        places = np.flatnonzero(((pre.float() - threshold).abs() < _WINDOW / 2).cpu().numpy())
        at = torch.from_numpy(places).to(pre.device)
        rows, latents = at // pre.shape[1], at % pre.shape[1]
        by_error = -threshold[latents] * products(slope, decoder, rows, latents)
        by_penalty = -2 * _PENALTY * (l0 / k - 1) / k / len(pre)
        return threshold / _WINDOW * torch.bincount(latents, weights=by_error + by_penalty, minlength=len(threshold))


def products(slope: Tensor, decoder: Tensor, rows: Tensor, latents: Tensor) -> Tensor:
    """Return the product of a row's slope and a latent's direction, for each pair of row and latent."""
    return torch.cat(
        [(slope[some] * decoder[of]).sum(1) for some, of in zip(rows.split(8192), latents.split(8192), strict=True)]
        or [slope.new_zeros(0)]
    )


def above(pre: Tensor, bound: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the places, in a flat array, of the values above a bound, and these."""
    places = np.flatnonzero((pre > bound).cpu().numpy())
    return places, pre.view(-1)[torch.from_numpy(places).to(pre.device)].float().cpu().numpy()


def _active(pre: Tensor, places: np.ndarray, values: np.ndarray) -> Active:
    at = torch.from_numpy(places).to(pre.device)
    return Active(at // pre.shape[1], at % pre.shape[1], torch.from_numpy(values).to(pre.device))
