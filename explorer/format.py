"""Formats numbers and tokens for display: true minus signs, a dash for unknown values, visible white space."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from queries.schema import FRACTION, FRACTION_0_3

if TYPE_CHECKING:
    from collections.abc import Iterable

_MINUS = "\N{MINUS SIGN}"
#: Symbols for white space in tokens.
_MARKS = str.maketrans({" ": "␣", "\n": "⏎", "\r": "␍", "\t": "⇥"})


def number(value: float | None, decimals: int = 3) -> str:
    """Format a number with a true minus sign; a dash if it is unknown."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:z,.{decimals}f}".replace("-", _MINUS)


def percent(value: float | None, decimals: int = 1) -> str:
    """Format a share as a percentage; a dash if it is unknown."""
    return "–" if value is None or not math.isfinite(value) else f"{number(100 * value, decimals)}%"


def plain(value: object) -> str:
    """Format any value of a manifest's free field."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case int():
            return number(value, 0)
        case float():
            return number(value)
        case _:
            return str(value)


def count(number: float, noun: str) -> str:
    """Format a number with its noun: 1 latent, 2 latents."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def role_label(split_rank: int, num_absorbed: int) -> str:
    """Return the role of a latent for a concept; empty if it is neither a split nor an absorbing latent."""
    split = "main latent" if split_rank == 1 else f"split latent at k = {split_rank}" if split_rank > 1 else ""
    absorbing = f"absorbs {count(num_absorbed, 'token')}" if num_absorbed > 0 else ""
    return ", ".join(filter(None, (split, absorbing)))


def in_brackets(number: int | None) -> str:
    """Return the suffix of a heading with the length of its list: " (12)"; empty if unknown."""
    return "" if number is None else f" ({number:,})"


def l0_label(l0: float | None, digits: int = 3) -> str:
    """Format an L0; a measured one with three significant digits."""
    if l0 is None or not math.isfinite(l0):
        return "unknown"
    return f"{l0:.0f}" if l0 == round(l0) or l0 >= 10**digits else f"{l0:.{digits}g}"


def l0_labels(l0s: Iterable[float | None]) -> dict[float | None, str]:
    """Format L0s with as many digits as needed to distinguish them."""
    values = list(l0s)
    for digits in range(3, 10):
        labels = {value: l0_label(value, digits) for value in values}
        if len(set(labels.values())) == len(labels):
            break
    return labels


def width_label(width: int) -> str:
    """Format a nominal width as usual in the field: 2k for 2,048, 65k for 65,536, 1M for 1,048,576."""
    for unit, letter in ((1_000_000, "M"), (1_000, "k")):
        if width >= unit:
            return f"{width // unit}{letter}"
    return str(width)


def latents_label(width: int, *, counted: bool) -> str:
    """Format the number of latents of an SAE: "2k latents", or "at least 2k latents" if it was not counted."""
    return f"{'' if counted else 'at least '}{width_label(width)} latents"


_METRICS = {
    "ig_ablation": "ablation",
    "full": "full absorption",
    FRACTION: "absorption fraction",
    FRACTION_0_3: "fraction before 0.4.1",
}


_RATES = {FRACTION: "absorption fraction", FRACTION_0_3: "absorption fraction before 0.4.1"}


def span_label(low: float, high: float) -> str:
    """Format an interval of shares in percent, with enough decimals to distinguish its ends."""
    decimals = 2 if round(100 * low, 1) == round(100 * high, 1) else 1
    return f"{100 * low:.{decimals}f}–{100 * high:.{decimals}f}"


def metric_label(metric: str | None) -> str:
    """Return the displayed name of a metric; unknown metrics are returned unchanged."""
    kind, _, times = (metric or "").partition("projection-")
    if not kind and times[:1].isdigit():
        return f"projection, {times} × the next"
    return _METRICS.get(metric or "", metric or "unknown")


def metric_labels(metrics: Iterable[str]) -> str:
    """Return the displayed names of metrics, separated by commas."""
    return ", ".join(map(metric_label, metrics))


def rate_label(metric: str | None) -> str:
    """Return the name of a metric's value for a concept: an absorption rate or an absorption fraction."""
    return _RATES.get(metric or "", "absorption rate")


def rate_term(rate: str) -> str:
    """Return the glossary term for a result of `rate_label`."""
    return "_".join(rate.split()[:2])


def shortened(text: str, most: int = 24) -> str:
    """Shorten a text to `most` characters, with an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def visible(token: str) -> str:
    """Return `token` with symbols for white space and escapes for unprintable characters."""
    return printable(token.translate(_MARKS))


def printable(text: str) -> str:
    r"""Escape unprintable characters, as in ``\x1b``, so that they break no line and control no terminal."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
