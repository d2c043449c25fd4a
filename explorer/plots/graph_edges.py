"""The edges of a concept's graph: end points, tooltip text and width."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from explorer.format import count, number
from explorer.plots.graph_layout import ABSORBING, CONCEPT, ROW, SILENT, SPLIT, TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from explorer.plots.graph_layout import Graph

#: What the width of an edge on the right can show, with its label.
EDGES = {"count": "tokens", "effect": "effect"}
_WIDEST, _OF_A_TOKEN, _STRONGEST, _DOTTED = 14.0, 3.0, 6.0, 1.5
_APART = 4.0


class Edge(NamedTuple):
    """An edge from the node `start` at (x, y) to the node `end` at (x1, y1).

    `role` is 'split', 'silent' or 'absorbing', `latent` the latent to which the edge belongs, `text` its tooltip.
    """

    role: str
    latent: int | None
    x: float
    y: float
    x1: float
    y1: float
    start: str
    end: str
    text: str
    width: float


def graph_edges(graph: Graph, label: str, shown: str) -> pd.DataFrame:
    """List the edges of a graph.

    Parameters
    ----------
    graph : Graph
    label : str
        Of the concept.
    shown : {"count", "effect"}
        What the width of an edge on the right is proportional to; 0 if the effect is unknown. On the left it is the
        F1 gain of the split latent.

    Returns
    -------
    DataFrame
        Fields of `Edge`, widths in pixels. An edge into a node precedes the edges out of it.
    """
    edges = [
        *_split_edges(graph, label),
        *_silence_edges(graph, label),
        *_absorbing_edges(graph, _widths(graph, shown), add_up=shown == "count"),
    ]
    return pd.DataFrame(edges, columns=Edge._fields)


def count_and_effect(frame: pd.DataFrame) -> list[str]:
    """Return, for each latent or token, its number of tokens and its effect as a text."""
    return [
        count(int(row.num_tokens), "token")
        + ("" if pd.isna(row.effect) else f", {'mean ' if row.num_tokens > 1 else ''}effect {number(row.effect, 2)}")
        for row in frame.itertuples()
    ]


def _widths(graph: Graph, shown: str) -> Callable[[pd.DataFrame], np.ndarray]:
    """Return a function that computes the edge widths of a frame of latents or tokens."""
    if shown == "count":
        most = graph.absorbing["num_tokens"].max()
        unit = min(_OF_A_TOKEN, _WIDEST / most) if most > 0 else 0.0
        return lambda frame: unit * frame["num_tokens"].to_numpy(float)
    strongest = pd.concat([graph.absorbing["effect"], graph.tokens["effect"]]).abs().max()
    unit = _STRONGEST / strongest if strongest > 0 else 0.0
    return lambda frame: unit * frame["effect"].abs().fillna(0).to_numpy(float)


def _side_by_side(middle: float, widths: np.ndarray) -> np.ndarray:
    """Return the y of edge ends of these widths, stacked around `middle`."""
    return middle + (widths.sum() / 2 - widths.cumsum() + widths / 2) / ROW


def _split_edges(graph: Graph, label: str) -> Iterator[Edge]:
    """Yield the edges from the concept to its split latents."""
    widths = _WIDEST * graph.split["f1"].fillna(0).clip(0).to_numpy(float)
    starts = _side_by_side(graph.middle, widths)
    for place, (row, y, width) in enumerate(zip(graph.split.itertuples(), starts, widths, strict=True)):
        f1_text = f"F1 {'+' if place and row.f1 >= 0 else ''}{number(row.f1)}"
        yield Edge("split", row.latent, CONCEPT, y, SPLIT, row.y, label, f"split latent {row.latent}", f1_text, width)


def _silence_edges(graph: Graph, label: str) -> Iterator[Edge]:
    """Yield the dotted edges from each split latent, or from the concept if none is known, to the bar of silence."""
    if graph.absorbing.empty:
        return
    to = (SILENT, graph.middle)
    for row in graph.split.itertuples():
        name, why = f"split latent {row.latent}", "fires on none of the tokens to the right"
        yield Edge("silent", row.latent, SPLIT, row.y, *to, name, "silence", why, _DOTTED)
    if graph.split.empty:
        why = "no split latent is known"
        yield Edge("silent", None, CONCEPT, graph.middle, *to, label, "silence", why, _DOTTED)


def _absorbing_edges(graph: Graph, width_of: Callable[[pd.DataFrame], np.ndarray], *, add_up: bool) -> Iterator[Edge]:
    """Yield the edges from the bar of silence to the absorbing latents, and from these to their tokens.

    With `add_up`, edges that leave a node start side by side, because their widths add up.
    """
    absorbing = graph.absorbing
    widths = width_of(absorbing)
    starts = _side_by_side(graph.middle, widths if add_up else np.full(len(widths), _APART))
    for row, y, width, amount in zip(absorbing.itertuples(), starts, widths, count_and_effect(absorbing), strict=True):
        latent, name = row.latent, f"absorbing latent {row.latent}"
        yield Edge("absorbing", latent, SILENT, y, ABSORBING, row.y, "silence", name, amount, width)
        tokens = graph.tokens[graph.tokens["latent"] == latent]
        arms = width_of(tokens)
        sources = _side_by_side(row.y, arms if add_up else np.zeros(len(arms)))
        for token, source, arm, of_token in zip(
            tokens.itertuples(), sources, arms, count_and_effect(tokens), strict=True
        ):
            yield Edge("absorbing", latent, ABSORBING, source, TOKEN, token.y, name, token.name, of_token, arm)
