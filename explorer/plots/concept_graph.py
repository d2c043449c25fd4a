"""The graph of a concept: concept, split latents, absorbing latents and their tokens, from left to right.

None of the split latents fires on an absorbed token. So dotted edges lead from all split latents to one bar, labelled
"silent", and edges lead from there to the absorbing latents and on to their tokens.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
import pandas as pd

from explorer.format import shortened
from explorer.plots.graph_edges import count_and_effect, graph_edges
from explorer.plots.graph_layout import ABSORBING, CONCEPT, FOOT, HEAD, SILENT, SPLIT, TOKEN, Graph
from explorer.plots.layers import Layer, Plot
from explorer.plots.node_link import CORNERS, NO_TOOLS, curves, eased, fit_columns, labels, pieces, points
from explorer.theme import MONO, Theme, tint, tooltip

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bokeh.models import Plot as Figure

#: Pixels for the labels to the left and right of the columns.
_BESIDE = (56, 132)
#: Characters of the concept's label; the heading shows it in full.
_LABEL = 4
_TITLE = HEAD - 0.6
_LONGEST = 16  # characters of a token

_MIN_WIDTH, _HOVER_MARGIN = 1.0, 8.0  # pixels: of an edge, and added to it for hovering
_PLAIN, _STRONG, _FAINT = 0.5, 0.9, 0.15
_PIECES, _TARGET_PIECES = 24, 8
_TOOLTIP_COLUMNS = ["start", "end", "text"]
_EDGE_TOOLTIPS = tooltip(("from", "@start"), ("to", "@end"), ("", "@text"))
_TOKEN_TOOLTIPS = tooltip(("token", "@name"), ("absorbed by", "@latent"), ("", "@text"))


def concept_graph(graph: Graph, *, label: str, edges: str, selected: int | None, theme: Theme) -> Plot:
    """Draw the graph.

    Parameters
    ----------
    graph : Graph
    label : str
        Of the concept.
    edges : {"count", "effect"}
        What the width of an edge on the right shows. On the left it is the F1 gain of the split latent.
    selected : int or None
        Latent drawn with a ring; edges of other latents fade.
    theme : Theme

    Returns
    -------
    Plot
        Layers: to silence, edges (hover targets, then the edges), silence, tokens (hover targets),
        split, absorbing, selected, and texts: concept, split latents, absorbing latents, token texts, counts, titles.
    """
    split, absorbing, tokens = graph.split, graph.absorbing, graph.tokens
    edge_table = graph_edges(graph, label, edges)
    bar = edge_table.loc[edge_table["x"] == SILENT, "y"]
    nodes = pd.concat([split.assign(x=SPLIT), absorbing.assign(x=ABSORBING)])
    is_token = tokens["token"].notna()
    titles = [(SPLIT, _TITLE, "split")] if len(split) else []
    if len(absorbing):
        titles += [(SILENT, _TITLE, "silent"), (ABSORBING, _TITLE, "absorbing")]
    silence = [(SILENT, bar.min() - 0.3, SILENT, bar.max() + 0.3)][: len(bar)]
    dotted = edge_table[edge_table["role"] == "silent"]
    on_paper: dict[str, Any] = {"background_fill_color": theme.paper, "background_fill_alpha": 0.8}
    counts = [*_node_labels(tokens[~is_token], TOKEN, "name"), *[(TOKEN, _TITLE, "tokens")][: len(tokens)]]
    size = "24px" if len(label) == 1 else "12px"
    return Plot(
        "split-absorb-graph",
        theme,
        [
            Layer(
                *("to silence", hv.Contours, _paths(dotted), ("x", "y")),
                look={"color": theme.muted, "line_dash": "dotted", "line_width": 1.5, **NO_TOOLS},
            ),
            _curves(edge_table, selected if selected in graph.latents else None, theme),
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
                *("split latents", _node_labels(split, SPLIT, "latent"), (0, 12)),
                **{"text_color": theme.ink, "text_baseline": "top", **on_paper},
            ),
            labels(
                *("absorbing latents", _node_labels(absorbing, ABSORBING, "latent"), (-14, 0)),
                **{"text_color": theme.ink, "text_align": "right", **on_paper},
            ),
            labels(
                *("token texts", _node_labels(tokens[is_token], TOKEN, "name"), (6, 0), MONO),
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
    """Draw the edges, and below them wider transparent ones for hovering."""
    colours = {"split": theme.split, "absorbing": theme.absorbing}
    targets = pieces(edges, _TARGET_PIECES)
    targets = targets.assign(colour=theme.paper, width=targets["width"] + _HOVER_MARGIN, alpha=0.0)
    drawn = edges[edges["role"] != "silent"]
    is_selected = drawn["latent"] == selected
    shares = np.full(len(drawn), _PLAIN) if selected is None else np.where(is_selected, _STRONG, _FAINT)
    drawn = drawn.assign(
        colour=[tint(colours[role], theme, share) for role, share in zip(drawn["role"], shares, strict=True)],
        width=drawn["width"].clip(_MIN_WIDTH),
        alpha=1.0,
        **dict.fromkeys(_TOOLTIP_COLUMNS, ""),
    )
    drawn = pieces(pd.concat([drawn[~is_selected], drawn[is_selected]]), _PIECES)
    return curves(
        pd.concat([targets, drawn]),
        _TOOLTIP_COLUMNS,
        tools=["hover"],
        hover_tooltips=_EDGE_TOOLTIPS,
        hooks=[_one_at_a_time],
    )


def _one_at_a_time(plot: Any, _element: Any) -> None:
    """Show one tooltip only, even if several edges are under the pointer: a HoloViews hook."""
    plot.handles["hover"].limit = 1


def _follow(plot: Any, _element: Any) -> None:
    """Let the tooltip follow the pointer, because the centre of a target can be outside the frame: a HoloViews hook."""
    plot.handles["hover"].point_policy = "follow_mouse"


def _targets(tokens: pd.DataFrame) -> Layer:
    """Draw transparent rectangles over the tokens, for hovering."""
    corners = ("left", "bottom", "right", "top")
    places = dict(zip(corners, (TOKEN + 0.006, tokens["y"] - 0.5, 2.0, tokens["y"] + 0.5), strict=True))
    return Layer(
        *(
            "tokens",
            hv.Rectangles,
            tokens.assign(**places, text=count_and_effect(tokens)),
            corners,
            ("name", "latent", "text"),
        ),
        look={"alpha": 0, "tools": ["hover"], "hover_tooltips": _TOKEN_TOOLTIPS, "hooks": [_follow], **NO_TOOLS},
    )


def _node_labels(nodes: pd.DataFrame, x: float, name: str) -> Iterator[tuple[float, float, str]]:
    """List position and name of each node; long names are shortened."""
    for y, text in zip(nodes["y"], nodes[name].astype(str), strict=True):
        yield x, y, text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _fit(figure: Figure, graph: Graph) -> None:
    """Set the height of the figure and the space for the labels beside the columns."""
    fit_columns(figure, height=graph.height, y=(-graph.rows - FOOT, HEAD), beside=_BESIDE)
