"""Text for the verdict of a tested token: the conditions that decided, with values and thresholds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from explorer.format import number, percent
from queries.schema import FRACTION_0_3, FRACTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Minimum share of a token's projection in one latent for full absorption (functions/full_absorption.sql).
FULL_SHARE = 0.4
#: Differences below this would be rounded to 0.00.
_CLOSE = 0.005
_BY_EFFECT = ("top_effect", "second_latent", "second_effect", "second_cosine", "margin")
_BY_PROJECTION, _BY_FRACTION = ("projection", "projected_share"), ("fraction",)
_UNUSED = {
    "full": (*_BY_EFFECT, *_BY_FRACTION),
    **dict.fromkeys(FRACTIONS, (*_BY_EFFECT, *_BY_PROJECTION, "reason", "why")),
}


def unused_columns(metric: str | None) -> tuple[str, ...]:
    """Return the columns of tested tokens that a metric does not use."""
    return _UNUSED.get(metric or "", (*_BY_PROJECTION, *_BY_FRACTION))


def decisive(metric: str | None) -> str:
    """Return the main column of a metric."""
    if metric in FRACTIONS:
        return "fraction"
    return "projection" if metric == "full" else "top_effect"


def why(row: Mapping[str, Any], *, cosine_threshold: float, effect_margin: float) -> str:
    """Explain the verdict of a tested token.

    Parameters
    ----------
    row : mapping
        A row of the query `evidence`, or of `token_verdicts`.
    cosine_threshold, effect_margin : float
        The current thresholds.

    Returns
    -------
    str
        A clause without a full stop.
    """
    margin, cosine, share = row["margin"], row["top_cosine"], row["projected_share"]
    margin_text = f"margin {number(margin, 2)}"
    carries = (
        f"projects {number(row['projection'], 2)}"
        if _unknown(share)
        else f"carries {percent(share)} of the projection on the probe"
    )
    match row["reason"]:
        case "absorbed":
            aligned = "" if _unknown(cosine) else f", cosine {number(cosine)} ≥ {number(cosine_threshold)}"
            by_effect = f"{margin_text} ≥ {number(effect_margin, 2)}"
            text = f"{f'{carries} ≥ {percent(FULL_SHARE)}' if _unknown(margin) else by_effect}{aligned}"
        case "effect margin":
            decimals = 2 if effect_margin - margin >= _CLOSE else 4
            text = f"margin {number(margin, decimals)} < {number(effect_margin, decimals)}"
            if not _unknown(cosine) and cosine < cosine_threshold:
                text += f", cosine {number(cosine)} < {number(cosine_threshold)}"
        case "cosine":
            text = f"cosine {number(cosine, 4)} < {number(cosine_threshold, 4)}"
        case "projection" if _unknown(share):
            text = "the token's projection on the probe is not positive"
        case "projection":
            text = f"{carries} < {percent(FULL_SHARE)}"
        case "no effect":
            text = "removing the top latent does not lower the right answer"
        case "split latent fires":
            text = "a split latent at this tau fires on it"
        case "fraction":
            text = _parts(row)
        case _:
            text = "as published; the suite stores no scores to recompute it"
    return text


def _parts(row: Mapping[str, Any]) -> str:
    """Explain an absorption fraction by its terms."""
    names = ("main_projection", "absorbing_projection", "latents_projection", "total_projection")
    main, absorbing, latents, total = (row.get(name) for name in names)
    is_former = row.get("metric") == FRACTION_0_3
    if main is None or absorbing is None or total is None or (latents is None and is_former):
        text = "as published; the suite stores no projections to recompute it"
    elif is_former and main >= total:
        text = f"split latents project {number(main, 2)}, the whole token {number(total, 2)}"
    elif is_former and latents is not None and latents <= 0:
        text = f"all latents together project {number(latents, 2)}"
    elif is_former:
        text = f"split latents project {number(main, 2)} of the {number(latents, 2)} that all latents project"
    elif total <= 0:
        text = "the token's projection on the probe is not positive"
    else:
        carried = (
            f"{percent(absorbing / total)} {'≥' if absorbing >= FULL_SHARE * total else '<'} {percent(FULL_SHARE)}"
        )
        text = (
            f"absorbing latents carry {carried} of the projection on the probe, split latents {percent(main / total)}"
        )
    return text


def _unknown(value: float | None) -> bool:
    return value is None or not math.isfinite(value)
