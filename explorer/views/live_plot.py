"""A plot that is drawn anew where what it is drawn of has changed, and reports taps and brushes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import holoviews as hv
import panel as pn
import param

from explorer.views.act import one_act

if TYPE_CHECKING:
    from collections.abc import Callable
    from functools import partial

#: What is compared by value; all else, as frames, is another where it is not the same.
_PLAIN = (bool, int, float, str, tuple, list, set)


class _Drawings(param.Parameterized):
    """Counts how often a plot was to be drawn anew."""

    number = param.Integer(0)


class LivePlot:
    """The pane of a plot.

    Parameters
    ----------
    drawing : callable
        Makes of what is shown a call that draws an overlay, always of the same structure; another function or another
        argument makes it another drawing. Where `zoom` is given, the call takes `x_range`, too.
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

    def __init__(
        self,
        drawing: Callable[[], partial[hv.Overlay]],
        *,
        height: int,
        on_tap: Callable[[float, float], object] | None = None,
        on_brush: tuple[type[hv.streams.Stream], Callable[[Any], object]] | None = None,
        zoom: hv.streams.RangeX | None = None,
        **layout: Any,
    ) -> None:
        self._drawing, self._drawn = drawing, drawing()
        self._drawings = _Drawings()
        # Each drawing is another one: there is nothing to remember.
        draw = hv.Callable(
            lambda x_range=None, **_: (
                self._drawn() if zoom is None else self._drawn(x_range=x_range if _are_numbers(x_range) else None)
            ),
            memoize=False,
        )
        # HoloViews looks for taps and brushes on an overlay only where one of its streams is linked.
        stream = hv.streams.Params(self._drawings, ["number"], linked=True)
        plot = hv.DynamicMap(draw, streams=[stream, *([] if zoom is None else [zoom])])
        if zoom is not None:
            zoom.source = plot
        if on_tap is not None:
            tap = hv.streams.Tap(source=plot, x=None, y=None)
            tap.add_subscriber(lambda x, y: _held(on_tap, x, y) if _are_numbers((x, y)) else None)
        if on_brush is not None:
            kind, take = on_brush
            brush = kind(source=plot)
            brush.add_subscriber(lambda **told: _brushed(take, next(iter(told.values()))))
        self.pane = pn.pane.HoloViews(
            plot, sizing_mode="stretch_width", height=height, margin=0, linked_axes=False, **layout
        )

    def update(self) -> None:
        """Draw anew, in place, where the drawing has become another."""
        former, self._drawn = self._drawn, self._drawing()
        if not _is_same(former, self._drawn):
            self._drawings.number += 1


def _is_same(one: partial[hv.Overlay], other: partial[hv.Overlay]) -> bool:
    """Tell whether two calls draw the same."""
    former, new = ({"": call.func, **dict(enumerate(call.args)), **call.keywords} for call in (one, other))
    return former.keys() == new.keys() and all(
        value is new[name] or (type(value) in _PLAIN and value == new[name]) for name, value in former.items()
    )


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
