"""Which latents carry a concept on tokens where its probe fires (soft absorption): split, absorbing, or neither.

The shares of a token's projection on the probe add up to 1, but one may be negative and another above 1. Positive ones
are stacked upwards from 0, negative ones downwards, so that each height equals the share.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import holoviews as hv
import numpy as np
import pandas as pd

from explorer.plots.layers import Layer, Line, Plot
from explorer.theme import Theme, in_percent, name_ticks, tooltip

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bokeh.models import Plot as Figure

HEIGHT = 240
#: The parts of a projection: column of the share, and label.
PARTS = {"main_share": "split latents", "absorbing_share": "absorbing latents", "other_share": "neither"}
_CORNERS = ("left", "bottom", "right", "top")
_HALF_BAR = 0.38
#: Limits of the y-axis of the plot over tokens, and the share of tokens at either end that may exceed its range.
_LOWEST, _HIGHEST, _TRIMMED = -1.0, 2.0, 0.01
#: The y range is larger than the stacks by this factor.
_AROUND = 1.05
_SHARES = [(title, f"@{name}{{0.0%}}") for name, title in PARTS.items()]


def token_shares_plot(shares: pd.DataFrame | None, *, theme: Theme) -> Plot:
    """Draw the tokens of a concept side by side, in the order of the query result.

    Parameters
    ----------
    shares : DataFrame or None
        Result of the query `token_shares`; None draws the same elements, empty.
    theme : Theme

    Returns
    -------
    Plot
        Layers: one per part, whole (a line at 1), targets (for hovering).
    """
    known = known_shares(shares)
    place = np.arange(len(known), dtype=float)
    stacks = _stacked(known, place, place + 1)
    low, high = _extent(stacks, _TRIMMED)
    return Plot(
        "token-shares",
        theme,
        [
            # With borders in the fill colour, because gaps between tokens would be visible otherwise.
            *_parts(stacks, theme, line_width=1),
            Line("whole", hv.HLine, 1.0, _dashed(theme)),
            _targets(stacks, "token"),
        ],
        (0.0, float(max(len(known), 1))),
        (max(_LOWEST, low), min(_HIGHEST, high)),
        {"height": HEIGHT, "xlabel": "tokens, by the share of the split latents", "ylabel": "share of the projection"},
        [in_percent],
    )


def concept_shares_plot(shares: pd.DataFrame | None, *, chosen: str | None, theme: Theme) -> Plot:
    """Draw the mean shares of concepts as bars; bar number n is at x = n.

    Parameters
    ----------
    shares : DataFrame or None
        Result of the query `concept_shares`; None draws the same elements, empty.
    chosen : str or None
        The concept whose bar is outlined.
    theme : Theme

    Returns
    -------
    Plot
        Layers: one per part, whole (a line at 1), chosen, targets (for hovering).
    """
    known = known_shares(shares)
    place = np.arange(1, len(known) + 1, dtype=float)
    stacks = _stacked(known, place - _HALF_BAR, place + _HALF_BAR)
    ring = stacks[stacks["concept"] == chosen]
    ticks = bar_ticks(shares)
    return Plot(
        "concept-shares",
        theme,
        [
            *_parts(stacks, theme, line_width=0),
            Line("whole", hv.HLine, 1.0, _dashed(theme)),
            Layer(
                *("chosen", hv.Rectangles, ring.assign(bottom=ring["low"], top=ring["high"]), _CORNERS),
                look={"fill_color": None, "line_color": theme.ink, "line_width": 2},
            ),
            _targets(stacks, "label"),
        ],
        (0.3, max(len(known), 1) + 0.7),
        _extent(stacks),
        {"height": HEIGHT, "xlabel": "", "ylabel": "mean share of the projection"},
        [in_percent, partial(_name_bars, ticks=ticks)],
    )


def bar_ticks(shares: pd.DataFrame | None) -> dict[float, str]:
    """Return the labels of the bars by x."""
    return {float(place): str(label) for place, label in enumerate(known_shares(shares)["label"], start=1)}


def _name_bars(figure: Figure, ticks: Mapping[float, str]) -> None:
    name_ticks(figure.xaxis[0], ticks)


def known_shares(shares: pd.DataFrame | None) -> pd.DataFrame:
    """Return the rows that have shares."""
    if shares is None:
        return pd.DataFrame({name: pd.Series([], dtype=float) for name in PARTS}).assign(token=[], concept=[], label=[])
    return shares[shares["other_share"].notna()].reset_index(drop=True)


def _stacked(shares: pd.DataFrame, left: np.ndarray, right: np.ndarray) -> pd.DataFrame:
    """Add the columns `<part>_bottom` and `<part>_top`, and `low` and `high` of the whole stack."""
    stacks = shares.assign(left=left, right=right, low=0.0, high=0.0)
    for name in PARTS:
        share = shares[name]
        stacks[f"{name}_bottom"] = stacks["high"].where(share >= 0, stacks["low"] + share)
        stacks[f"{name}_top"] = (stacks["high"] + share).where(share >= 0, stacks["low"])
        stacks["high"] += share.clip(lower=0)
        stacks["low"] += share.clip(upper=0)
    return stacks


def _extent(stacks: pd.DataFrame, trimmed: float = 0.0) -> tuple[float, float]:
    """Return the y range of stacks, at least 0 to 1; a share `trimmed` of them at either end may exceed it."""
    if stacks.empty:
        return 0.0, _AROUND
    low, high = stacks["low"].quantile(trimmed), stacks["high"].quantile(1 - trimmed)
    return min(_AROUND * float(low), 0.0), _AROUND * max(float(high), 1.0)


def _parts(stacks: pd.DataFrame, theme: Theme, line_width: float) -> list[Layer]:
    colours = part_colours(theme)
    return [
        Layer(
            *(
                title,
                hv.Rectangles,
                stacks.assign(bottom=stacks[f"{name}_bottom"], top=stacks[f"{name}_top"]),
                _CORNERS,
            ),
            look={"fill_color": colours[name], "line_color": colours[name], "line_width": line_width},
        )
        for name, title in PARTS.items()
    ]


def _targets(stacks: pd.DataFrame, of: str) -> Layer:
    """Draw transparent rectangles over the stacks, whose tooltips list all parts."""
    return Layer(
        *("targets", hv.Rectangles, stacks.assign(bottom=stacks["low"], top=stacks["high"]), _CORNERS),
        more=(of, *PARTS),
        look={
            "alpha": 0,
            "tools": ["hover"],
            "default_tools": [],
            "hover_tooltips": tooltip(("token" if of == "token" else "", f"@{of}"), *_SHARES),
        },
    )


def part_colours(theme: Theme) -> dict[str, str]:
    """Return the colour of each part, in the order of `PARTS`."""
    return {"main_share": theme.split, "absorbing_share": theme.absorbing, "other_share": theme.other}


def _dashed(theme: Theme) -> dict[str, object]:
    return {"color": theme.ink, "line_width": 1, "line_dash": "dashed"}
