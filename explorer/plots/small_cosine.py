"""A small cosine plot, one of many on a page: reduced line, exact marks, axes shared with the other plots."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import holoviews as hv
import pandas as pd

from explorer.plots.layers import Layer, Plot
from explorer.theme import Theme, tooltip

if TYPE_CHECKING:
    from bokeh.models import Range1d

HEIGHT = 180
_COLUMNS = ("latent", "cosine")
_TOOLTIPS = tooltip(("latent", "@latent"), ("cosine", "@cosine{0.0000}"))


def small_cosine_plot(
    cosines: pd.DataFrame | None,
    *,
    name: str,
    theme: Theme,
    ranges: tuple[Range1d, Range1d] | None = None,
) -> Plot:
    """Draw the cosines of one SAE and concept.

    Parameters
    ----------
    cosines : DataFrame or None
        Columns part, latent and cosine: rows without a part are the line, reduced to the extremes of each bin of
        latents; those with 'split' and 'absorbing' are marks. None draws the same elements, empty.
    name : str
        Name of the figure.
    theme : Theme
    ranges : tuple of Range1d, optional
        Axes that the plot shares with others.

    Returns
    -------
    Plot
        Layers: latents, split, absorbing.
    """
    if cosines is None:
        cosines = pd.DataFrame({"part": [], "latent": [], "cosine": []}, dtype=float)
    known = cosines.dropna(subset="cosine")

    def points(part: str, **look: Any) -> Layer:
        hover = {"tools": ["hover"], "hover_tooltips": _TOOLTIPS, "line_color": theme.paper}
        return Layer(part, hv.Points, known[known["part"] == part], _COLUMNS, look=look | hover)

    return Plot(
        name,
        theme,
        [
            Layer(
                *("latents", hv.Curve, cosines[cosines["part"].isna()], _COLUMNS),
                look={
                    "color": theme.other,
                    "line_width": 1,
                    "default_tools": ["xpan", "xbox_zoom", "xwheel_zoom", "reset"],
                },
            ),
            points("split", marker="diamond", size=10, color=theme.split),
            points("absorbing", marker="circle", size=6, color=theme.absorbing),
        ],
        None,
        None,
        {"height": HEIGHT, "xlabel": "", "ylabel": ""},
        hooks=[] if ranges is None else [partial(_share, ranges=ranges)],
    )


def _share(plot: Any, _element: Any, *, ranges: tuple[Range1d, Range1d]) -> None:
    """Put the figure on shared axes: a HoloViews hook."""
    if plot.state.x_range is not ranges[0]:
        plot.state.update(x_range=ranges[0], y_range=ranges[1])
        plot.handles.update(x_range=ranges[0], y_range=ranges[1])
