"""A plot that is updated with its data, and reports taps and selections."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import holoviews as hv
import panel as pn
import param

from explorer.theme import Theme
from explorer.views.act import one_act

if TYPE_CHECKING:
    from collections.abc import Callable

    from bokeh.models import Plot as Figure

    from explorer.plots.layers import Plot

#: Types of arguments that are compared by value; all others, such as frames, by identity.
_PLAIN = (bool, int, float, str, tuple, list, set)


class _Drawings(param.Parameterized):
    """A HoloViews stream that counts how often a plot must be drawn again."""

    number = param.Integer(0)


class LivePlot:
    """The pane of a plot: drawn by HoloViews if its appearance changes, and patched if only its data changes.

    Parameters
    ----------
    drawing : callable
        Returns the call that draws the plot for the state shown; the plot is updated if the call's function or
        arguments have changed. With `zoom`, the call also takes `x_range`.
    height : int
        Pixels.
    on_tap : callable, optional
        Called with the position of a tap, in data coordinates.
    on_brush : tuple of stream type and callable, optional
        The stream of the selection (BoundsX, BoundsY, BoundsXY), and a function called with its bounds.
    zoom : RangeX, optional
        Stream of the visible x range.
    **layout
        Passed to the pane.
    """

    def __init__(
        self,
        drawing: Callable[[], partial[Plot]],
        *,
        height: int,
        on_tap: Callable[[float, float], object] | None = None,
        on_brush: tuple[type[hv.streams.Stream], Callable[[Any], object]] | None = None,
        zoom: hv.streams.RangeX | None = None,
        **layout: Any,
    ) -> None:
        self._drawing, self._drawn, self._zoom, self._height = drawing, drawing(), zoom, height
        self._plot: Plot | None = None
        #: The plot in each figure; there is one figure per document that contains the pane.
        self._figures: WeakKeyDictionary[Figure, Plot] = WeakKeyDictionary()
        self._is_remote = False
        self._drawings = _Drawings()
        # No cache, because each drawing is different.
        draw = hv.Callable(lambda **_: self._draw(), memoize=False)
        # HoloViews registers taps and selections on an overlay only if one of its streams is linked.
        stream = hv.streams.Params(self._drawings, ["number"], linked=True)
        self._map = plot = hv.DynamicMap(draw, streams=[stream])
        if zoom is not None:
            zoom.source = plot
            # HoloViews reports zooming without the document's lock.
            zoom.add_subscriber(lambda **_: self._show(at_once=False))
        if on_tap is not None:
            tap = hv.streams.Tap(source=plot, x=None, y=None)
            tap.add_subscriber(lambda x, y: _held(on_tap, x, y) if _are_numbers((x, y)) else None)
        if on_brush is not None:
            kind, take = on_brush
            brush = kind(source=plot)
            brush.add_subscriber(lambda **changed: _brushed(take, next(iter(changed.values()))))
        self.pane = pn.pane.HoloViews(
            plot, sizing_mode="stretch_width", height=self._scaled, margin=0, linked_axes=False, **layout
        )

    @property
    def height(self) -> int:
        """Its height in pixels; in a presentation it is scaled with the texts."""
        return self._height

    @height.setter
    def height(self, height: int) -> None:
        self._height = height
        self.pane.height = self._scaled

    @property
    def _scaled(self) -> int:
        given = (*self._drawn.args, *self._drawn.keywords.values())
        return round(self._height * next((which.scale for which in given if isinstance(which, Theme)), 1))

    def update(self) -> None:
        """Update the plot if its call has changed."""
        former, self._drawn = self._drawn, self._drawing()
        if not _is_same(former, self._drawn):
            self.pane.height = self._scaled
            self._show()

    def _now(self) -> Plot:
        """Return the plot for the state shown, within the visible x range."""
        if self._zoom is None:
            return self._drawn()
        x_range = self._zoom.x_range
        return self._drawn(x_range=x_range if _are_numbers(x_range) else None)

    def _draw(self) -> hv.Overlay:
        self._plot = self._plot or self._now()
        return self._plot.draw(partial(_note, ref(self)))

    def note(self, drawn: Any) -> None:
        """Record that the figure of a HoloViews plot shows the current plot."""
        if self._plot is not None:
            self._figures[drawn.state] = self._plot
        # In a notebook, HoloViews sends the changes.
        self._is_remote |= drawn.comm is not None

    def _show(self, *, at_once: bool = True) -> None:
        if self._plot is None:
            return  # nothing has been drawn
        self._plot = self._now()
        if self._is_remote or any(figure.document not in (None, pn.state.curdoc) for figure in self._figures):
            self._drawings.number += 1
            return
        # Otherwise HoloViews would draw its cached element if the pane is shown again.
        self._map.reset()
        pn.state.execute(self._patch, schedule="auto" if at_once else True)

    def _patch(self) -> None:
        """Patch the figures, or let HoloViews draw them again if their appearance has changed."""
        if (plot := self._plot) is None:
            return
        looks = plot.appearance
        if any(shown.appearance != looks for shown in self._figures.values()):
            self._drawings.number += 1
            return
        for figure, shown in list(self._figures.items()):
            self._figures[figure] = plot
            plot.patch(figure, shown)


def _note(live: ref[LivePlot], plot: Any, _element: Any) -> None:
    """Pass a drawn figure to its live plot, weakly referenced, because HoloViews may keep this hook longer."""
    if (drawn := live()) is not None:
        drawn.note(plot)


def _is_same(one: partial[Plot], other: partial[Plot]) -> bool:
    """Return whether two calls return the same plot."""
    former, new = ({"": call.func, **dict(enumerate(call.args)), **call.keywords} for call in (one, other))
    return former.keys() == new.keys() and all(
        value is new[name] or (type(value) in _PLAIN and value == new[name]) for name, value in former.items()
    )


def _are_numbers(values: object) -> bool:
    """Return whether values from the browser are finite numbers."""
    return isinstance(values, tuple) and all(isinstance(each, int | float) and math.isfinite(each) for each in values)


def _brushed(take: Callable[[Any], object], bounds: object) -> None:
    if bounds is None or _are_numbers(bounds):
        _held(take, bounds)


def _held(act: Callable[..., object], *values: Any) -> None:
    """Handle one event of the visitor, and send all changes in one message.

    HoloViews (1.23) reports taps and selections without the document's lock. Since Bokeh 3.10 another event may be
    handled in another thread at the same time; then both hold the document, and Panel (1.10) releases neither hold.
    """

    def do() -> None:
        with one_act():
            act(*values)

    pn.state.execute(do, schedule=True)
