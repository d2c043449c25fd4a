"""SAEs that differ in L0 only: a line through them, by means over seeds, and how far the seeds reach from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from explorer.saes import SWEEP

if TYPE_CHECKING:
    from collections.abc import Callable

    from explorer.theme import Theme

#: What SAEs have in common that a line joins.
_JOINED = ["suite", *SWEEP, "width"]
_ENDS = ["x", "y", "x1", "y1", "colour", "shown"]
#: How dense a line or a bar is, a line in a band, and the band, in the colour of their SAEs.
_LINE, _MEAN, _BAND = 0.5, 0.9, 0.16


class Sweeps(NamedTuple):
    """What is drawn of sweeps.

    Attributes
    ----------
    lines : DataFrame
        From each SAE to the one of the next L0: x, y, x1, y1, colour, shown (its opacity).
    bands : dict of str to list
        From the lowest to the highest seed along a line: xs and ys of their outlines, colour, shown.
    bars : DataFrame
        The same at SAEs beside which there is no band; columns as of `lines`.
    """

    lines: pd.DataFrame
    bands: dict[str, list[Any]]
    bars: pd.DataFrame


def sweeps_of(data: pd.DataFrame, means: pd.DataFrame | None, theme: Theme, *, joined: bool) -> Sweeps:
    """Draw lines, bands and bars.

    Parameters
    ----------
    data : DataFrame
        The SAEs that have a place: x, y, l0, colour, shown; its index is that of their rows in `means`.
    means : DataFrame or None
        Answer of the query `sae_means`.
    theme : Theme
    joined : bool
        Whether to draw lines and bands.
    """
    if means is None or data.empty:
        nothing = pd.DataFrame({name: pd.Series([], dtype="float64") for name in _ENDS})
        return Sweeps(nothing, {name: [] for name in ("xs", "ys", "colour", "shown")}, nothing)
    trained = _over_seeds(data, means, theme)
    pairs = _pairs(trained if joined else trained.iloc[:0])
    banded = pairs[pairs["low"].notna() & pairs["low1"].notna()]
    lone = trained[trained["low"].notna() & ~trained.index.isin([*banded["at"], *banded["at1"]])]
    ends = {"x": lone["x"], "y": lone["low"], "x1": lone["x"], "y1": lone["high"]}
    density = np.where(pairs.index.isin(banded.index), _MEAN, _LINE)
    return Sweeps(
        pairs.assign(shown=density * pairs["shown"])[_ENDS],
        _outlines(banded),
        pd.DataFrame(ends | {"colour": lone["colour"], "shown": _LINE * lone["shown"]}),
    )


def first_seeds(means: pd.DataFrame) -> pd.Series:
    """Give each SAE a number, which it shares with its further seeds."""
    first = means["repeat_of"].where(means["repeat_of"].notna(), means["sae"])
    return means.groupby([means["suite"], first], sort=False).ngroup()


def sweeps(means: pd.DataFrame) -> pd.Series:
    """Give each SAE the number of its sweep: those that a line joins have it in common."""
    return means.groupby(_JOINED, dropna=False, sort=False).ngroup()


def have_seeds(means: pd.DataFrame | None) -> bool:
    """Tell whether any SAE is there with several seeds."""
    return means is not None and bool(first_seeds(means).duplicated().any())


def said_by_seed(means: pd.DataFrame, column: str, write: Callable[[float], str]) -> pd.Series:
    """Write, for each SAE with several seeds, the values of them all and their mean; a dash for others."""

    def said(values: pd.Series) -> str:
        each = ", ".join(map(write, values))
        return f"{each}; mean {write(values.mean())}" if values.notna().all() else each

    first = first_seeds(means)
    return first.map(
        {number: said(values) if len(values) > 1 else "–" for number, values in means.groupby(first)[column]}
    )


def _over_seeds(data: pd.DataFrame, means: pd.DataFrame, theme: Theme) -> pd.DataFrame:
    """Take the seeds of each SAE together; how far they reach is known where each of them has a place."""
    first = first_seeds(means)
    trained = (
        data.assign(sweep=sweeps(means))
        .groupby(first.loc[data.index], sort=False)
        .agg(
            **{name: (name, "mean") for name in ("x", "y", "l0")},
            sweep=("sweep", "first"),
            low=("y", "min"),
            high=("y", "max"),
            num=("y", "size"),
            # Seeds that are coloured apart have no colour in common.
            colour=("colour", lambda colours: colours.iloc[0] if len(set(colours)) == 1 else theme.muted),
            shown=("shown", "max"),
        )
    )
    is_known = (trained["num"] > 1) & (trained["num"] == first.value_counts().reindex(trained.index))
    trained.loc[~is_known, ["low", "high"]] = np.nan
    return trained


def _pairs(trained: pd.DataFrame) -> pd.DataFrame:
    """Pair each SAE with the one of the next L0 of its sweep, whose columns end in 1; `at` are their numbers."""
    swept = trained.dropna(subset="l0").sort_values(["sweep", "l0"], kind="stable").reset_index(names="at")
    pairs = swept.join(swept.shift(-1).add_suffix("1"))
    pairs = pairs[pairs["sweep"] == pairs["sweep1"]]
    return pairs.assign(shown=np.minimum(pairs["shown"], pairs["shown1"]))


def _outlines(pairs: pd.DataFrame) -> dict[str, list[Any]]:
    """Draw the closed outlines of bands, each as far as it goes on and looks the same."""
    runs: list[list[Any]] = []
    for pair in pairs.itertuples():
        before = runs[-1][-1] if runs else None
        if before is None or (before.at1, before.colour, before.shown) != (pair.at, pair.colour, pair.shown):
            runs.append([])
        runs[-1].append(pair)
    xs, lows, highs = (
        [[*(getattr(pair, name) for pair in run), getattr(run[-1], f"{name}1")] for run in runs]
        for name in ("x", "low", "high")
    )
    return {
        "xs": [np.array([*x, *reversed(x), x[0]]) for x in xs],
        "ys": [np.array([*low, *reversed(high), low[0]]) for low, high in zip(lows, highs, strict=True)],
        "colour": [run[0].colour for run in runs],
        "shown": [_BAND * run[0].shown for run in runs],
    }
