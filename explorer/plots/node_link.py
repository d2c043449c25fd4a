"""Common parts of node-link diagrams from left to right: curves, marks, labels, and the layout of the figure."""

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

#: Options of an element without default tools.
NO_TOOLS: dict[str, Any] = {"default_tools": []}
#: Columns of a straight segment.
CORNERS = ["x", "y", "x1", "y1"]
#: Tag of a figure whose x range follows its width.
_FOLLOWS_WIDTH = "follows width"
_LOOK = ["colour", "width", "alpha", "cap"]


def eased(start: Any, end: Any, along: np.ndarray) -> Any:
    """Return the y of a curve from `start` to `end`, horizontal at both ends, at positions `along` from 0 to 1."""
    return start + (end - start) * along**2 * (3 - 2 * along)


def pieces(edges: pd.DataFrame, number: int) -> pd.DataFrame:
    """Cut edges into overlapping straight segments; round caps, except near the ends, where they would protrude."""
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


def curves(cut: pd.DataFrame, tooltips: Sequence[str] = (), **look: Any) -> Layer:
    """Draw edges as segments, because HoloViews needs half a second for paths of different styles.

    Parameters
    ----------
    cut : DataFrame
        Result of `pieces`, with columns colour, width and alpha.
    tooltips : sequence of str
        Columns for tooltips.
    **look
        Options of HoloViews' element.
    """
    return Layer(
        *("edges", hv.Segments, cut, CORNERS, [*tooltips, *_LOOK]),
        look=look | NO_TOOLS,
        # If these were options, HoloViews would make them constants whenever all edges are equal.
        glyph={
            "line_color": field("colour"),
            "line_width": field("width"),
            "line_alpha": field("alpha"),
            "line_cap": field("cap"),
        },
    )


def points(name: str, nodes: pd.DataFrame, tooltips: Sequence[str] = (), **look: Any) -> Layer:
    """Draw one mark per node at the columns x and y."""
    return Layer(name, hv.Points, nodes, ("x", "y"), tooltips, look=look | NO_TOOLS)


def labels(
    name: str,
    texts: Iterable[tuple[float, float, str]],
    offset: tuple[int, int],
    font: str = FONT,
    **look: Any,
) -> Layer:
    """Write texts (x, y, text), shifted right and down by `offset` pixels."""
    x, y, text = zip(*texts, strict=True) if (texts := list(texts)) else ((), (), ())
    data = {"x": np.array(x, float), "y": np.array(y, float), "label": np.array(text, object)}
    return Layer(
        *(name, hv.Labels, data, ("x", "y"), ("label",), {"text_font_size": "12px"} | look | NO_TOOLS),
        # As an option, the name of a font would be interpreted as a column.
        glyph={"x_offset": offset[0], "y_offset": offset[1], "text_font": value(font)},
    )


def fit_columns(figure: Figure, *, height: int, y: tuple[float, float], beside: tuple[int, int]) -> None:
    """Set the height of a figure and reserve pixels beside the columns, which are from x = 0 to 1.

    Parameters
    ----------
    figure : Figure
    height : int
        Pixels.
    y : tuple of float
        Visible range, lower end first.
    beside : tuple of int
        Pixels at the left and at the right, independent of the width.
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
    if _FOLLOWS_WIDTH not in figure.tags:
        # In Python, because a CustomJS callback is evaluated code, which the page's policy forbids.
        figure.tags = [*figure.tags, _FOLLOWS_WIDTH]
        figure.on_change("inner_width", partial(_fit_range, figure.x_range, beside))


def without_session(plot: Plot) -> Plot:
    """Return a plot for a page without a server, whose script sets the x range instead of `fit_columns`."""
    return plot._replace(hooks=[_mark, *plot.hooks])


def _mark(plot: Any, _element: Any) -> None:
    plot.state.tags = [*plot.state.tags, _FOLLOWS_WIDTH]


def _fit_range(x_range: Range1d, beside: tuple[int, int], _name: str, _before: int | None, width: int | None) -> None:
    inner = (width or 0) - sum(beside)
    if inner > 0:
        x_range.update(start=-beside[0] / inner, end=1 + beside[1] / inner)
