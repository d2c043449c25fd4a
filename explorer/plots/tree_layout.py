"""Positions of the latents of a splitting tree: one column per SAE, from narrow to wide, children beside parents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from explorer.format import l0_label, number, role_label, visible, width_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explorer.saes import Sae

#: Pixels of a latent's row, the unit of y.
ROW = 36
#: Rows above and below the latents.
HEAD, FOOT = 1.5, 0.8
_MIN_ROWS = 3
_COLUMNS = ("level", "sae", "latent", "parent", "cosine", "overlap", "num_shared_words", "split_rank", "num_absorbed")


@dataclass(frozen=True)
class Tree:
    """The latents with their positions; y counts rows downwards from 0.

    Attributes
    ----------
    nodes : DataFrame
        The rows of the query `splitting_tree` with x, y, role (split, absorbing, neither) and texts for tooltips: on
        (the SAE), role_text, parent_text (cosine and overlap with the parent), words.
    edges : DataFrame
        Columns x, y, x1, y1, cosine, and role of the latent at the end.
    columns : list of tuple of float, str, str and str
        x, width, L0 and id of each SAE.
    rows : int
        Height of the tree.
    """

    nodes: pd.DataFrame
    edges: pd.DataFrame
    columns: list[tuple[float, str, str, str]]
    rows: int

    @property
    def height(self) -> int:
        """Pixels."""
        return round((HEAD - self.lowest) * ROW)

    @property
    def lowest(self) -> float:
        """Lower end of the visible range."""
        return 1 - max(self.rows, _MIN_ROWS) - FOOT

    @property
    def has_kin(self) -> bool:
        """Whether any latent has kin, so that there is a tree to draw."""
        return bool(len(self.edges))

    def tapped(self, x: float, y: float) -> tuple[str, int] | None:
        """Return the SAE and the latent nearest to a tap, or None."""
        near = self.nodes[(self.nodes["y"] - y).abs() <= 1 / 2]
        reach = 1 / max(len(self.columns) - 1, 1) / 2
        # The texts of the last column are to the right of it.
        distances = (near["x"] - min(x, 1.0)).abs()
        if distances.empty or distances.min() > reach:
            return None
        node = near.loc[distances.idxmin()]
        return str(node["sae"]), int(node["latent"])


def arrange_tree(rows: pd.DataFrame | None, saes: Sequence[Sae]) -> Tree:
    """Compute the layout: a latent without children has a row of its own, others are in the middle of their children.

    Parameters
    ----------
    rows : DataFrame or None
        Result of the query `splitting_tree`.
    saes : sequence of Sae
        SAEs of the levels, from narrow to wide.
    """
    if rows is None:
        rows = pd.DataFrame({name: pd.Series([], dtype=float) for name in _COLUMNS}).assign(shared_words=[])
    places = np.linspace(0, 1, len(saes)) if len(saes) > 1 else np.zeros(len(saes))
    labels = {sae.id: sae.label for sae in saes}
    nodes = rows.assign(
        x=[places[int(level) - 1] for level in rows["level"]],
        y=_ys(rows),
        role=[
            "split" if rank > 0 else "absorbing" if absorbed > 0 else "neither"
            for rank, absorbed in zip(rows["split_rank"], rows["num_absorbed"], strict=True)
        ],
        on=[labels.get(sae, sae) for sae in rows["sae"]],
        role_text=[
            role_label(int(rank), int(absorbed)) or "neither split nor absorbing"
            for rank, absorbed in zip(rows["split_rank"], rows["num_absorbed"], strict=True)
        ],
        parent_text=[
            _parent_text(*each)
            for each in zip(rows["level"], rows["parent"], rows["cosine"], rows["overlap"], strict=True)
        ],
        words=[", ".join(map(visible, words)) or "–" for words in rows["shared_words"]],
    )
    at = {(row.level, row.latent): (row.x, row.y) for row in nodes.itertuples()}
    edges = [
        (*at[row.level - 1, row.parent], row.x, row.y, row.cosine, row.role)
        for row in nodes.itertuples()
        if not pd.isna(row.parent)
    ]
    return Tree(
        nodes,
        pd.DataFrame(edges, columns=["x", "y", "x1", "y1", "cosine", "role"]).astype(
            dict.fromkeys(("x", "y", "x1", "y1", "cosine"), float)
        ),
        [
            (float(x), width_label(sae.width or 0), f"L0 {l0_label(sae.l0)}", sae.id)
            for x, sae in zip(places, saes, strict=True)
        ],
        round(-nodes["y"].min()) + 1 if len(nodes) else 0,
    )


def _parent_text(level: float, parent: float, cosine: float, overlap: float) -> str:
    """Describe how similar a latent is to its parent."""
    if pd.isna(parent):
        return "the main latent" if level == 1 else "no kin in the tree"
    shared = "overlap not known" if pd.isna(overlap) else f"overlap {number(overlap, 2)}"
    return f"kin of {int(parent)}: cosine {number(cosine, 2)}, {shared}"


def _ys(rows: pd.DataFrame) -> list[float]:
    """Return the y of each latent: one row per latent without children, the nearest kin first."""
    children: dict[tuple[int, int], list[tuple[int, int]]] = {}
    roots: list[tuple[int, int]] = []
    for level, latent, parent in zip(rows["level"], rows["latent"], rows["parent"], strict=True):
        node = int(level), int(latent)
        (roots if pd.isna(parent) else children.setdefault((node[0] - 1, int(parent)), [])).append(node)
    ys: dict[tuple[int, int], float] = {}
    used = 0

    def assign_row(node: tuple[int, int]) -> float:
        nonlocal used
        below = [assign_row(child) for child in children.get(node, [])]
        if not below:
            below, used = [-float(used)], used + 1
        ys[node] = (below[0] + below[-1]) / 2
        return ys[node]

    for root in roots:
        assign_row(root)
    return [ys[int(level), int(latent)] for level, latent in zip(rows["level"], rows["latent"], strict=True)]
