"""The verdict on a tested token, condition by condition, as the metrics have them (queries/functions/reason.sql)."""

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
    """One condition.

    Attributes
    ----------
    question : str
    holds : bool or None
        None where the suite does not store what it takes.
    said : str
        The numbers that decide on it.
    """

    question: str
    holds: bool | None
    said: str


def conditions(
    row: Mapping[str, Any], split: Sequence[int], *, cosine_threshold: float, effect_margin: float
) -> list[Condition]:
    """List the conditions of a metric in the order in which it asks them; the first that fails decides.

    Parameters
    ----------
    row : mapping
        A row of the query `token_verdicts`.
    split : sequence of int
        The split latents of the concept.
    cosine_threshold, effect_margin : float
    """
    reason = row["reason"]
    found = Condition("Does the linear probe find the concept?", True, "Only tokens that it finds are tested.")  # noqa: FBT003
    if reason == "fraction" or row["metric"] in FRACTIONS:
        said = why(row, cosine_threshold=cosine_threshold, effect_margin=effect_margin)
        return [found, Condition("How much do absorbing latents carry?", None, f"{said}: {percent(row['fraction'])}.")]
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
            "Does removing one latent hurt the answer?",
            effect < 0,
            f"Latent {latent:.0f} has the most negative effect, {number(effect, 2)} logits.",
        ),
        Condition(
            "Does it hurt clearly more than removing any other?",
            margin >= effect_margin,
            f"Margin over the next: {number(margin, 2)} {_sign(margin, effect_margin)} {number(effect_margin, 2)}.",
        ),
        _by_cosine(row, cosine_threshold),
    ]


def _by_projection(row: Mapping[str, Any], cosine_threshold: float, _: float) -> list[Condition]:
    share = row["projected_share"]
    said = (
        "The token does not point along the probe."
        if _unknown(share)
        else f"Latent {row['top_latent']:.0f} carries {percent(share)} of it {_sign(share, FULL_SHARE)}"
        f" {percent(FULL_SHARE, 0)}."
    )
    return [
        _by_cosine(row, cosine_threshold),
        Condition(
            "Does one latent carry enough of the projection on the probe?",
            # The share is rounded: the rule's own verdict stands.
            row["reason"] != "projection" and (row["absorbed"] or (not _unknown(share) and share >= FULL_SHARE)),
            said,
        ),
    ]


def _by_cosine(row: Mapping[str, Any], threshold: float) -> Condition:
    cosine = row["top_cosine"]
    question = "Does that latent point along the probe?"
    if _unknown(cosine):
        return Condition(question, None, "Its cosine is not stored; the rule takes the condition as met.")
    return Condition(
        question, cosine >= threshold, f"Cosine {number(cosine)} {_sign(cosine, threshold)} {number(threshold)}."
    )


def _sign(value: float, least: float) -> str:
    return "≥" if value >= least else "<"


def _unknown(value: float | None) -> bool:
    return value is None or not math.isfinite(value)


def verdict_label(row: Mapping[str, Any]) -> str:
    """Write what a metric says of a token."""
    if row["absorbed"] is None:
        return percent(row["fraction"])
    return "absorbed" if row["absorbed"] else "not absorbed"


def decisive_metric(verdicts: pd.DataFrame | None, chosen: str | None) -> str | None:
    """Name the metric whose conditions are worth walking through: the chosen one, unless it gives no verdict."""
    there = [] if verdicts is None else list(dict.fromkeys(verdicts["metric"]))
    wanted = [*([chosen] if chosen not in FRACTIONS else []), "ig_ablation", "full", *there]
    return next((metric for metric in wanted if metric in there), None)


def tokens_of(verdicts: pd.DataFrame | None, metric: str | None) -> list[tuple[str, bool]]:
    """List the tested tokens with whether the metric calls them absorbed: these first, the clearest before all."""
    if verdicts is None or verdicts.empty:
        return []
    rows = verdicts[verdicts["metric"] == metric]
    absorbed = rows["absorbed"].fillna(value=False).astype(bool)
    order = rows.assign(is_absorbed=absorbed).sort_values(
        ["is_absorbed", "margin", "projection", "fraction", "token"], ascending=[False, False, False, False, True]
    )
    return list(zip(order["token"], order["is_absorbed"].tolist(), strict=True))


def chosen_token(tokens: Sequence[tuple[str, bool]], wanted: str) -> str | None:
    """Return the token that is wanted where it was tested, else the first."""
    names = [token for token, _ in tokens]
    return wanted if wanted in names else next(iter(names), None)
