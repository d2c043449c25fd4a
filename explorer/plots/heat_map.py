"""Heat map of one value per concept and SAE."""

from __future__ import annotations

import math
from bisect import bisect_left
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import holoviews as hv
import numpy as np
import pandas as pd
from bokeh.core.properties import field

from explorer.format import number, percent, shortened, span_label
from explorer.plots.layers import Layer, Plot
from explorer.plots.sae_style import sae_keys
from explorer.theme import Theme, drag_tools, name_ticks, tooltip

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Mapping, Sequence

    from bokeh.models import Plot as Figure

    from explorer.concepts import Concept
    from explorer.saes import Sae

#: Pixels: height of a row and of everything around the cells, per character of SAE names, minimum and maximum height.
_ROW, _AROUND, _CHARACTER, _MIN_HEIGHT, _MAX_HEIGHT = 18, 40, 5, 200, 560
_CORNERS = ["left", "bottom", "right", "top"]
_EXTRA = ["suite", "sae", "concept", "name", "label", "shown", "counted", "colour"]
_MOST_LABELS = 40


def cell_labels(rate: str) -> dict[str, str]:
    """Return the columns of the query `concept_rates` that a cell can show, with their labels."""
    return {"absorption_rate": rate, "num_split_latents": "split latents", "f1_gap": "F1 gap to the probe"}


def heat_map(
    cells: pd.DataFrame | None,
    *,
    saes: Mapping[tuple[str, str], Sae],
    columns: Sequence[tuple[str, str]],
    concepts: Sequence[Concept],
    noun: str,
    rate: str,
    cell: str,
    current: tuple[str, str] | None,
    concept: str | None,
    theme: Theme,
    touch: bool = False,
) -> Plot:
    """Draw one cell per concept and SAE: concepts from the top down, SAEs from left to right, SAE n at x = n.

    A value of 0 has the background colour, others that of their step (`steps_of`); cells without data are hatched.

    Parameters
    ----------
    cells : DataFrame or None
        Result of the query `concept_rates`; None draws the same elements, empty.
    saes : mapping of (str, str) to Sae
        The SAEs by suite and id, for their labels.
    columns : sequence of tuple
        Suite and id of the SAE of each column.
    concepts : sequence of Concept
        Concepts of the rows, from the top down.
    noun : str
        Noun for a concept, for example "letter".
    rate : str
        Name of the metric's rate, for example "absorption rate".
    cell : str
        Key of `cell_labels`.
    current : tuple or None
        The SAE that Explore shows; its cell for `concept` is outlined.
    concept : str or None
        Id of the concept that Explore shows.
    theme : Theme
    touch : bool
        Whether a drag scrolls the page rather than selects.

    Returns
    -------
    Plot
        Layers: places (all, hatched), cells, current.
    """
    names = names_of(columns, saes)
    data = _cells(cells, saes=saes, columns=columns, concepts=concepts, cell=cell, theme=theme)
    ring = data[(data["concept"] == concept) & np.array([key == current for key in sae_keys(data)], dtype=bool)]
    ground = pd.DataFrame(
        [(-0.5, -0.5, len(columns) - 0.5, len(concepts) - 0.5)] if columns else [], columns=_CORNERS, dtype="float64"
    )
    return Plot(
        "absorption-heatmap",
        theme,
        [
            Layer(
                *("places", hv.Rectangles, ground, _CORNERS),
                look={"fill_color": theme.panel, "line_color": None},
                glyph={"hatch_pattern": "/", "hatch_color": theme.rule, "hatch_scale": 6},
            ),
            Layer(
                *("cells", hv.Rectangles, data, _CORNERS, _EXTRA),
                look={
                    "line_color": theme.rule,
                    # Borders would hide cells of less than their width.
                    "line_width": 0.5 if len(concepts) <= _MOST_LABELS else 0,
                    "tools": ["hover", "xbox_select"],
                    "default_tools": ["xpan", "xbox_zoom", "reset"],
                    "hover_tooltips": tooltip(
                        (noun, "@label"),
                        ("SAE", "@name"),
                        (cell_labels(rate)[cell], "@shown"),
                        ("absorbed", "@counted"),
                    ),
                },
                glyph={"fill_color": field("colour")},
            ),
            Layer(
                *("current", hv.Rectangles, ring, _CORNERS, _EXTRA),
                look={"fill_color": None, "line_color": theme.ink, "line_width": 2},
            ),
        ],
        (-0.5, max(len(columns), 1) - 0.5),
        (-0.5, max(len(concepts), 1) - 0.5),
        {"xlabel": "SAE", "ylabel": "", "active_tools": drag_tools(active=not touch)},
        [partial(_label, columns=names, rows=[shortened(one.label) for one in concepts])],
    )


def names_of(columns: Sequence[tuple[str, str]], saes: Mapping[tuple[str, str], Sae]) -> list[str]:
    """Return the short label of each column's SAE."""
    return [saes[key].short for key in columns]


def height_of(rows: int, names: Sequence[str]) -> int:
    """Return the height in pixels of a heat map with `rows` rows and the slanted `names` below it."""
    below = _CHARACTER * min(30, max(map(len, names), default=0))
    return max(_MIN_HEIGHT, min(_MAX_HEIGHT, _AROUND + below + _ROW * rows))


class Step(NamedTuple):
    """A colour of the heat map, the highest value that has it, and that value as a text."""

    colour: str
    upper: float
    text: str


def steps_of(cells: pd.DataFrame | None, cell: str, theme: Theme) -> list[Step]:
    """Return the steps of the theme's sequential ramp, from the lowest; none if no value is above 0.

    The bounds grow quadratically, so that small values differ in colour even if another is a hundred times as large.
    """
    highest = 0.0 if cells is None or cells[cell].isna().all() else float(cells[cell].max())
    if highest <= 0:
        return []
    unit = 1.0 if cell == "num_split_latents" else 0.001
    ramp = theme.rates
    even = [highest * (place / len(ramp)) ** 2 for place in range(1, len(ramp))]
    # Bounds are rounded as they are displayed.
    ends = sorted({round(unit * math.ceil(round(value / unit, 6)), 3) for value in even} - {0.0})
    ends = [*(end for end in ends if end < highest), highest]
    write = {"absorption_rate": percent, "num_split_latents": lambda value: number(value, 0)}.get(cell, number)
    texts = [write(end) for end in ends]
    if not (cell == "num_split_latents" and ends[0] == 1):
        texts[0] = f"up to {texts[0]}"
    # If there are few steps, they have the strongest colours.
    return [Step(*step) for step in zip(ramp[-len(ends) :], ends, texts, strict=True)]


def colour_of(values: pd.Series, steps: Sequence[Step], theme: Theme) -> list[str]:
    """Return the colour of each value: of its step; the background for 0 and below; transparent if missing."""
    ends = [step.upper for step in steps]
    return [
        "rgba(0, 0, 0, 0)" if np.isnan(value) else steps[bisect_left(ends, value)].colour if value > 0 else theme.paper
        for value in values.to_numpy(float)
    ]


def _cells(
    cells: pd.DataFrame | None,
    *,
    saes: Mapping[tuple[str, str], Sae],
    columns: Sequence[tuple[str, str]],
    concepts: Sequence[Concept],
    cell: str,
    theme: Theme,
) -> pd.DataFrame:
    place = {key: column for column, key in enumerate(columns)}
    row_of = {concept.id: len(concepts) - 1 - row for row, concept in enumerate(concepts)}
    label_of = {concept.id: concept.label for concept in concepts}
    known = None if cells is None else _cells_on_map(cells, place, row_of)
    if known is None or known.empty:
        return pd.DataFrame({name: pd.Series([], dtype="float64") for name in [*_CORNERS, *_EXTRA]})
    keys = sae_keys(known)
    x = np.array([place[key] for key in keys], dtype=float)
    y = known["concept"].map(row_of).to_numpy(float)
    return known.assign(
        left=x - 0.5,
        bottom=y - 0.5,
        right=x + 0.5,
        top=y + 0.5,
        shown=[_value_text(cell, *row) for row in _rows(known, cell, "rate_low", "rate_high")],
        counted=[_counts_text(*row) for row in _rows(known, "num_absorbed", "num_tested")],
        colour=colour_of(known[cell], steps_of(cells, cell, theme), theme),
        name=[saes[key].label for key in keys],
        label=known["concept"].map(label_of),
    )[[*_CORNERS, *_EXTRA]]


def _cells_on_map(cells: pd.DataFrame, columns: Container[tuple[str, str]], rows: Collection[str]) -> pd.DataFrame:
    """Return the cells whose SAE has a column and whose concept has a row."""
    has_column = np.array([key in columns for key in sae_keys(cells)], dtype=bool)
    return cells[has_column & cells["concept"].isin(rows).to_numpy()]


def _rows(cells: pd.DataFrame, *names: str) -> list[tuple[float, ...]]:
    """Return these columns of each row as numbers; NaN if unknown."""
    return list(map(tuple, cells[list(names)].to_numpy(float).tolist()))


def _value_text(cell: str, value: float, low: float, high: float) -> str:
    """Format a cell's value; a rate with its Wilson interval."""
    if math.isnan(value):
        return "unknown"
    if cell == "absorption_rate":
        return percent(value) if math.isnan(low) else f"{percent(value)} ({span_label(low, high)})"
    return f"{value:.0f}" if cell == "num_split_latents" else f"{value:.3f}"


def _counts_text(absorbed: float, tested: float) -> str:
    """Format "absorbed of tested"; for published rates without tokens, the number tested is unknown."""
    if pd.isna(absorbed):
        return "unknown"
    return number(absorbed, 0) if pd.isna(tested) else f"{number(absorbed, 0)} of {number(tested, 0)} tested"


def _label(figure: Figure, columns: Sequence[str], rows: Sequence[str]) -> None:
    """Write SAEs and concepts along the axes; if there are more than `_MOST_LABELS`, only every nth."""
    across, down = (max(1, -(-len(names) // _MOST_LABELS)) for names in (columns, rows))
    figure.height = height_of(len(rows), columns)
    name_ticks(figure.xaxis[0], {place: name for place, name in enumerate(columns) if place % across == 0})
    name_ticks(figure.yaxis[0], {len(rows) - 1 - at: name for at, name in enumerate(rows) if at % down == 0})
    figure.xaxis[0].major_label_orientation = 0.9
    figure.ygrid.grid_line_color = None
