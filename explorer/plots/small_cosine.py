"""A small cosine plot, one of many on a page: reduced line, exact marks, axes shared with its neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
import pandas as pd

from explorer.theme import Theme, figure_hook, tooltip

if TYPE_CHECKING:
    from collections.abc import Callable

    from bokeh.models import Range1d

HEIGHT = 180
_COLUMNS = ["latent", "cosine"]
_TOOLTIPS = tooltip(("latent", "@latent"), ("cosine", "@cosine{0.0000}"))


def small_cosine_plot(
    line: pd.DataFrame | None,
    marks: pd.DataFrame | None,
    *,
    name: str,
    theme: Theme,
    ranges: tuple[Range1d, Range1d] | None = None,
) -> hv.Overlay:
    """Draw one SAE and concept.

    Parameters
    ----------
    line : DataFrame or None
        Columns latent and cosine, reduced to the extremes of each stretch of latents.
    marks : DataFrame or None
        Columns latent, cosine and part ('split' or 'absorbing'); None draws the same elements, empty.
    name : str
        Name of the figure.
    theme : Theme
    ranges : tuple of Range1d, optional
        Axes that the plot shares with others.

    Returns
    -------
    Overlay
        Curve, Points (split), Points (absorbing).
    """
    empty = pd.DataFrame({column: pd.Series([], dtype="float64") for column in _COLUMNS})
    drawn = empty if line is None else line[_COLUMNS]
    marked = empty.assign(part="") if marks is None else marks.dropna(subset="cosine")
    hover = {"tools": ["hover"], "hover_tooltips": _TOOLTIPS, "line_color": theme.paper}
    return (
        hv.Curve(drawn, "latent", "cosine").opts(
            color=theme.other, line_width=1, default_tools=["xpan", "xbox_zoom", "xwheel_zoom", "reset"]
        )
        * hv.Points(marked.loc[marked["part"] == "split", _COLUMNS], _COLUMNS).opts(
            marker="diamond", size=10, color=theme.split, **hover
        )
        * hv.Points(marked.loc[marked["part"] == "absorbing", _COLUMNS], _COLUMNS).opts(
            marker="circle", size=6, color=theme.absorbing, **hover
        )
    ).opts(
        hv.opts.Overlay(
            hooks=[figure_hook(name, theme), _share(ranges)],
            responsive=True,
            height=HEIGHT,
            xlabel="",
            ylabel="",
            show_legend=False,
            active_tools=[],
        )
    )


def _share(ranges: tuple[Range1d, Range1d] | None) -> Callable[[Any, Any], None]:
    """Make a hook that puts the figure on shared axes."""

    def share(plot: Any, _element: Any) -> None:
        if ranges is None or plot.state.x_range is ranges[0]:
            return
        plot.state.update(x_range=ranges[0], y_range=ranges[1])
        plot.handles.update(x_range=ranges[0], y_range=ranges[1])

    return share
