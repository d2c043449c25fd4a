"""Why a tested token is called absorbed or not, in words: which condition decided, and by how much."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from explorer.format import number, percent
from queries.schema import FRACTION_0_3, FRACTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The least share of a token's projection that full absorption asks of one latent (functions/full_absorption.sql).
FULL_SHARE = 0.4
#: What would be written as 0.00.
_CLOSE = 0.005
_BY_EFFECT = ("top_effect", "second_latent", "second_effect", "second_cosine", "margin")
_BY_PROJECTION, _BY_FRACTION = ("projection", "projected_share"), ("fraction",)
_UNTOLD = {
    "full": (*_BY_EFFECT, *_BY_FRACTION),
    **dict.fromkeys(FRACTIONS, (*_BY_EFFECT, *_BY_PROJECTION, "reason", "why")),
}


def unused_columns(metric: str | None) -> tuple[str, ...]:
    """Return the columns of tested tokens of which a metric tells nothing."""
    return _UNTOLD.get(metric or "", (*_BY_PROJECTION, *_BY_FRACTION))


def decisive(metric: str | None) -> str:
    """Return the column by which a metric decides."""
    if metric in FRACTIONS:
        return "fraction"
    return "projection" if metric == "full" else "top_effect"


def why(row: Mapping[str, Any], *, cosine_threshold: float, effect_margin: float) -> str:
    """Say what decided on the verdict of a tested token.

    Parameters
    ----------
    row : mapping
        A row of the query `evidence`, or of `token_verdicts`.
    cosine_threshold, effect_margin : float
        The thresholds in force.

    Returns
    -------
    str
        A clause without a full stop.
    """
    margin, cosine, share = row["margin"], row["top_cosine"], row["projected_share"]
    leads = f"leads by {number(margin, 2)}"
    carries = (
        f"projects {number(row['projection'], 2)}"
        if _unknown(share)
        else f"carries {percent(share)} of the projection on the probe"
    )
    match row["reason"]:
        case "absorbed":
            aligned = "" if _unknown(cosine) else f", cosine {number(cosine)} ≥ {number(cosine_threshold)}"
            by_effect = f"{leads} ≥ {number(effect_margin, 2)}"
            said = f"{f'{carries} ≥ {percent(FULL_SHARE)}' if _unknown(margin) else by_effect}{aligned}"
        case "effect margin":
            short = effect_margin - margin
            said = f"{leads}, short of {number(effect_margin, 2)} by {number(short, 2 if short >= _CLOSE else 4)}"
        case "cosine":
            short = number(cosine_threshold - cosine)
            said = f"cosine {number(cosine)}, short of {number(cosine_threshold)} by {short}"
        case "projection" if _unknown(share):
            said = "the token does not point along the probe"
        case "projection":
            said = f"{carries}, short of {percent(FULL_SHARE)}"
        case "no effect":
            said = "removing the top latent does not hurt"
        case "split latent fires":
            said = "a latent that is split at this tau fires on it"
        case "fraction":
            said = _parts(row)
        case _:
            said = "as published; the suite stores no scores to decide again"
    return said


def _parts(row: Mapping[str, Any]) -> str:
    """Say of what an absorption fraction is made."""
    names = ("main_projection", "absorbing_projection", "latents_projection", "total_projection")
    main, absorbing, latents, total = (row.get(name) for name in names)
    is_former = row.get("metric") == FRACTION_0_3
    if main is None or absorbing is None or total is None or (latents is None and is_former):
        said = "as published; the suite stores no projections to decide again"
    elif is_former and main >= total:
        said = f"split latents project {number(main, 2)}, the whole token {number(total, 2)}"
    elif is_former and latents is not None and latents <= 0:
        said = f"all latents together project {number(latents, 2)}"
    elif is_former:
        said = f"split latents project {number(main, 2)} of the {number(latents, 2)} that all latents project"
    elif total <= 0:
        said = "the token does not point along the probe"
    else:
        carried = (
            f"{percent(absorbing / total)} {'≥' if absorbing >= FULL_SHARE * total else '<'} {percent(FULL_SHARE)}"
        )
        said = (
            f"absorbing latents carry {carried} of the projection on the probe, split latents {percent(main / total)}"
        )
    return said


def _unknown(value: float | None) -> bool:
    return value is None or not math.isfinite(value)
