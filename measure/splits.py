"""Stage: how many latents share a letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The last k at which a latent may still be accepted.
MAX_SPLIT = 15


def num_split_latents(f1: Mapping[int, float], tau: float) -> int:
    """Count the split latents: from the first on, each that lifts F1 by more than `tau` over the one before.

    Parameters
    ----------
    f1 : mapping of int to float
        F1 by k.
    tau : float
    """
    number = 1
    # Rounded, lest 0.73 - 0.70 exceed 0.03.
    while number < MAX_SPLIT and number + 1 in f1 and round(f1[number + 1] - f1[number], 9) > tau:
        number += 1
    return number
