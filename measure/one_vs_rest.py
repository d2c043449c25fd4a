"""Logistic regressions, one for each letter, trained together in small batches."""

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

    The words of a letter weigh as much as all others. The learning rate starts at 0.01 and falls by the same factor
    after every epoch, towards `end_rate`.

    Parameters
    ----------
    logits_of : callable
        Takes rows, returns their logits, (rows, letters).
    parameters : list of Tensor
    targets : Tensor
        1 for the letter of a row, else 0, (all rows, letters).
    epochs, batch : int
    end_rate : float
    weight_decay : float
    seed : int
        Of the order of the rows.
    penalty : callable, optional
        Added to the loss of each batch.
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
