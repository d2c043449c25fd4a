"""A plot as layers of data: HoloViews draws it once, and later data replaces the data of the Bokeh figure.

Drawing with HoloViews takes many times as long as replacing the data (`benchmarks/redraw.py`). So a plot is drawn again
only if its appearance changes (`Plot.appearance`), and patched if only its data does.
"""

from __future__ import annotations

from copy import deepcopy
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import holoviews as hv
import numpy as np

from explorer.theme import Theme, set_ranges, style_figure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from bokeh.models import Plot as Figure


#: HoloViews 1.23 treats elements with equal ids as the same. By default the id is `id()`, which Python may reuse.
_IDS = count(1)


#: Range of all data along an axis; None on axes shared with other plots.
Extent = tuple[float, float] | None


class Layer(NamedTuple):
    """Marks of one kind, drawn by one HoloViews element.

    Attributes
    ----------
    name : str
        Name of its renderer, unique in a plot.
    element : type of hv.Element
        Element that draws it.
    data : DataFrame or mapping of str to sequence
        A column for each of `axes` and `more`. For hv.Contours and hv.Polygons, the columns xs and ys instead of axes,
        with one line or outline per row.
    axes : sequence of str or hv.Dimension
        Columns on the axes. Those of hv.Rectangles are left, bottom, right and top.
    more : sequence of str
        Further columns, for tooltips and for the fields of `glyph`.
    look : mapping
        Options of the HoloViews element.
    glyph : mapping
        Properties of the Bokeh glyph (fields or values) for which HoloViews has no option or chooses another value.
    """

    name: str
    element: type[hv.Element]
    data: pd.DataFrame | Mapping[str, Any]
    axes: Sequence[str | hv.Dimension]
    more: Sequence[str] = ()
    look: Mapping[str, Any] = {}
    glyph: Mapping[str, Any] = {}

    @property
    def appearance(self) -> tuple[Any, ...]:
        """Everything that requires drawing again if it changes."""
        axes = [(axis.name, axis.label) if isinstance(axis, hv.Dimension) else axis for axis in self.axes]
        return self.name, self.element, axes, list(self.more), dict(self.look), dict(self.glyph)

    def draw(self) -> hv.Element:
        """Make the element."""
        if issubclass(self.element, hv.Contours):
            names = ("x", "y", *self.more)
            columns = [self.data[name] for name in ("xs", "ys", *self.more)]
            lines = [dict(zip(names, line, strict=True)) for line in zip(*columns, strict=True)]
            drawn = self.element(lines, ["x", "y"], list(self.more), plot_id=next(_IDS))
        else:
            across = 1 if self.element is hv.Curve else len(self.axes)
            drawn = self.element(
                self.source(), list(self.axes[:across]), [*self.axes[across:], *self.more], plot_id=next(_IDS)
            )
        # The hook must not refer to the data, because HoloViews may keep options longer than elements.
        hooks = [*self.look.get("hooks", ()), partial(_name, name=self.name, glyph=self.glyph)]
        # A copy, because HoloViews modifies the options of colour bars.
        return drawn.opts(**deepcopy(dict(self.look)) | {"hooks": hooks})

    def source(self) -> dict[str, Any]:
        """Return the columns of the renderer's data source."""
        if issubclass(self.element, hv.Contours):
            lines = {name: self.data[name] for name in ("xs", "ys")}
            if self.element is hv.Polygons:
                # Bokeh expects multi-polygons with holes.
                lines = {name: [[[outline]] for outline in outlines] for name, outlines in lines.items()}
            return lines | {name: _column(self.data[name]) for name in self.more}
        return {name: _column(self.data[name]) for name in [*map(str, self.axes), *self.more]}


class Line(NamedTuple):
    """A straight line across the plot: hv.HLine or hv.VLine at `at`, hidden if that is NaN."""

    name: str
    element: type[hv.Element]
    at: float
    look: Mapping[str, Any] = {}

    @property
    def appearance(self) -> tuple[Any, ...]:
        """Everything that requires drawing again if it changes."""
        return self.name, self.element, dict(self.look)

    def draw(self) -> hv.Element:
        """Make the element."""
        return self.element(self.at).opts(**self.look, hooks=[partial(_name, name=self.name)])


class Plot(NamedTuple):
    """A complete plot.

    Attributes
    ----------
    figure : str
        Name of the figure.
    theme : Theme
    layers : sequence of Layer and Line
        From back to front.
    x, y : tuple of float, optional
        Ranges of the axes when zoomed out; None on axes shared with other plots.
    options : mapping
        Options of the HoloViews overlay.
    adjust : sequence of callable
        Called with the Bokeh figure after drawing and patching, for what depends on the data, such as ticks.
    hooks : sequence of callable
        HoloViews hooks, called when it draws.
    """

    figure: str
    theme: Theme
    layers: Sequence[Layer | Line]
    x: Extent
    y: Extent
    options: Mapping[str, Any]
    adjust: Sequence[Callable[[Figure], None]] = ()
    hooks: Sequence[Callable[[Any, Any], None]] = ()

    @property
    def appearance(self) -> tuple[Any, ...]:
        """Everything that requires drawing again if it changes."""
        options = dict(self.options)
        return self.figure, self.theme, self.x is None, options, [layer.appearance for layer in self.layers]

    def draw(self, *hooks: Callable[[Any, Any], None]) -> hv.Overlay:
        """Draw it with HoloViews, which also calls `hooks`."""
        limits = {} if self.x is None else {"xlim": self.x, "ylim": self.y}
        x, y, adjust = self.x, self.y, self.adjust
        return hv.Overlay([layer.draw() for layer in self.layers]).opts(
            hv.opts.Overlay(
                hooks=[
                    partial(_style, name=self.figure, theme=self.theme),
                    *self.hooks,
                    lambda plot, _: _apply_ranges(plot.state, x, y, adjust),
                    *hooks,
                ],
                **{"responsive": True, "show_legend": False, "active_tools": []} | dict(self.options) | limits,
            )
        )

    def patch(self, figure: Figure, former: Plot) -> None:
        """Put its data into a figure that shows `former`, a plot of equal appearance."""
        renderers = {renderer.name: renderer for renderer in figure.renderers}
        for before, layer in zip(former.layers, self.layers, strict=True):
            renderer: Any = renderers[layer.name]
            if isinstance(layer, Line):
                renderer.location = layer.at
            elif not _is_same(source := layer.source(), before.source()):  # type: ignore[union-attr]
                renderer.data_source.data = source
        _apply_ranges(figure, self.x, self.y, self.adjust)


def _name(plot: Any, element: hv.Element, *, name: str, glyph: Mapping[str, Any] | None = None) -> None:
    """Name a renderer after its layer, and set the glyph properties that HoloViews has no option for: a hook."""
    if glyph is None:
        plot.handles["glyph"].name = name
        return
    plot.handles["glyph_renderer"].name = name
    # HoloViews omits columns that no tooltip shows, and does not update them when it draws again.
    source = plot.handles["source"]
    if isinstance(element, hv.Contours):
        more = map(str, element.vdims)
        columns = source.data | {each: _column(element.dimension_values(each, expanded=False)) for each in more}
    else:
        columns = {each: element.dimension_values(each) for each in map(str, element.dimensions())}
    if source.data.keys() != columns.keys() or not _is_same(columns, source.data):
        source.data = columns
    plot.handles["glyph"].update(**glyph)


def _style(plot: Any, _element: Any, *, name: str, theme: Theme) -> None:
    """Name and style the figure: a HoloViews hook."""
    style_figure(plot.state, name, theme)


def _apply_ranges(figure: Figure, x: Extent, y: Extent, adjust: Sequence[Callable[[Figure], None]]) -> None:
    """Set the ranges of a figure and apply its `adjust` functions, after drawing or patching."""
    if x is not None and y is not None:
        set_ranges(figure, x, y)
    for each in adjust:
        each(figure)


def _column(values: Any) -> np.ndarray:
    """Return the values as a column of a data source."""
    column = np.asarray(values)
    # BokehJS 3.9 does not accept an empty column of numbers for colours.
    return column if len(column) else np.array([], object)


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two data sources are equal; NaN equals NaN."""
    return all(_are_equal(column, other[name]) for name, column in one.items())


def _are_equal(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if isinstance(one, list):
        return len(one) == len(other) and all(map(np.array_equal, one, other))
    other = np.asarray(other)
    return np.array_equal(one, other, equal_nan=one.dtype.kind == other.dtype.kind == "f")
