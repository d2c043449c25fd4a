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

from explorer.format import shortened
from explorer.plots.graph_edges import join, said
from explorer.plots.graph_layout import ABSORBING, CONCEPT, FOOT, HEAD, SILENT, SPLIT, TOKEN, Graph
from explorer.plots.layers import Layer, Plot
from explorer.plots.node_link import CORNERS, NO_TOOLS, curves, eased, labels, pieces, place, points
from explorer.theme import MONO, Theme, tint, tooltip

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bokeh.models import Plot as Figure

#: Pixels of the labels beside the columns.
_BESIDE = (56, 132)
#: Characters of the concept's label; the heading says it in full.
_LABEL = 4
_TITLE = HEAD - 0.6
_LONGEST = 16  # characters of a token

_THINNEST, _AROUND = 1.0, 8.0  # pixels of an edge, and around it where it can be pointed at
_PLAIN, _STRONG, _FAINT = 0.5, 0.9, 0.15
_PIECES, _TARGET_PIECES = 24, 8
_SAID = ["start", "end", "said"]
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
                look={"color": theme.muted, "line_dash": "dotted", "line_width": 1.5, **NO_TOOLS},
            ),
            _curves(joined, selected if selected in graph.latents else None, theme),
            Layer(
                *("silence", hv.Segments, pd.DataFrame(silence, columns=CORNERS, dtype=float), CORNERS),
                look={"color": theme.muted, "line_width": 2, **NO_TOOLS},
            ),
            _targets(tokens),
            points(
                "split", split.assign(x=SPLIT), marker="diamond", size=15, color=theme.split, line_color=theme.paper
            ),
            points(
                *("absorbing", absorbing.assign(x=ABSORBING)),
                marker="circle",
                size=11,
                color=theme.absorbing,
                line_color=theme.paper,
            ),
            points(
                *("selected", nodes[nodes["latent"] == selected]),
                size=22,
                fill_color=None,
                line_color=theme.ink,
                line_width=2,
            ),
            labels(
                *("concept", [(CONCEPT, graph.middle, shortened(label, _LABEL))][: len(nodes)], (-8, 0)),
                text_color=theme.ink,
                text_font_size=size,
                text_font_style="bold",
                text_align="right",
            ),
            labels(
                *("split latents", _beside(split, SPLIT, "latent"), (0, 12)),
                **{"text_color": theme.ink, "text_baseline": "top", **on_paper},
            ),
            labels(
                *("absorbing latents", _beside(absorbing, ABSORBING, "latent"), (-14, 0)),
                **{"text_color": theme.ink, "text_align": "right", **on_paper},
            ),
            labels(
                *("token texts", _beside(tokens[is_token], TOKEN, "name"), (6, 0), MONO),
                text_color=theme.ink,
                text_align="left",
            ),
            labels("counts", counts, (6, 0), text_color=theme.muted, text_align="left"),
            labels("titles", titles, (0, 0), text_color=theme.muted),
        ],
        None,
        None,
        {"xaxis": None, "yaxis": None, "xlim": (CONCEPT - 0.2, TOKEN + 0.7)},  # as on a phone
        [partial(_fit, graph=graph)],
    )


def _paths(edges: pd.DataFrame) -> dict[str, list[np.ndarray]]:
    along = np.linspace(0, 1, _PIECES)
    return {
        "xs": [edge.x + (edge.x1 - edge.x) * along for edge in edges.itertuples()],
        "ys": [eased(edge.y, edge.y1, along) for edge in edges.itertuples()],
    }


def _curves(edges: pd.DataFrame, selected: int | None, theme: Theme) -> Layer:
    """Draw the edges, and below them what can be pointed at."""
    colours = {"split": theme.split, "absorbing": theme.absorbing}
    targets = pieces(edges, _TARGET_PIECES)
    targets = targets.assign(colour=theme.paper, width=targets["width"] + _AROUND, alpha=0.0)
    drawn = edges[edges["part"] != "silent"]
    is_selected = drawn["latent"] == selected
    shares = np.full(len(drawn), _PLAIN) if selected is None else np.where(is_selected, _STRONG, _FAINT)
    drawn = drawn.assign(
        colour=[tint(colours[part], theme, share) for part, share in zip(drawn["part"], shares, strict=True)],
        width=drawn["width"].clip(_THINNEST),
        alpha=1.0,
        **dict.fromkeys(_SAID, ""),
    )
    drawn = pieces(pd.concat([drawn[~is_selected], drawn[is_selected]]), _PIECES)
    return curves(
        pd.concat([targets, drawn]),
        _SAID,
        tools=["hover"],
        hover_tooltips=_EDGE_TOOLTIPS,
        hooks=[_one_at_a_time],
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
        look={"alpha": 0, "tools": ["hover"], "hover_tooltips": _TOKEN_TOOLTIPS, "hooks": [_follow], **NO_TOOLS},
    )


def _beside(nodes: pd.DataFrame, x: float, name: str) -> Iterator[tuple[float, float, str]]:
    """List where to write the name of each node, cut where it is very long."""
    for y, text in zip(nodes["y"], nodes[name].astype(str), strict=True):
        yield x, y, text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _fit(figure: Figure, graph: Graph) -> None:
    """Give the figure its height, and what stands beside the columns its pixels."""
    place(figure, height=graph.height, y=(-graph.rows - FOOT, HEAD), beside=_BESIDE)
