"""How numbers and tokens are written, everywhere the same: true minus signs, a dash for the unknown, visible spaces."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from queries.schema import FRACTION, FRACTION_0_3

if TYPE_CHECKING:
    from collections.abc import Iterable

_MINUS = "\N{MINUS SIGN}"
#: How white space inside a token is made visible.
_MARKS = str.maketrans({" ": "␣", "\n": "⏎", "\r": "␍", "\t": "⇥"})


def number(value: float | None, decimals: int = 3) -> str:
    """Write a number with a true minus sign; a dash where it is unknown."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:z,.{decimals}f}".replace("-", _MINUS)


def percent(value: float | None, decimals: int = 1) -> str:
    """Write a share as a percentage."""
    return "–" if value is None or not math.isfinite(value) else f"{number(100 * value, decimals)}%"


def plain(value: object) -> str:
    """Write what a manifest says in a field of its own, whatever it is."""
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
    """Write how many: 1 latent, 2 latents."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def role_label(split_rank: int, num_absorbed: int) -> str:
    """Write what a latent is for a concept; empty where it is neither a split nor an absorbing latent."""
    split = "main latent" if split_rank == 1 else f"split latent at k = {split_rank}" if split_rank > 1 else ""
    absorbing = f"absorbs {count(num_absorbed, 'token')}" if num_absorbed > 0 else ""
    return ", ".join(filter(None, (split, absorbing)))


def in_brackets(number: int | None) -> str:
    """Write how many a heading's list has, to follow the heading: (12); nothing where that is unknown."""
    return "" if number is None else f" ({number:,})"


def l0_label(l0: float | None, digits: int = 3) -> str:
    """Write an L0; a measured one to three digits."""
    if l0 is None or not math.isfinite(l0):
        return "unknown"
    return f"{l0:.0f}" if l0 == round(l0) or l0 >= 10**digits else f"{l0:.{digits}g}"


def l0_labels(l0s: Iterable[float | None]) -> dict[float | None, str]:
    """Write L0s with as many digits as tell them apart."""
    values = list(l0s)
    for digits in range(3, 10):
        labels = {value: l0_label(value, digits) for value in values}
        if len(set(labels.values())) == len(labels):
            break
    return labels


def width_label(width: int) -> str:
    """Write a nominal width the way the field does: 2k for 2,048, 65k for 65,536, 1M for 1,048,576."""
    for unit, letter in ((1_000_000, "M"), (1_000, "k")):
        if width >= unit:
            return f"{width // unit}{letter}"
    return str(width)


def latents_label(width: int, *, counted: bool) -> str:
    """Write how many latents an SAE of a nominal width has: 2k latents; the least that it has where nobody counted."""
    return f"{'' if counted else 'at least '}{width_label(width)} latents"


_METRICS = {
    "ig_ablation": "ablation",
    "full": "full absorption",
    FRACTION: "absorption fraction",
    FRACTION_0_3: "fraction before 0.4.1",
}


_RATES = {FRACTION: "absorption fraction", FRACTION_0_3: "absorption fraction before 0.4.1"}


def span_label(low: float, high: float) -> str:
    """Write the ends of an interval of shares in percent, with as many decimals as tell them apart."""
    decimals = 2 if round(100 * low, 1) == round(100 * high, 1) else 1
    return f"{100 * low:.{decimals}f}–{100 * high:.{decimals}f}"


def metric_label(metric: str | None) -> str:
    """Write the name of a metric in words, where it is a known one."""
    kind, _, times = (metric or "").partition("projection-")
    if not kind and times[:1].isdigit():
        return f"projection, {times} × the next"
    return _METRICS.get(metric or "", metric or "unknown")


def metric_labels(metrics: Iterable[str]) -> str:
    """Write the names of some metrics, between commas."""
    return ", ".join(map(metric_label, metrics))


def rate_label(metric: str | None) -> str:
    """Name what a metric gives for a concept: a share of its tokens, or a mean share of their projections."""
    return _RATES.get(metric or "", "absorption rate")


def rate_term(rate: str) -> str:
    """Return the term of the glossary that explains what `rate_label` names."""
    return "_".join(rate.split()[:2])


def shortened(text: str, most: int = 24) -> str:
    """Cut a text that is too long for its place."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def visible(token: str) -> str:
    """Return `token` with its white space made visible, and whatever else would not be seen."""
    return printable(token.translate(_MARKS))


def printable(text: str) -> str:
    r"""Write what is not printed as its code, as in ``\x1b``: it breaks no line and commands no terminal."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
