"""Styles of SAEs in plots: a colour and a marker for each value of one of their attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from explorer.saes import value_labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd

    from explorer.saes import Sae
    from explorer.theme import Theme

MARKERS = ("circle", "square", "triangle", "inverted_triangle")
_GLYPHS = "●■▲▼"
#: Attributes with ordered values, which are coloured by a ramp of one hue.
_ORDERED = ("layer", "width", "l0", "seed")
#: Default attributes for the styles, by priority.
_DEFAULTS = ("architecture", "width")


class Style(NamedTuple):
    """Style of one value: its label, colour and marker, and a character of the marker's shape."""

    label: str
    colour: str
    marker: str
    glyph: str


def plain_value(value: Any) -> Any:
    """Return a value of a frame as a Python value: None if it is missing, whole floats as int."""
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return None
    return int(value) if isinstance(value, float) and value == int(value) else value


def distinguishing_attribute(saes: pd.DataFrame | None) -> str:
    """Return the attribute that distinguishes the SAEs of a frame: architecture if there are several, else width."""
    for name in _DEFAULTS:
        if saes is not None and len(set(map(plain_value, saes[name]))) > 1:
            return name
    return _DEFAULTS[-1]


def styles_of(values: Iterable[Any], by: str, theme: Theme) -> dict[Any, Style]:
    """Return the style of each value of an attribute; unknown values come last.

    Parameters
    ----------
    values : iterable
        Values of the attribute, None or NaN if unknown.
    by : str
        The attribute.
    theme : Theme

    Returns
    -------
    dict of value to Style
        In order.
    """
    ordered = sorted(
        {plain_value(value) for value in values}, key=lambda value: (value is None, value if value is not None else 0)
    )
    ramp = theme.widths if by in _ORDERED else theme.categories
    if by in _ORDERED:
        step = (len(ramp) - 1) / max(len(ordered) - 1, 1)
        colours = [ramp[round(step * place) if len(ordered) > 1 else 1] for place in range(len(ordered))]
    else:
        colours = [ramp[place % len(ramp)] for place in range(len(ordered))]
    labels = value_labels(by, ordered)
    return {
        value: Style(labels[value], colours[place], MARKERS[place % len(MARKERS)], _GLYPHS[place % len(_GLYPHS)])
        for place, value in enumerate(ordered)
    }


def sae_keys(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the suite and the id of each row's SAE."""
    suites, saes = (frame[name].to_numpy(object) for name in ("suite", "sae"))
    return list(zip(suites.tolist(), saes.tolist(), strict=True))


def styled(frame: pd.DataFrame, saes: Mapping[tuple[str, str], Sae], by: str, theme: Theme) -> pd.DataFrame:
    """Add to a frame of SAEs the columns `name`, `colour` and `marker`."""
    values = [plain_value(value) for value in frame[by]]
    styles = styles_of(values, by, theme)
    return frame.assign(
        name=[saes[key].label for key in sae_keys(frame)],
        colour=[styles[value].colour for value in values],
        marker=[styles[value].marker for value in values],
    )
