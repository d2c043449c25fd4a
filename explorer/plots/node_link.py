"""What drawings of nodes that curves join from left to right have in common: curves, marks, texts, and their place."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
from bokeh.core.properties import field, value

from explorer.plots.layers import Layer, Plot
from explorer.theme import FONT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd
    from bokeh.models import Plot as Figure
    from bokeh.models import Range1d

#: No tools beside those that are named.
NO_TOOLS: dict[str, Any] = {"default_tools": []}
#: Columns of a straight piece.
CORNERS = ["x", "y", "x1", "y1"]
#: Marks a figure whose texts are given their place.
_SPREADS = "spreads"
_LOOK = ["colour", "width", "alpha", "cap"]


def eased(start: Any, end: Any, along: np.ndarray) -> Any:
    """Return how far up a curve from `start` to `end` is, level at both ends."""
    return start + (end - start) * along**2 * (3 - 2 * along)


def pieces(edges: pd.DataFrame, number: int) -> pd.DataFrame:
    """Cut edges into straight pieces that overlap, with round caps but near the ends, where these would stick out."""
    middle = np.abs(np.arange(number) - (number - 1) / 2) < (number / 3 if number > 1 else 0)
    cut = edges.loc[edges.index.repeat(number)]
    starts = np.tile(np.arange(number) / number, len(edges))
    ends = np.minimum(starts + 1.4 / number, 1)
    return cut.assign(
        x=cut["x"] + (cut["x1"] - cut["x"]) * starts,
        y=eased(cut["y"], cut["y1"], starts),
        x1=cut["x"] + (cut["x1"] - cut["x"]) * ends,
        y1=eased(cut["y"], cut["y1"], ends),
        cap=np.tile(np.where(middle, "round", "butt"), len(edges)),
    )


def curves(cut: pd.DataFrame, said: Sequence[str] = (), **look: Any) -> Layer:
    """Draw edges that were cut into pieces: paths that differ take HoloViews half a second.

    Parameters
    ----------
    cut : DataFrame
        What `pieces` returns, with columns colour, width and alpha.
    said : sequence of str
        Columns for tooltips.
    **look
        Options of HoloViews' element.
    """
    return Layer(
        *("edges", hv.Segments, cut, CORNERS, [*said, *_LOOK]),
        look=look | NO_TOOLS,
        # As options, HoloViews would make them constants where all edges happen to be alike.
        glyph={
            "line_color": field("colour"),
            "line_width": field("width"),
            "line_alpha": field("alpha"),
            "line_cap": field("cap"),
        },
    )


def points(name: str, nodes: pd.DataFrame, said: Sequence[str] = (), **look: Any) -> Layer:
    """Draw a mark for each node, at x and y."""
    return Layer(name, hv.Points, nodes, ("x", "y"), said, look=look | NO_TOOLS)


def labels(
    name: str,
    texts: Iterable[tuple[float, float, str]],
    offset: tuple[int, int],
    font: str = FONT,
    **look: Any,
) -> Layer:
    """Write texts, moved to the right and down by pixels."""
    x, y, text = zip(*texts, strict=True) if (texts := list(texts)) else ((), (), ())
    data = {"x": np.array(x, float), "y": np.array(y, float), "label": np.array(text, object)}
    return Layer(
        *(name, hv.Labels, data, ("x", "y"), ("label",), {"text_font_size": "12px"} | look | NO_TOOLS),
        # As an option, the name of a font would be taken for that of a column.
        glyph={"x_offset": offset[0], "y_offset": offset[1], "text_font": value(font)},
    )


def place(figure: Figure, *, height: int, y: tuple[float, float], beside: tuple[int, int]) -> None:
    """Give a figure its height, and what stands beside the columns, which lie from x = 0 to 1, its pixels.

    Parameters
    ----------
    figure : Figure
    height : int
        Pixels.
    y : tuple of float
        What is to be seen, from the bottom up.
    beside : tuple of int
        Pixels at the left and at the right, as many on every screen.
    """
    figure.update(
        height=height,
        min_border=0,
        min_border_left=0,
        min_border_right=0,
        min_border_top=0,
        min_border_bottom=0,
        toolbar_location=None,
    )
    figure.ygrid.grid_line_color = None
    figure.y_range.update(start=y[0], end=y[1])
    if _SPREADS not in figure.tags:
        # Here rather than in the browser, where Bokeh would evaluate code, which the page's policy forbids.
        figure.tags = [*figure.tags, _SPREADS]
        figure.on_change("inner_width", partial(_spread, figure.x_range, beside))


def without_session(plot: Plot) -> Plot:
    """Return a plot whose figure no session follows: whoever shows it gives texts beside columns their place."""
    return plot._replace(hooks=[_mark, *plot.hooks])


def _mark(plot: Any, _element: Any) -> None:
    plot.state.tags = [*plot.state.tags, _SPREADS]


def _spread(x_range: Range1d, beside: tuple[int, int], _name: str, _before: int | None, width: int | None) -> None:
    room = (width or 0) - sum(beside)
    if room > 0:
        x_range.update(start=-beside[0] / room, end=1 + beside[1] / room)
