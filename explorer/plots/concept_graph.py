"""How a concept splits and what absorbs it: concept, split latents, absorbing latents and tokens, from left to right.

An absorbing latent stands in for all split latents at once, for none of them fires on its tokens. So the split latents
meet, dotted, in one bar, their silence; from there the tokens go to the latents that absorb them.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
import pandas as pd
from bokeh.core.properties import field, value

from explorer.format import shortened
from explorer.plots.graph_edges import join, said
from explorer.plots.graph_layout import ABSORBING, CONCEPT, FOOT, HEAD, SILENT, SPLIT, TOKEN, Graph
from explorer.plots.layers import Layer, Plot
from explorer.theme import FONT, MONO, Theme, tint, tooltip

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bokeh.models import Plot as Figure
    from bokeh.models import Range1d

# Beside the columns, labels have as many pixels on every screen.
_LEFT, _RIGHT = 40, 132
#: Characters of the concept's label; the heading says it in full.
_LABEL = 4
_TITLE = HEAD - 0.6
_LONGEST = 16  # characters of a token

_THINNEST, _AROUND = 1.0, 8.0  # pixels of an edge, and around it where it can be pointed at
_PLAIN, _STRONG, _FAINT = 0.5, 0.9, 0.15
_PIECES, _TARGET_PIECES = 24, 8
_NO_TOOLS: dict[str, Any] = {"default_tools": []}
_CORNERS = ["x", "y", "x1", "y1"]
_EDGE = ["start", "end", "said", "colour", "width", "alpha", "cap"]
_EDGE_TOOLTIPS = tooltip(("from", "@start"), ("to", "@end"), ("", "@said"))
_TOKEN_TOOLTIPS = tooltip(("token", "@name"), ("absorbed by", "@latent"), ("", "@said"))


def concept_graph(graph: Graph, *, label: str, edges: str, selected: int | None, theme: Theme) -> Plot:
    """Draw the graph.

    Parameters
    ----------
    graph : Graph
    label : str
        Of the concept.
    edges : {"count", "effect"}
        What the width of an edge on the right shows; on the left it is the F1 that a split latent brings.
    selected : int or None
        Latent drawn with a ring; its edges stay strong, all others fade.
    theme : Theme

    Returns
    -------
    Plot
        Layers: to silence, edges (targets of the pointer, then the edges), silence, tokens (targets of the pointer),
        split, absorbing, selected, and texts: concept, split latents, absorbing latents, token texts, counts, titles.
    """
    split, absorbing, tokens = graph.split, graph.absorbing, graph.tokens
    joined = join(graph, label, edges)
    bar = joined.loc[joined["x"] == SILENT, "y"]
    nodes = pd.concat([split.assign(x=SPLIT), absorbing.assign(x=ABSORBING)])
    is_token = tokens["token"].notna()
    titles = [(SPLIT, _TITLE, "split")] if len(split) else []
    if len(absorbing):
        titles += [(SILENT, _TITLE, "silent"), (ABSORBING, _TITLE, "absorbing")]
    silence = [(SILENT, bar.min() - 0.3, SILENT, bar.max() + 0.3)][: len(bar)]
    dotted = joined[joined["part"] == "silent"]
    on_paper: dict[str, Any] = {"background_fill_color": theme.paper, "background_fill_alpha": 0.8}
    counts = [*_beside(tokens[~is_token], TOKEN, "name"), *[(TOKEN, _TITLE, "tokens")][: len(tokens)]]
    size = "24px" if len(label) == 1 else "12px"
    return Plot(
        "split-absorb-graph",
        theme,
        [
            Layer(
                *("to silence", hv.Contours, _paths(dotted), ("x", "y")),
                look={"color": theme.muted, "line_dash": "dotted", "line_width": 1.5, **_NO_TOOLS},
            ),
            _curves(joined, selected if selected in graph.latents else None, theme),
            Layer(
                *("silence", hv.Segments, pd.DataFrame(silence, columns=_CORNERS, dtype=float), _CORNERS),
                look={"color": theme.muted, "line_width": 2, **_NO_TOOLS},
            ),
            _targets(tokens),
            _points(
                "split", split.assign(x=SPLIT), marker="diamond", size=15, color=theme.split, line_color=theme.paper
            ),
            _points(
                *("absorbing", absorbing.assign(x=ABSORBING)),
                marker="circle",
                size=11,
                color=theme.absorbing,
                line_color=theme.paper,
            ),
            _points(
                *("selected", nodes[nodes["latent"] == selected]),
                size=22,
                fill_color=None,
                line_color=theme.ink,
                line_width=2,
            ),
            _labels(
                *("concept", [(CONCEPT, graph.middle, shortened(label, _LABEL))][: len(nodes)], (-8, 0)),
                text_color=theme.ink,
                text_font_size=size,
                text_font_style="bold",
                text_align="right",
            ),
            _labels(
                *("split latents", _beside(split, SPLIT, "latent"), (0, 12)),
                **{"text_color": theme.ink, "text_baseline": "top", **on_paper},
            ),
            _labels(
                *("absorbing latents", _beside(absorbing, ABSORBING, "latent"), (-14, 0)),
                **{"text_color": theme.ink, "text_align": "right", **on_paper},
            ),
            _labels(
                *("token texts", _beside(tokens[is_token], TOKEN, "name"), (6, 0), MONO),
                text_color=theme.ink,
                text_align="left",
            ),
            _labels("counts", counts, (6, 0), text_color=theme.muted, text_align="left"),
            _labels("titles", titles, (0, 0), text_color=theme.muted),
        ],
        None,
        None,
        {"xaxis": None, "yaxis": None, "xlim": (CONCEPT - 0.2, TOKEN + 0.7)},  # as on a phone
        [partial(_fit, graph=graph)],
    )


def _eased(start: Any, end: Any, along: np.ndarray) -> Any:
    return start + (end - start) * along**2 * (3 - 2 * along)


def _pieces(edges: pd.DataFrame, number: int) -> pd.DataFrame:
    """Cut edges into straight pieces that overlap, with round caps but near the ends, where these would stick out."""
    cut = edges.loc[edges.index.repeat(number)]
    starts = np.tile(np.arange(number) / number, len(edges))
    ends = np.minimum(starts + 1.4 / number, 1)
    return cut.assign(
        x=cut["x"] + (cut["x1"] - cut["x"]) * starts,
        y=_eased(cut["y"], cut["y1"], starts),
        x1=cut["x"] + (cut["x1"] - cut["x"]) * ends,
        y1=_eased(cut["y"], cut["y1"], ends),
        cap=np.tile(np.where(np.abs(np.arange(number) - (number - 1) / 2) < number / 3, "round", "butt"), len(edges)),
    )


def _paths(edges: pd.DataFrame) -> dict[str, list[np.ndarray]]:
    along = np.linspace(0, 1, _PIECES)
    return {
        "xs": [edge.x + (edge.x1 - edge.x) * along for edge in edges.itertuples()],
        "ys": [_eased(edge.y, edge.y1, along) for edge in edges.itertuples()],
    }


def _curves(edges: pd.DataFrame, selected: int | None, theme: Theme) -> Layer:
    """Draw the edges, curved by straight pieces, for paths that differ take HoloViews half a second."""
    colours = {"split": theme.split, "absorbing": theme.absorbing}
    targets = _pieces(edges, _TARGET_PIECES)
    targets = targets.assign(colour=theme.paper, width=targets["width"] + _AROUND, alpha=0.0)
    drawn = edges[edges["part"] != "silent"]
    is_selected = drawn["latent"] == selected
    shares = np.full(len(drawn), _PLAIN) if selected is None else np.where(is_selected, _STRONG, _FAINT)
    drawn = drawn.assign(
        colour=[tint(colours[part], theme, share) for part, share in zip(drawn["part"], shares, strict=True)],
        width=drawn["width"].clip(_THINNEST),
        alpha=1.0,
        **dict.fromkeys(("start", "end", "said"), ""),
    )
    drawn = _pieces(pd.concat([drawn[~is_selected], drawn[is_selected]]), _PIECES)
    return Layer(
        *("edges", hv.Segments, pd.concat([targets, drawn]), _CORNERS, _EDGE),
        look={"tools": ["hover"], "hover_tooltips": _EDGE_TOOLTIPS, "hooks": [_one_at_a_time], **_NO_TOOLS},
        # As options, HoloViews would make them constants where all edges happen to be alike.
        glyph={
            "line_color": field("colour"),
            "line_width": field("width"),
            "line_alpha": field("alpha"),
            "line_cap": field("cap"),
        },
    )


def _one_at_a_time(plot: Any, _element: Any) -> None:
    """Tell of one edge, where several are under the pointer: a HoloViews hook."""
    plot.handles["hover"].limit = 1


def _follow(plot: Any, _element: Any) -> None:
    """Let the tooltip follow the pointer, for the middle of a target need not be in the frame: a HoloViews hook."""
    plot.handles["hover"].point_policy = "follow_mouse"


def _targets(tokens: pd.DataFrame) -> Layer:
    """Let the tokens be pointed at."""
    corners = ("left", "bottom", "right", "top")
    places = dict(zip(corners, (TOKEN + 0.006, tokens["y"] - 0.5, 2.0, tokens["y"] + 0.5), strict=True))
    return Layer(
        *("tokens", hv.Rectangles, tokens.assign(**places, said=said(tokens)), corners, ("name", "latent", "said")),
        look={"alpha": 0, "tools": ["hover"], "hover_tooltips": _TOKEN_TOOLTIPS, "hooks": [_follow], **_NO_TOOLS},
    )


def _points(name: str, nodes: pd.DataFrame, **look: Any) -> Layer:
    return Layer(name, hv.Points, nodes, ("x", "y"), look=look | _NO_TOOLS)


def _beside(nodes: pd.DataFrame, x: float, name: str) -> Iterator[tuple[float, float, str]]:
    """List where to write the name of each node, cut where it is very long."""
    for y, text in zip(nodes["y"], nodes[name].astype(str), strict=True):
        yield x, y, text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _labels(
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
        *(name, hv.Labels, data, ("x", "y"), ("label",), {"text_font_size": "12px"} | look | _NO_TOOLS),
        # As an option, the name of a font would be taken for that of a column.
        glyph={"x_offset": offset[0], "y_offset": offset[1], "text_font": value(font)},
    )


def _fit(figure: Figure, graph: Graph) -> None:
    """Give the figure its height, and what stands beside the columns its pixels."""
    figure.update(
        height=graph.height,
        min_border=0,
        min_border_left=0,
        min_border_right=0,
        min_border_top=0,
        min_border_bottom=0,
        toolbar_location=None,
    )
    figure.ygrid.grid_line_color = None
    figure.y_range.update(start=-graph.rows - FOOT, end=HEAD)
    if "spreads" not in figure.tags:
        # Here rather than in the browser, where Bokeh would evaluate code, which the page's policy forbids.
        figure.tags = [*figure.tags, "spreads"]
        figure.on_change("inner_width", partial(_spread, figure.x_range))


def _spread(x_range: Range1d, _name: str, _before: int | None, width: int | None) -> None:
    room = (width or 0) - _LEFT - _RIGHT
    if room > 0:
        x_range.update(start=CONCEPT - _LEFT / room, end=TOKEN + _RIGHT / room)
