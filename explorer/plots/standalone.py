"""A plot as JSON that BokehJS draws without a server, in light and in dark colours."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
from bokeh.embed import json_item
from bokeh.models import BoxSelectTool, BoxZoomTool, GlyphRenderer

from explorer.plots.layers import Layer, Line
from explorer.plots.node_link import without_session
from explorer.theme import DARK, LIGHT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bokeh.models import Plot

    from explorer.plots.layers import Plot as Drawn
    from explorer.theme import Theme


def standalone(draw: Callable[[Theme], hv.Overlay], glyphs: Sequence[str]) -> dict[str, Any]:
    """Draw a plot in each theme, and return the light one with the properties that differ; without data.

    Parameters
    ----------
    draw : callable
        Takes a theme.
    glyphs : sequence of str
        Names for the data sources of the plot's glyphs, in order.

    Returns
    -------
    dict
        item: the light plot, as `Bokeh.embed.embed_item` takes it; sources: the id of each glyph's data source, by
        name; themes: by theme, a list of (id of a model, its property, the value).
    """
    light, dark = (_figure(draw(theme)) for theme in (LIGHT, DARK))
    drawn = [renderer for renderer in light.renderers if isinstance(renderer, GlyphRenderer)]
    for figure in (light, dark):
        for renderer in figure.renderers:
            if isinstance(renderer, GlyphRenderer):
                renderer.data_source.data = {name: [] for name in renderer.data_source.data}
    item, other = json_item(light), json_item(dark)
    differences = list(_differences(item["doc"], other["doc"]))
    return {
        "item": item,
        "sources": {name: renderer.data_source.id for name, renderer in zip(glyphs, drawn, strict=True)},
        "themes": {
            name: [(model, attribute, values[place]) for model, attribute, *values in differences]
            for place, name in enumerate((LIGHT.name, DARK.name))
        },
    }


#: The plots drawn last, by appearance, because drawing with HoloViews takes half a second.
_CACHE: dict[str, dict[str, Any]] = {}
_MAX_CACHED = 32


def cached_standalone(draw: Callable[..., Drawn]) -> dict[str, Any]:
    """Return `standalone` of a plot, cached by appearance; its data, ranges and ticks are replaced later.

    Parameters
    ----------
    draw : callable
        Takes the keyword argument `theme`.
    """
    plot = draw(theme=LIGHT)
    lines = [layer.at for layer in plot.layers if isinstance(layer, Line)]
    key = repr((plot.appearance, lines))
    if key not in _CACHE:
        layers = [layer.name for layer in plot.layers if isinstance(layer, Layer)]
        _CACHE[key] = standalone(lambda theme: without_session(draw(theme=theme)).draw(), layers)
        while len(_CACHE) > _MAX_CACHED:
            del _CACHE[next(iter(_CACHE))]
    return _CACHE[key]


def replacement_data(plots: Sequence[Drawn], *, height: int | None = None) -> dict[str, Any]:
    """Return the data of a plot that are to be put into another plot of equal appearance.

    Parameters
    ----------
    plots : sequence of Plot
        The plot in light and in dark colours.
    height : int, optional
        Height in pixels, if it depends on the data.

    Returns
    -------
    dict
        columns: by layer, its columns; dark: by layer, the columns that differ in dark colours; x, y: ranges; height.
    """
    light, dark = ({layer.name: _columns(layer) for layer in plot.layers if isinstance(layer, Layer)} for plot in plots)
    return {
        "columns": light,
        "dark": {
            name: {column: values for column, values in columns.items() if values != light[name][column]}
            for name, columns in dark.items()
        },
        "x": plots[0].x,
        "y": plots[0].y,
        "height": height,
    }


def _columns(layer: Layer) -> dict[str, list[Any]]:
    """Return the columns of a layer as lists; numbers with four decimals, None for NaN and infinity."""
    columns = {name: np.asarray(values).tolist() for name, values in layer.source().items()}
    return {name: [_json_value(value) for value in values] for name, values in columns.items()}


def _json_value(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value


def _figure(plot: hv.Overlay) -> Plot:
    """Render a plot as a Bokeh figure. Without a server a selection has no effect, so a drag zooms instead."""
    figure: Plot = hv.render(plot, backend="bokeh")
    tools = [tool for tool in figure.toolbar.tools if not isinstance(tool, BoxSelectTool)]
    zoom = next((tool for tool in tools if isinstance(tool, BoxZoomTool)), None)
    figure.sizing_mode = "stretch_width"
    figure.toolbar.update(tools=tools, active_drag=zoom)
    figure.subscribed_events = {"tap"}  # for the listener that the page's script adds
    return figure


def _differences(one: Any, other: Any) -> Iterator[tuple[str, str, Any, Any]]:
    """Compare two documents of equal structure; yield id, property and both values of each differing property."""
    if isinstance(one, list):
        for mine, theirs in zip(one, other, strict=True):
            yield from _differences(mine, theirs)
    elif isinstance(one, dict):
        for name, mine in one.get("attributes", {}).items():
            theirs = other["attributes"][name]
            if _has_models(mine):
                yield from _differences(mine, theirs)
            elif name != "data" and mine != theirs:
                yield one["id"], name, _plain(mine), _plain(theirs)
        for name, mine in one.items():
            if name not in ("id", "attributes"):
                yield from _differences(mine, other[name])


def _plain(value: Any) -> Any:
    """Return the value of a glyph's property specification."""
    return value["value"] if isinstance(value, dict) and value.get("type") == "value" else value


def _has_models(value: Any) -> bool:
    """Return whether a property contains models, whose ids always differ."""
    if isinstance(value, dict):
        return "id" in value or any(_has_models(part) for part in value.values())
    return isinstance(value, list) and any(_has_models(part) for part in value)
