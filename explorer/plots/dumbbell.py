"""The rates of two SAEs by concept: one row per concept, with two points joined by a line."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import holoviews as hv
import numpy as np
import pandas as pd

from explorer.format import percent, shortened
from explorer.plots.layers import Layer, Plot
from explorer.theme import Theme, in_percent_across, name_ticks, tooltip

if TYPE_CHECKING:
    from bokeh.models import Plot as Figure

#: Maximum number of rows; of more concepts, those that differ most are drawn.
MOST_ROWS = 60
_ROW = 16
_AROUND = 64
_COLUMNS = ["concept", "label", "this", "other", "difference", "place"]
_TOOLTIPS = tooltip(("", "@label"), ("A", "@this"), ("B", "@other"), ("B \N{MINUS SIGN} A", "@difference"))


def rows_of(pairs: pd.DataFrame | None) -> pd.DataFrame:
    """Return the concepts to draw, sorted by descending difference B - A.

    Parameters
    ----------
    pairs : DataFrame or None
        Result of the query `pair_concepts`.

    Returns
    -------
    DataFrame
        Those of the rows with both rates that differ most, with the column rise (B - A).
    """
    if pairs is None:
        return pd.DataFrame(columns=["concept", "label", "absorption_rate", "other_absorption_rate", "rise"])
    both = pairs.dropna(subset=["absorption_rate", "other_absorption_rate"])
    both = both.assign(rise=both["other_absorption_rate"] - both["absorption_rate"])
    most = both["rise"].abs().nlargest(MOST_ROWS).index
    return both.loc[most].sort_values(["rise", "label"], ascending=[False, True])


def height_of(number: int) -> int:
    """Return the height in pixels of a plot with `number` rows."""
    return _ROW * max(number, 4) + _AROUND


def dumbbell_plot(pairs: pd.DataFrame | None, *, concept: str | None, rate: str, theme: Theme) -> Plot:
    """Draw one row per concept, the largest increase from A to B at the top.

    Parameters
    ----------
    pairs : DataFrame or None
        Result of the query `pair_concepts`; None draws the same elements, empty.
    concept : str or None
        Id of the chosen concept, whose row is marked.
    rate : str
        Name of the metric's rate, for example "absorption rate".
    theme : Theme

    Returns
    -------
    Plot
        Layers: chosen row, differences, A, B.
    """
    rows = rows_of(pairs)
    number = len(rows)
    y = np.arange(number, dtype=float)[::-1]
    this, other = (rows[name].to_numpy(float) for name in ("absorption_rate", "other_absorption_rate"))
    top = float(max([0.01, *this, *other])) * 1.06
    x_span, y_span = (-0.02 * top, top), (-0.8, max(number, 1) - 0.2)
    data = pd.DataFrame(
        {
            "concept": rows["concept"],
            "label": rows["label"],
            "this": [percent(value) for value in this],
            "other": [percent(value) for value in other],
            "difference": [percent(value) for value in rows["rise"]],
        }
    ).astype(object)
    lines = {"rate": this, "place": y, "rate1": other, "place1": y}
    chosen = y[(rows["concept"] == concept).to_numpy(bool)]
    row = {"left": x_span[0], "bottom": chosen - 0.5, "right": x_span[1], "top": chosen + 0.5}
    extra = ("concept", "label", "this", "other", "difference")

    def points(name: str, values: np.ndarray, colour: str, marker: str) -> Layer:
        return Layer(
            *(name, hv.Points, data.assign(rate=values, place=y), ("rate", "place"), extra),
            look={
                "size": 8,
                "color": colour,
                "marker": marker,
                "line_color": theme.paper,
                "tools": ["hover"],
                "hover_tooltips": _TOOLTIPS,
            },
        )

    return Plot(
        "pair-rates",
        theme,
        [
            Layer(
                *("chosen row", hv.Rectangles, pd.DataFrame(row), tuple(row)),
                look={"fill_color": theme.panel, "line_color": None},
            ),
            Layer(
                *("differences", hv.Segments, lines, tuple(lines)),
                look={"color": theme.other, "line_width": 2},
            ),
            points("A", this, theme.categories[0], "circle"),
            points("B", other, theme.categories[1], "square"),
        ],
        x_span,
        y_span,
        {"xlabel": rate, "ylabel": ""},
        [in_percent_across, partial(_label, labels=dict(zip(y, map(shortened, rows["label"]), strict=True)))],
    )


def concept_at(pairs: pd.DataFrame | None, y: float) -> str | None:
    """Return the id of the concept whose row is at y, or None."""
    rows = rows_of(pairs)
    place = len(rows) - 1 - round(y)
    return str(rows["concept"].iloc[place]) if 0 <= place < len(rows) else None


def _label(figure: Figure, labels: dict[float, str]) -> None:
    """Write the concepts along the y-axis, and set the height for the number of rows."""
    name_ticks(figure.yaxis[0], labels)
    figure.height = height_of(len(labels))
    figure.ygrid.grid_line_color = None
    figure.xgrid.grid_line_color = figure.xaxis[0].axis_line_color
