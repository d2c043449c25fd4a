"""A plot that follows the session, and reports taps and brushes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import holoviews as hv
import panel as pn
import param

from explorer.views.act import one_act

if TYPE_CHECKING:
    from collections.abc import Callable


class _Drawings(param.Parameterized):
    """Counts how often a plot was to be drawn anew."""

    number = param.Integer(0)


def live_plot(
    draw: Callable[..., hv.Overlay],
    *,
    follows: Callable[[Callable[[], object]], object],
    height: int,
    on_tap: Callable[[float, float], object] | None = None,
    on_brush: tuple[type[hv.streams.Stream], Callable[[Any], object]] | None = None,
    zoom: hv.streams.RangeX | None = None,
    **layout: Any,
) -> pn.pane.HoloViews:
    """Make the pane of a plot.

    Parameters
    ----------
    draw : callable
        Draws an overlay of always the same structure; takes `x_range` where `zoom` is given.
    follows : callable
        Takes what draws anew, in place, and calls it when that is due.
    height : int
        Pixels.
    on_tap : callable, optional
        Takes the place of a tap, in data coordinates.
    on_brush : tuple of stream type and callable, optional
        The kind of brush (BoundsX, BoundsY, BoundsXY), and what takes its bounds.
    zoom : RangeX, optional
        Is kept at the visible part of the x-axis.
    **layout
        Passed on to the pane.
    """
    drawings = _Drawings()
    follows(lambda: drawings.param.update(number=drawings.number + 1))
    # Each drawing is another one: there is nothing to remember.
    drawing = hv.Callable(
        lambda x_range=None, **_: draw() if zoom is None else draw(x_range if _are_numbers(x_range) else None),
        memoize=False,
    )
    # HoloViews looks for taps and brushes on an overlay only where one of its streams is linked.
    stream = hv.streams.Params(drawings, ["number"], linked=True)
    plot = hv.DynamicMap(drawing, streams=[stream, *([] if zoom is None else [zoom])])
    if zoom is not None:
        zoom.source = plot
    if on_tap is not None:
        tap = hv.streams.Tap(source=plot, x=None, y=None)
        tap.add_subscriber(lambda x, y: _held(on_tap, x, y) if _are_numbers((x, y)) else None)
    if on_brush is not None:
        kind, take = on_brush
        brush = kind(source=plot)
        brush.add_subscriber(lambda **told: _brushed(take, next(iter(told.values()))))
    return pn.pane.HoloViews(plot, sizing_mode="stretch_width", height=height, margin=0, linked_axes=False, **layout)


def _are_numbers(values: object) -> bool:
    """Tell whether what a browser sent are finite numbers; anything may come."""
    return isinstance(values, tuple) and all(isinstance(each, int | float) and math.isfinite(each) for each in values)


def _brushed(take: Callable[[Any], object], bounds: object) -> None:
    if bounds is None or _are_numbers(bounds):
        _held(take, bounds)


def _held(act: Callable[..., object], *values: Any) -> None:
    """Send everything that one act of the reader's changes to the browser in one message."""
    with one_act():
        act(*values)
