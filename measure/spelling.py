"""How surely a model spells a word's first letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def spelling_metric(logits: Tensor, letters: Tensor, num_letters: int | None = None) -> Tensor:
    """Return the logit of the right letter less the mean logit of the others, row by row.

    Parameters
    ----------
    logits : Tensor
        Of the answers with each letter, (rows, letters). Or of two answers with each letter, (rows, 2 * letters): the
        second ones are taken where a letter is the right one, the first ones where it is not.
    letters : Tensor
        The right letter of each row.
    num_letters : int, optional
        Number of letters; that of the columns where it is not given.
    """
    number = num_letters or logits.shape[1]
    others = logits[:, :number]
    right = logits[:, -number:].gather(1, letters[:, None])[:, 0]
    return right - (others.sum(1) - others.gather(1, letters[:, None])[:, 0]) / (number - 1)
