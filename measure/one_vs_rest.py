"""Logistic regressions, one per letter, trained together in mini-batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

_RATE = 1e-2


def train_one_vs_rest(
    logits_of: Callable[[Tensor], Tensor],
    parameters: list[Tensor],
    targets: Tensor,
    *,
    epochs: int,
    batch: int,
    end_rate: float,
    weight_decay: float,
    seed: int,
    penalty: Callable[[], Tensor] | None = None,
) -> None:
    """Train the parameters of one-vs-rest logistic regressions in place, by Adam.

    Classes are weighted so that the words of a letter have the same total weight as all other words. The learning rate
    falls exponentially from 0.01 to `end_rate`.

    Parameters
    ----------
    logits_of : callable
        Takes row indices, returns logits, (rows, letters).
    parameters : list of Tensor
    targets : Tensor
        1 for the letter of a row, else 0, (all rows, letters).
    epochs, batch : int
    end_rate : float
    weight_decay : float
    seed : int
        Seed of the order of the rows.
    penalty : callable, optional
        Returns a term that is added to the loss of each batch.
    """
    torch.manual_seed(seed)
    positives = targets.sum(0)
    balance = (len(targets) - positives) / positives.clamp_min(1)
    optimizer = torch.optim.Adam(parameters, lr=_RATE, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, (end_rate / _RATE) ** (1 / epochs))
    for _ in range(epochs):
        for rows in torch.randperm(len(targets)).split(batch):
            loss = functional.binary_cross_entropy_with_logits(
                logits_of(rows), targets[rows.to(targets.device)], pos_weight=balance
            )
            if penalty is not None:
                loss = loss + penalty()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
