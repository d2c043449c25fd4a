"""How surely a model spells a word's first letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def spelling_metric(logits: Tensor, letters: Tensor) -> Tensor:
    """Return the logit of the right letter less the mean logit of the others, row by row."""
    right = logits.gather(1, letters[:, None])[:, 0]
    return right - (logits.sum(1) - right) / (logits.shape[1] - 1)
