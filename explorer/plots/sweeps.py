"""Sweeps, that is SAEs that differ in L0 only: a line through the means over seeds, and the range over seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from explorer.saes import SWEEP

if TYPE_CHECKING:
    from collections.abc import Callable

    from explorer.theme import Theme

#: Attributes shared by the SAEs of a sweep.
_JOINED = ["suite", *SWEEP, "width"]
_ENDS = ["x", "y", "x1", "y1", "colour", "shown"]
#: Opacity of a line or bar, of a line within a band, and of a band.
_LINE, _MEAN, _BAND = 0.5, 0.9, 0.16


class Sweeps(NamedTuple):
    """The marks of sweeps.

    Attributes
    ----------
    lines : DataFrame
        Lines from each SAE to the one with the next L0: x, y, x1, y1, colour, shown (opacity).
    bands : dict of str to list
        Areas from the lowest to the highest seed along a line: xs and ys of their outlines, colour, shown.
    bars : DataFrame
        The same range for SAEs that are not part of a band; columns as in `lines`.
    """

    lines: pd.DataFrame
    bands: dict[str, list[Any]]
    bars: pd.DataFrame


def sweeps_of(data: pd.DataFrame, means: pd.DataFrame | None, theme: Theme, *, joined: bool) -> Sweeps:
    """Compute lines, bands and bars.

    Parameters
    ----------
    data : DataFrame
        The SAEs that are drawn: x, y, l0, colour, shown; its index is that of their rows in `means`.
    means : DataFrame or None
        Result of the query `sae_means`.
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
    unbanded = trained[trained["low"].notna() & ~trained.index.isin([*banded["at"], *banded["at1"]])]
    ends = {"x": unbanded["x"], "y": unbanded["low"], "x1": unbanded["x"], "y1": unbanded["high"]}
    density = np.where(pairs.index.isin(banded.index), _MEAN, _LINE)
    return Sweeps(
        pairs.assign(shown=density * pairs["shown"])[_ENDS],
        _outlines(banded),
        pd.DataFrame(ends | {"colour": unbanded["colour"], "shown": _LINE * unbanded["shown"]}),
    )


def first_seeds(means: pd.DataFrame) -> pd.Series:
    """Return a number for each SAE that is equal for all seeds of it."""
    first = means["repeat_of"].where(means["repeat_of"].notna(), means["sae"])
    return means.groupby([means["suite"], first], sort=False).ngroup()


def sweeps(means: pd.DataFrame) -> pd.Series:
    """Return the number of each SAE's sweep."""
    return means.groupby(_JOINED, dropna=False, sort=False).ngroup()


def have_seeds(means: pd.DataFrame | None) -> bool:
    """Return whether any SAE has several seeds."""
    return means is not None and bool(first_seeds(means).duplicated().any())


def values_by_seed(means: pd.DataFrame, column: str, write: Callable[[float], str]) -> pd.Series:
    """Format, for each SAE with several seeds, the values of all seeds and their mean; a dash for others."""

    def joined(values: pd.Series) -> str:
        each = ", ".join(map(write, values))
        return f"{each}; mean {write(values.mean())}" if values.notna().all() else each

    first = first_seeds(means)
    return first.map(
        {number: joined(values) if len(values) > 1 else "–" for number, values in means.groupby(first)[column]}
    )


def _over_seeds(data: pd.DataFrame, means: pd.DataFrame, theme: Theme) -> pd.DataFrame:
    """Aggregate the seeds of each SAE; low and high are NaN unless there are several seeds and all are drawn."""
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
            # Seeds with different colours get a neutral one.
            colour=("colour", lambda colours: colours.iloc[0] if len(set(colours)) == 1 else theme.muted),
            shown=("shown", "max"),
        )
    )
    is_known = (trained["num"] > 1) & (trained["num"] == first.value_counts().reindex(trained.index))
    trained.loc[~is_known, ["low", "high"]] = np.nan
    return trained


def _pairs(trained: pd.DataFrame) -> pd.DataFrame:
    """Join each SAE with the one of the next L0 of its sweep, whose columns end in 1; `at` is the SAE's number."""
    swept = trained.dropna(subset="l0").sort_values(["sweep", "l0"], kind="stable").reset_index(names="at")
    pairs = swept.join(swept.shift(-1).add_suffix("1"))
    pairs = pairs[pairs["sweep"] == pairs["sweep1"]]
    return pairs.assign(shown=np.minimum(pairs["shown"], pairs["shown1"]))


def _outlines(pairs: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the closed outlines of bands; each covers consecutive pairs of equal colour and opacity."""
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
