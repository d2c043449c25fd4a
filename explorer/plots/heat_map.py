"""The heat map of all letters on all SAEs."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, NamedTuple

import holoviews as hv
import numpy as np
import pandas as pd
from bokeh.models import FixedTicker

from explorer.format import l0_label, number, percent, width_label
from explorer.plots.absorption import sae_keys
from explorer.state import LETTERS
from explorer.theme import Theme, brush, figure_hook, fit_hook, tooltip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: What a cell can show: column of the query `letter_rates`, and how it is called.
CELLS = {"absorption_rate": "absorption rate", "num_split_latents": "split latents", "f1_gap": "F1 gap to the probe"}
HEIGHT = 560
_CORNERS = ["left", "bottom", "right", "top"]
_EXTRA = ["suite", "layer", "width", "l0", "letter", "shown", "counted", "colour", "said_l0"]
_MOST_LABELS = 40


def heat_map(
    cells: pd.DataFrame | None,
    *,
    saes: Sequence[tuple[Any, ...]],
    cell: str,
    current: tuple[Any, ...] | None,
    letter: str,
    theme: Theme,
    touch: bool = False,
) -> hv.Overlay:
    """Draw a cell a letter and an SAE: letters from the top down, SAEs from left to right, SAE n at x = n.

    A value of 0 has the colour of the paper, others that of their step (`steps_of`); a letter without data is hatched.

    Parameters
    ----------
    cells : DataFrame or None
        Answer of the query `letter_rates`; None draws the same elements, empty.
    saes : sequence of tuple
        Suite, layer, width and L0 of the columns, in order.
    cell : str
        Key of `CELLS`.
    current : tuple or None
        The SAE that Explore shows; its cell for `letter` is outlined.
    letter : str
    theme : Theme
    touch : bool
        Whether a drag is left to scroll the page.

    Returns
    -------
    Overlay
        Rectangles (all places, hatched), Rectangles (cells), Rectangles (current).
    """
    place = {sae: column for column, sae in enumerate(saes)}
    data = _cells(cells, place, cell, theme)
    ring = data[(data["letter"] == letter) & np.array([key == current for key in sae_keys(data)], dtype=bool)]
    ground = pd.DataFrame(
        [(-0.5, -0.5, len(saes) - 0.5, len(LETTERS) - 0.5)] if saes else [], columns=_CORNERS, dtype="float64"
    )
    x_span, y_span = (-0.5, max(len(saes), 1) - 0.5), (-0.5, len(LETTERS) - 0.5)
    return (
        hv.Rectangles(ground, _CORNERS).opts(fill_color=theme.panel, line_color=None, hooks=[_hatch(theme)])
        * hv.Rectangles(data, _CORNERS, _EXTRA).opts(
            color="colour",
            line_color=theme.rule,
            line_width=0.5,
            tools=["hover", "xbox_select"],
            default_tools=["xpan", "xbox_zoom", "reset"],
            hover_tooltips=tooltip(
                ("letter", "@letter"),
                ("layer", "@layer"),
                ("width", "@width"),
                ("L0", "@said_l0"),
                (CELLS[cell], "@shown"),
                ("absorbed", "@counted"),
            ),
        )
        * hv.Rectangles(ring, _CORNERS, _EXTRA).opts(fill_color=None, line_color=theme.ink, line_width=2)
    ).opts(
        hv.opts.Overlay(
            hooks=[
                figure_hook("absorption-heatmap", theme),
                fit_hook(x_span, y_span),
                _label(saes),
            ],
            responsive=True,
            height=HEIGHT,
            xlim=x_span,
            ylim=y_span,
            xlabel="SAE: layer, width, L0",
            ylabel="",
            show_legend=False,
            active_tools=brush(active=not touch),
        )
    )


class Step(NamedTuple):
    """A colour of the heat map, the highest value that has it, and how that is written."""

    colour: str
    most: float
    said: str


def steps_of(cells: pd.DataFrame | None, cell: str, theme: Theme) -> list[Step]:
    """Choose the steps of the theme's sequential ramp, from the lowest; none where no value is above 0.

    They grow with the square, so that small values differ in colour beside one that is a hundred times as large.
    """
    highest = 0.0 if cells is None or cells[cell].isna().all() else float(cells[cell].max())
    if highest <= 0:
        return []
    unit = 1.0 if cell == "num_split_latents" else 0.001
    ramp = theme.rates
    even = [highest * (place / len(ramp)) ** 2 for place in range(1, len(ramp))]
    # Each ends at a number as it is written.
    ends = sorted({round(unit * math.ceil(round(value / unit, 6)), 3) for value in even} - {0.0})
    ends = [*(end for end in ends if end < highest), highest]
    write = {"absorption_rate": percent, "num_split_latents": lambda value: number(value, 0)}.get(cell, number)
    said = [write(end) for end in ends]
    if not (cell == "num_split_latents" and ends[0] == 1):
        said[0] = f"up to {said[0]}"
    # Of few steps, the strongest colours.
    return [Step(*step) for step in zip(ramp[-len(ends) :], ends, said, strict=True)]


def colour_of(values: pd.Series, steps: Sequence[Step], theme: Theme) -> list[str]:
    """Give each value the colour of its step; 0 and below is paper, no value nothing."""
    ends = [step.most for step in steps]
    return [
        "rgba(0, 0, 0, 0)" if np.isnan(value) else steps[bisect_left(ends, value)].colour if value > 0 else theme.paper
        for value in values.to_numpy(float)
    ]


def _cells(cells: pd.DataFrame | None, place: dict[tuple[Any, ...], int], cell: str, theme: Theme) -> pd.DataFrame:
    known = None if cells is None else cells[[key in place for key in sae_keys(cells)]]
    if known is None or known.empty:
        return pd.DataFrame({name: pd.Series([], dtype="float64") for name in [*_CORNERS, *_EXTRA]})
    x = np.array([place[key] for key in sae_keys(known)], dtype=float)
    y = np.array([len(LETTERS) - 1 - LETTERS.index(letter) for letter in known["letter"]], dtype=float)
    return known.assign(
        left=x - 0.5,
        bottom=y - 0.5,
        right=x + 0.5,
        top=y + 0.5,
        shown=[_written(row, cell) for row in known.to_dict("records")],
        counted=[_counted(row.num_absorbed, row.num_tested) for row in known.itertuples()],
        colour=colour_of(known[cell], steps_of(cells, cell, theme), theme),
        said_l0=known["l0"].map(l0_label),
    )[[*_CORNERS, *_EXTRA]]


def _written(row: dict[str, Any], cell: str) -> str:
    """Write a cell's value; a rate with its Wilson interval."""
    if pd.isna(row[cell]):
        return "unknown"
    if cell == "absorption_rate":
        return f"{100 * row[cell]:.1f} % ({100 * row['rate_low']:.1f}–{100 * row['rate_high']:.1f})"
    return f"{row[cell]:.0f}" if cell == "num_split_latents" else f"{row[cell]:.3f}"


def _counted(absorbed: float, tested: float) -> str:
    """Write how many are absorbed, and of how many tested ones; the words behind a published number are not stored."""
    if pd.isna(absorbed):
        return "unknown"
    return number(absorbed, 0) if pd.isna(tested) else f"{number(absorbed, 0)} of {number(tested, 0)} tested"


def _label(saes: Sequence[tuple[Any, ...]]) -> Callable[[Any, Any], None]:
    """Make a hook that writes letters and SAEs along the axes; of very many SAEs only some are named."""
    step = max(1, -(-len(saes) // _MOST_LABELS))
    columns = {
        place: f"{layer} · {width_label(width)} · {l0_label(l0)}"
        for place, (_, layer, width, l0) in enumerate(saes)
        if place % step == 0
    }
    rows = {len(LETTERS) - 1 - place: letter.upper() for place, letter in enumerate(LETTERS)}

    def label(plot: Any, _element: Any) -> None:
        figure = plot.state
        figure.xaxis[0].update(
            ticker=FixedTicker(ticks=list(columns)), major_label_overrides=columns, major_label_orientation=0.9
        )
        figure.yaxis[0].update(ticker=FixedTicker(ticks=list(rows)), major_label_overrides=rows)
        figure.ygrid.grid_line_color = None

    return label


def _hatch(theme: Theme) -> Callable[[Any, Any], None]:
    def hatch(plot: Any, _element: Any) -> None:
        plot.handles["glyph"].update(hatch_pattern="/", hatch_color=theme.rule, hatch_scale=6)

    return hatch
