"""How surely a model answers with a word's concept, such as its first letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def spelling_metric(
    logits: Tensor, letters: Tensor, num_letters: int | None = None, right: Tensor | None = None
) -> Tensor:
    """Return the logit of the right answer less the mean logit of the wrong ones, row by row.

    Parameters
    ----------
    logits : Tensor
        Of the answers with each letter, (rows, letters). Or of two answers with each letter, (rows, 2 * letters): the
        second ones are taken where a letter is the right one, the first ones where it is not.
    letters : Tensor
        The right letter of each row.
    num_letters : int, optional
        Number of letters; that of the columns where it is not given.
    right : Tensor, optional
        Where a row has several right answers, all of them, (rows, letters): none of these is among the wrong ones.
    """
    number = num_letters or logits.shape[1]
    others = logits[:, :number]
    own = logits[:, -number:].gather(1, letters[:, None])[:, 0]
    every = (_all_right(letters, number) if right is None else right).to(logits.dtype)
    return own - (others.sum(1) - (others * every).sum(1)) / (number - every.sum(1))


def log_odds(logits: Tensor, letters: Tensor, num_letters: int | None = None, right: Tensor | None = None) -> Tensor:
    """Return the logit of the right answer less the log of the summed exponentials of the wrong ones, row by row.

    It means the same for any number of answers: the log of the odds that the model gives the right one.

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
    """Tell which answers are right where each row has one that is."""
    return torch.arange(number, device=letters.device) == letters[:, None]
