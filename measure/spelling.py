"""Metrics of a model's answer for a word, such as its first letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def spelling_metric(
    logits: Tensor, letters: Tensor, num_letters: int | None = None, right: Tensor | None = None
) -> Tensor:
    """Return the logit of the right answer less the mean logit of the wrong ones, (rows,).

    Parameters
    ----------
    logits : Tensor
        Logits of the answers, (rows, letters). Or of two forms of each answer, (rows, 2 * letters): the first half is
        used for wrong answers, the second half for the right one.
    letters : Tensor
        The right letter of each row.
    num_letters : int, optional
        Number of letters; by default the number of columns.
    right : Tensor, optional
        All right answers of each row, if there are several, (rows, letters); they do not count as wrong ones.
    """
    number = num_letters or logits.shape[1]
    others = logits[:, :number]
    own = logits[:, -number:].gather(1, letters[:, None])[:, 0]
    every = (_all_right(letters, number) if right is None else right).to(logits.dtype)
    return own - (others.sum(1) - (others * every).sum(1)) / (number - every.sum(1))


def log_odds(logits: Tensor, letters: Tensor, num_letters: int | None = None, right: Tensor | None = None) -> Tensor:
    """Return the logit of the right answer less the logsumexp of the wrong ones, (rows,).

    These are the model's log odds of the right answer, so they are comparable for any number of answers.

    Parameters
    ----------
    logits, letters, num_letters, right
        As of `spelling_metric`.
    """
    number = num_letters or logits.shape[1]
    own = logits[:, -number:].gather(1, letters[:, None])[:, 0]
    every = _all_right(letters, number) if right is None else right
    return own - torch.logsumexp(logits[:, :number].masked_fill(every, -torch.inf), dim=1)


def _all_right(letters: Tensor, number: int) -> Tensor:
    """Return a mask of the right answers if each row has one, (rows, letters)."""
    return torch.arange(number, device=letters.device) == letters[:, None]
