"""The verdict on a tested token, condition by condition, as defined by the metrics (queries/functions/reason.sql)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from explorer.evidence import FULL_SHARE, why
from explorer.format import number, percent
from queries.schema import FRACTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd


class Condition(NamedTuple):
    """One condition of a metric.

    Attributes
    ----------
    question : str
    holds : bool or None
        None if the suite does not store the numbers for it.
    text : str
        The numbers that decide it.
    """

    question: str
    holds: bool | None
    text: str


def conditions(
    row: Mapping[str, Any], split: Sequence[int], *, cosine_threshold: float, effect_margin: float
) -> list[Condition]:
    """List the conditions of a metric in the order of their evaluation; the first that fails decides.

    Parameters
    ----------
    row : mapping
        A row of the query `token_verdicts`.
    split : sequence of int
        The split latents of the concept.
    cosine_threshold, effect_margin : float
    """
    reason = row["reason"]
    found = Condition("Does the linear probe find the concept?", True, "Only tokens on which it does are tested.")  # noqa: FBT003
    if reason == "fraction" or row["metric"] in FRACTIONS:
        text = why(row, cosine_threshold=cosine_threshold, effect_margin=effect_margin)
        return [found, Condition("How much do absorbing latents carry?", None, f"{text}: {percent(row['fraction'])}.")]
    if reason == "published":
        return [Condition("Was it published as absorbed?", bool(row["absorbed"]), "The suite stores only the verdict.")]
    named = ", ".join(map(str, split)) or "none is known"
    fires = reason == "split latent fires"
    silent = Condition(
        "Are all split latents silent?",
        not fires,
        f"Split latents: {named}. {'At least one of them fires' if fires else 'None of them fires'} on this token.",
    )
    return [
        found,
        silent,
        *(_by_projection if row["metric"] == "full" else _by_effect)(row, cosine_threshold, effect_margin),
    ]


def _by_effect(row: Mapping[str, Any], cosine_threshold: float, effect_margin: float) -> list[Condition]:
    latent, effect, margin = row["top_latent"], row["top_effect"], row["margin"]
    return [
        Condition(
            "Does removing one latent lower the answer's logit?",
            effect < 0,
            f"Latent {latent:.0f} has the most negative effect, {number(effect, 2)} logits.",
        ),
        Condition(
            "Does it lower it by clearly more than removing any other?",
            margin >= effect_margin,
            f"Margin over the next: {number(margin, 2)} {_sign(margin, effect_margin)} {number(effect_margin, 2)}.",
        ),
        _by_cosine(row, cosine_threshold),
    ]


def _by_projection(row: Mapping[str, Any], cosine_threshold: float, _: float) -> list[Condition]:
    share = row["projected_share"]
    text = (
        "The token's projection on the probe is not positive."
        if _unknown(share)
        else f"Latent {row['top_latent']:.0f} carries {percent(share)} of it {_sign(share, FULL_SHARE)}"
        f" {percent(FULL_SHARE, 0)}."
    )
    return [
        _by_cosine(row, cosine_threshold),
        Condition(
            "Does one latent carry enough of the projection on the probe?",
            # The share is rounded, so the verdict of the rule is used.
            row["reason"] != "projection" and (row["absorbed"] or (not _unknown(share) and share >= FULL_SHARE)),
            text,
        ),
    ]


def _by_cosine(row: Mapping[str, Any], threshold: float) -> Condition:
    cosine = row["top_cosine"]
    question = "Is that latent's cosine with the probe high enough?"
    if _unknown(cosine):
        return Condition(question, None, "Its cosine is not stored, so the condition counts as met.")
    return Condition(
        question, cosine >= threshold, f"Cosine {number(cosine)} {_sign(cosine, threshold)} {number(threshold)}."
    )


def _sign(value: float, least: float) -> str:
    return "≥" if value >= least else "<"


def _unknown(value: float | None) -> bool:
    return value is None or not math.isfinite(value)


def verdict_label(row: Mapping[str, Any]) -> str:
    """Return a metric's verdict on a token as a text."""
    if row["absorbed"] is None:
        return percent(row["fraction"])
    return "absorbed" if row["absorbed"] else "not absorbed"


def decisive_metric(verdicts: pd.DataFrame | None, chosen: str | None) -> str | None:
    """Return the metric whose conditions are shown: the chosen one, unless it gives no verdict."""
    available = [] if verdicts is None else list(dict.fromkeys(verdicts["metric"]))
    preferred = [*([chosen] if chosen not in FRACTIONS else []), "ig_ablation", "full", *available]
    return next((metric for metric in preferred if metric in available), None)


def tokens_of(verdicts: pd.DataFrame | None, metric: str | None) -> list[tuple[str, bool]]:
    """List the tested tokens, with whether they are absorbed by the metric; absorbed and clearest ones first."""
    if verdicts is None or verdicts.empty:
        return []
    rows = verdicts[verdicts["metric"] == metric]
    absorbed = rows["absorbed"].fillna(value=False).astype(bool)
    order = rows.assign(is_absorbed=absorbed).sort_values(
        ["is_absorbed", "margin", "projection", "fraction", "token"], ascending=[False, False, False, False, True]
    )
    return list(zip(order["token"], order["is_absorbed"].tolist(), strict=True))


def chosen_token(tokens: Sequence[tuple[str, bool]], wanted: str) -> str | None:
    """Return `wanted` if it was tested, else the first token."""
    names = [token for token, _ in tokens]
    return wanted if wanted in names else next(iter(names), None)
