"""Positions of a concept, its split and absorbing latents and their tokens in a graph from left to right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from explorer.format import visible

#: Maximum number of absorbing latents and of tokens drawn.
MOST_LATENTS, MOST_TOKENS = 12, 40
#: Columns from the concept (0) to the tokens (1).
CONCEPT, SPLIT, SILENT, ABSORBING, TOKEN = 0.0, 0.22, 0.44, 0.74, 1.0
#: Pixels of a token's row, the unit of y.
ROW = 18
#: Rows above and below the nodes.
HEAD, FOOT = 1.6, 0.4
_GAP = 0.6
_SPLIT_ROWS = (2.6, 5.0)  # minimum and maximum distance of neighbouring split latents, rows
_MIN_ROWS = 6.0


@dataclass(frozen=True)
class Graph:
    """The nodes with their positions; y counts rows downwards from 0.

    Attributes
    ----------
    split : DataFrame
        Columns latent, y and f1 (F1 at k = 1, then F1 gain).
    absorbing : DataFrame
        Columns latent, y, num_tokens and effect (mean over its tokens, logits).
    tokens : DataFrame
        Columns latent (the absorbing one), y, token, name (the token with its white space visible), effect, and
        num_tokens (1). If not all tokens of a latent are drawn, its last row summarizes the others: no token, their
        number and their mean effect.
    rows : float
        Height of the nodes.
    """

    split: pd.DataFrame
    absorbing: pd.DataFrame
    tokens: pd.DataFrame
    rows: float

    @property
    def height(self) -> int:
        """Pixels."""
        return round((HEAD + self.rows + FOOT) * ROW)

    @property
    def middle(self) -> float:
        """The y of the concept."""
        return -self.rows / 2

    @property
    def num_tokens(self) -> int:
        """Number of tokens drawn individually."""
        return int(self.tokens["token"].notna().sum())

    @property
    def latents(self) -> set[int]:
        """All latents that are drawn."""
        return {*self.split["latent"], *self.absorbing["latent"]}

    def tapped(self, x: float, y: float) -> int | None:
        """Return the latent nearest to a tap: that of a node, or the one that absorbs a token; None if none is near."""
        for nodes, low, high, reach in (
            (self.split, SPLIT - 0.1, SPLIT + 0.1, _SPLIT_ROWS[0] / 2),
            (self.absorbing, ABSORBING - 0.15, ABSORBING + 0.1, 1.0),
            (self.tokens, TOKEN - 0.1, np.inf, 0.5 + _GAP / 2),
        ):
            distance = (nodes["y"] - y).abs().reset_index(drop=True)
            if low <= x <= high and distance.min() <= reach:
                return int(nodes["latent"].iloc[distance.idxmin()])
        return None


def arrange(split: pd.DataFrame | None, absorbing: pd.DataFrame | None) -> Graph:
    """Compute the position of each latent and token.

    Parameters
    ----------
    split : DataFrame or None
        Result of the query `split_latents`.
    absorbing : DataFrame or None
        Result of the query `absorbing_latents`, of which the first `MOST_LATENTS` are drawn.
    """
    split = _empty("latent", "k", "f1", "f1_gain") if split is None else split
    absorbing = (
        _empty("latent", "num_tokens", "mean_effect", "tokens", "effects") if absorbing is None else absorbing
    )[:MOST_LATENTS]
    groups = _groups(absorbing)
    needed = sum(map(len, groups)) + _GAP * max(len(groups) - 1, 0)
    rows = max(needed, _SPLIT_ROWS[0] * len(split), _MIN_ROWS)
    starts = (needed - rows) / 2 - np.cumsum([0.0, *(len(group) + _GAP for group in groups)])
    ys = [start - 0.5 - np.arange(len(group)) for start, group in zip(starts, groups, strict=False)]
    step = np.clip(rows / (len(split) + 1), *_SPLIT_ROWS)
    return Graph(
        split=pd.DataFrame(
            {
                "latent": split["latent"].to_numpy(),
                "y": step * ((len(split) - 1) / 2 - np.arange(len(split))) - rows / 2,
                "f1": np.where(split["k"] > 1, split["f1_gain"], split["f1"]),
            }
        ),
        absorbing=pd.DataFrame(
            {
                "latent": absorbing["latent"].to_numpy(),
                "y": np.array([y.mean() for y in ys]),
                "num_tokens": absorbing["num_tokens"].to_numpy(),
                "effect": absorbing["mean_effect"].to_numpy(),
            }
        ),
        tokens=pd.DataFrame(
            {
                **{field: [getattr(token, field) for group in groups for token in group] for field in _Token._fields},
                "y": np.concatenate([[], *ys]),
            }
        ),
        rows=rows,
    )


class _Token(NamedTuple):
    """A token, or (if None) the tokens of a latent that are not drawn."""

    latent: int
    token: str | None
    name: str
    effect: float
    num_tokens: int


def _groups(absorbing: pd.DataFrame) -> list[list[_Token]]:
    """List the tokens of each latent, limited so that all latents share `MOST_TOKENS` rows."""
    counts = absorbing["num_tokens"].to_numpy()
    share = max(rows for rows in range(1, MOST_TOKENS + 1) if np.minimum(counts, rows).sum() <= MOST_TOKENS)
    spare = MOST_TOKENS - np.minimum(counts, share).sum()
    groups = []
    for place, (latent, tokens, measured) in enumerate(
        zip(absorbing["latent"], absorbing["tokens"], absorbing["effects"], strict=True)
    ):
        most, effects = share + (place < spare), np.asarray(measured, float)
        group = [
            _Token(latent, token, visible(token), effect, 1) for token, effect in zip(tokens, effects, strict=True)
        ]
        if len(group) > most:
            rest = effects[most - 1 :]
            known = rest[~np.isnan(rest)]
            group[most - 1 :] = [
                _Token(latent, None, f"+ {len(rest)} more", known.mean() if len(known) else np.nan, len(rest))
            ]
        groups.append(group)
    return groups


def _empty(*columns: str) -> pd.DataFrame:
    return pd.DataFrame(dict.fromkeys(columns, pd.Series(dtype="float64")))
