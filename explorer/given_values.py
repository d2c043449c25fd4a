"""Parses values of parameters, given as values or as their text in a URL; rejects invalid ones with a sentence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import param

from queries.schema import INTEGER_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Attributes with text values, and attributes whose numbers may be fractions.
_TEXTS = ("hook", "architecture")
_FRACTIONS = ("l0",)
#: Separator of lists in a URL.
SEPARATOR = "."
#: Maximum options named in an error message.
SHOWN_OPTIONS = 8
_SHOWN_CHARACTERS = 40


def number_of(name: str, value: Any, kind: type[int | float]) -> int | float:
    """Return `value` as a finite number; ValueError if it is none."""
    try:
        number = kind(value)
        usable = math.isfinite(number) and (isinstance(value, str) or number == value)  # int(1.5) is 1
    except (TypeError, ValueError, OverflowError):  # isfinite fails for very large integers
        usable = False
    if not usable:
        message = f"{name} = {shortened(value)} is not {'an integer' if kind is int else 'a number'}"
        raise ValueError(message)
    return number


def attribute_of(name: str, attribute: str, value: Any) -> Any:
    """Convert a value, or its text in a URL, to the type of an attribute of SAEs."""
    if attribute in _TEXTS:
        return str(value)
    number = number_of(name, value, float if attribute in _FRACTIONS else int)
    return within(name, number, (-INTEGER_MAX if attribute == "l0" else 0, INTEGER_MAX))


def option_of(name: str, value: Any, parameter: param.Parameter) -> Any:
    """Return the option of a parameter for `value`; ValueError if it is none."""
    if isinstance(parameter, param.Boolean):
        named = {"True": True, "False": False, "1": True, "0": False}
        if str(value) not in named:
            raise ValueError(refusal_of(name, value, [True, False]))
        return named[str(value)]
    if isinstance(parameter, param.Selector) and value not in parameter.objects:
        raise ValueError(refusal_of(name, value, parameter.objects))
    return value


def options_of(name: str, value: Any, options: Sequence[str]) -> list[str]:
    """Return the options in `value`, a list or its text in a URL, in the order of `options`."""
    given = [part for part in value.split(SEPARATOR) if part] if isinstance(value, str) else list(value)
    for part in given:
        if part not in options:
            raise ValueError(refusal_of(name, part, options))
    return [option for option in options if option in given]


def within(name: str, value: float, bounds: tuple[float | None, float | None] | None) -> int | float:
    """Return `value` if it is within `bounds`; ValueError otherwise."""
    low, high = bounds or (None, None)
    if (low is not None and value < low) or (high is not None and value > high):
        span = f"at least {low}" if high is None else f"at most {high}" if low is None else f"{low} to {high}"
        message = f"{name} = {shortened(value)} is out of range ({span})"
        raise ValueError(message)
    return value


def refusal_of(name: str, value: object, options: Iterable[object]) -> str:
    """Return the message that `value` is none of the options, some of which it names."""
    there = [option for option in options if option is not None]
    shown = ", ".join(str(option) for option in there[:SHOWN_OPTIONS]) or "nothing"
    more = ", ..." if len(there) > SHOWN_OPTIONS else ""
    return f"{name} = {shortened(value)} does not exist here (there is {shown}{more})"


def shortened(value: object) -> str:
    """Quote a value for a message, shortened to a readable length."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}...")
