"""The edges of the graph of a concept: what each joins, what it says and how wide it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from explorer.format import count, number
from explorer.plots.graph_layout import ABSORBING, CONCEPT, ROW, SILENT, SPLIT, TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from explorer.plots.graph_layout import Graph

#: What the width of an edge on the right can show, and how it is called.
EDGES = {"count": "tokens", "effect": "effect"}
_WIDEST, _OF_A_TOKEN, _STRONGEST, _DOTTED = 14.0, 3.0, 6.0, 1.5
_APART = 4.0


class Edge(NamedTuple):
    """Leads from (x, y) to (x1, y1), from what is called `start` to what is called `end`.

    `part` is 'split', 'silent' or 'absorbing', `latent` the latent that the edge belongs to.
    """

    part: str
    latent: int | None
    x: float
    y: float
    x1: float
    y1: float
    start: str
    end: str
    said: str
    width: float


def join(graph: Graph, label: str, shown: str) -> pd.DataFrame:
    """List the edges.

    Parameters
    ----------
    graph : Graph
    label : str
        Of the concept.
    shown : {"count", "effect"}
        What the width of an edge on the right shows, in proportion; 0 where the effect is unknown. On the left it is
        the F1 that a split latent brings.

    Returns
    -------
    DataFrame
        Fields of `Edge`, widths in pixels. Of edges that meet in a node, the one that leads to it comes first.
    """
    edges = [
        *_risen(graph, label),
        *_silenced(graph, label),
        *_absorbed(graph, _widths(graph, shown), add_up=shown == "count"),
    ]
    return pd.DataFrame(edges, columns=Edge._fields)


def said(frame: pd.DataFrame) -> list[str]:
    """Write number of tokens and effect of each latent or token."""
    return [
        count(int(row.num_tokens), "token")
        + ("" if pd.isna(row.effect) else f", {'mean ' if row.num_tokens > 1 else ''}effect {number(row.effect, 2)}")
        for row in frame.itertuples()
    ]


def _widths(graph: Graph, shown: str) -> Callable[[pd.DataFrame], np.ndarray]:
    """Return what gives latents or tokens the widths of their edges."""
    if shown == "count":
        most = graph.absorbing["num_tokens"].max()
        unit = min(_OF_A_TOKEN, _WIDEST / most) if most > 0 else 0.0
        return lambda frame: unit * frame["num_tokens"].to_numpy(float)
    strongest = pd.concat([graph.absorbing["effect"], graph.tokens["effect"]]).abs().max()
    unit = _STRONGEST / strongest if strongest > 0 else 0.0
    return lambda frame: unit * frame["effect"].abs().fillna(0).to_numpy(float)


def _side_by_side(middle: float, widths: np.ndarray) -> np.ndarray:
    """Place the ends of edges of such widths one below the other."""
    return middle + (widths.sum() / 2 - widths.cumsum() + widths / 2) / ROW


def _risen(graph: Graph, label: str) -> Iterator[Edge]:
    """Lead from the concept to its split latents."""
    widths = _WIDEST * graph.split["f1"].fillna(0).clip(0).to_numpy(float)
    starts = _side_by_side(graph.middle, widths)
    for place, (row, y, width) in enumerate(zip(graph.split.itertuples(), starts, widths, strict=True)):
        brings = f"F1 {'+' if place and row.f1 >= 0 else ''}{number(row.f1)}"
        yield Edge("split", row.latent, CONCEPT, y, SPLIT, row.y, label, f"split latent {row.latent}", brings, width)


def _silenced(graph: Graph, label: str) -> Iterator[Edge]:
    """Lead from each split latent, or from the concept where none is known, to silence."""
    if graph.absorbing.empty:
        return
    to = (SILENT, graph.middle)
    for row in graph.split.itertuples():
        name, why = f"split latent {row.latent}", "fires on none of the tokens to the right"
        yield Edge("silent", row.latent, SPLIT, row.y, *to, name, "silence", why, _DOTTED)
    if graph.split.empty:
        why = "no split latent is known"
        yield Edge("silent", None, CONCEPT, graph.middle, *to, label, "silence", why, _DOTTED)


def _absorbed(graph: Graph, width_of: Callable[[pd.DataFrame], np.ndarray], *, add_up: bool) -> Iterator[Edge]:
    """Lead from silence to the absorbing latents, and from each of these to its tokens.

    What adds up lies side by side where it parts, like the arms of a river.
    """
    absorbing = graph.absorbing
    widths = width_of(absorbing)
    starts = _side_by_side(graph.middle, widths if add_up else np.full(len(widths), _APART))
    for row, y, width, amount in zip(absorbing.itertuples(), starts, widths, said(absorbing), strict=True):
        latent, name = row.latent, f"absorbing latent {row.latent}"
        yield Edge("absorbing", latent, SILENT, y, ABSORBING, row.y, "silence", name, amount, width)
        tokens = graph.tokens[graph.tokens["latent"] == latent]
        arms = width_of(tokens)
        sources = _side_by_side(row.y, arms if add_up else np.zeros(len(arms)))
        for token, source, arm, of_token in zip(tokens.itertuples(), sources, arms, said(tokens), strict=True):
            yield Edge("absorbing", latent, ABSORBING, source, TOKEN, token.y, name, token.name, of_token, arm)
