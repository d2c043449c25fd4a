"""Why a tested token is called absorbed or not, in words: which condition decided, and by how much."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from explorer.format import number

if TYPE_CHECKING:
    from collections.abc import Mapping


def why(row: Mapping[str, Any], *, cosine_threshold: float, effect_margin: float) -> str:
    """Say what decided on the verdict of a tested token.

    Parameters
    ----------
    row : mapping
        A row of the query `evidence`.
    cosine_threshold, effect_margin : float
        The thresholds in force.

    Returns
    -------
    str
        A clause without a full stop.
    """
    margin, cosine = row["margin"], row["top_cosine"]
    leads = f"leads by {number(margin, 2)}"
    match row["reason"]:
        case "absorbed":
            aligned = "" if _unknown(cosine) else f", cosine {number(cosine)} ≥ {number(cosine_threshold)}"
            return f"{leads} ≥ {number(effect_margin, 2)}{aligned}"
        case "effect margin":
            return f"{leads}, short of {number(effect_margin, 2)} by {number(effect_margin - margin, 2)}"
        case "cosine":
            return (
                f"cosine {number(cosine)}, short of {number(cosine_threshold)} by {number(cosine_threshold - cosine)}"
            )
        case "no effect":
            return "removing the top latent does not hurt"
        case "split latent fires":
            return "a latent that is split at this tau fires on it"
        case _:
            return "as published; the suite stores no scores to decide anew"


def _unknown(value: float | None) -> bool:
    return value is None or not math.isfinite(value)
