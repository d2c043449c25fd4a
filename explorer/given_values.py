"""Reads what is given for a parameter, as a value or as its text in a URL; refuses it in a sentence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import param

from queries.schema import INTEGER_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Attributes whose values are texts, and those whose values may be fractions.
_TEXTS = ("hook", "architecture")
_FRACTIONS = ("l0",)
#: Stands in a URL between the parts of a list.
BETWEEN = "."
#: Options that a refusal names.
SHOWN_OPTIONS = 8
_SHOWN_CHARACTERS = 40


def number_of(name: str, value: Any, kind: type[int | float]) -> int | float:
    """Return the finite number that `value` says; ValueError where it says none."""
    try:
        number = kind(value)
        usable = math.isfinite(number) and (isinstance(value, str) or number == value)  # int(1.5) is 1
    except (TypeError, ValueError, OverflowError):  # an integer may be too large to be told finite
        usable = False
    if not usable:
        message = f"{name} = {shortened(value)} is not {'an integer' if kind is int else 'a number'}"
        raise ValueError(message)
    return number


def attribute_of(name: str, attribute: str, value: Any) -> Any:
    """Turn a value, or its text as a URL has it, into what SAEs have under an attribute."""
    if attribute in _TEXTS:
        return str(value)
    number = number_of(name, value, float if attribute in _FRACTIONS else int)
    return within(name, number, (-INTEGER_MAX if attribute == "l0" else 0, INTEGER_MAX))


def option_of(name: str, value: Any, parameter: param.Parameter) -> Any:
    """Return the option that `value` names; capital letters mean the same as small ones."""
    if isinstance(parameter, param.Boolean):
        named = {"True": True, "False": False, "1": True, "0": False}
        if str(value) not in named:
            raise ValueError(refusal_of(name, value, [True, False]))
        return named[str(value)]
    if isinstance(parameter, param.Selector) and value not in parameter.objects:
        raise ValueError(refusal_of(name, value, parameter.objects))
    return value


def options_of(name: str, value: Any, options: Sequence[str]) -> list[str]:
    """Return the options that `value` names, as a list or as a URL's text, in their order."""
    given = [part for part in value.split(BETWEEN) if part] if isinstance(value, str) else list(value)
    for part in given:
        if part not in options:
            raise ValueError(refusal_of(name, part, options))
    return [option for option in options if option in given]


def within(name: str, value: float, bounds: tuple[float | None, float | None] | None) -> int | float:
    """Return `value` if it lies within `bounds`."""
    low, high = bounds or (None, None)
    if (low is not None and value < low) or (high is not None and value > high):
        span = f"at least {low}" if high is None else f"at most {high}" if low is None else f"{low} to {high}"
        message = f"{name} = {shortened(value)} is out of range ({span})"
        raise ValueError(message)
    return value


def refusal_of(name: str, value: object, options: Iterable[object]) -> str:
    """Say that `value` is none of the options, and name some of these."""
    there = [option for option in options if option is not None]
    shown = ", ".join(str(option) for option in there[:SHOWN_OPTIONS]) or "nothing"
    more = ", ..." if len(there) > SHOWN_OPTIONS else ""
    return f"{name} = {shortened(value)} does not exist here (there is {shown}{more})"


def shortened(value: object) -> str:
    """Quote a value for a sentence, cut to a readable length."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}...")
