"""Absorption and splitting over SAEs: one point an SAE, against any of its numbers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
import pandas as pd
from bokeh.core.properties import field

from explorer.format import l0_label
from explorer.plots.layers import Layer, Plot
from explorer.plots.sae_style import sae_keys, styled
from explorer.saes import SWEEP
from explorer.theme import Theme, brush, in_percent, tooltip

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from bokeh.models import Plot as Figure

    from explorer.saes import Sae

#: The numbers of SAEs that can stand on the x-axis, and how each is called.
X_AXES = {
    "l0": "L0, active latents a token",
    "layer": "layer",
    "width": "width, latents",
    "variance_explained": "variance explained",
    "loss_recovered": "loss recovered",
    "dead_fraction": "share of dead latents",
}
#: What stands on the y-axis, by the first word of a figure's name.
Y_AXES = {"absorption": "absorption_rate", "splits": "num_split_latents"}
#: Column on the x-axis and on the y-axis, by the name of the figure.
PANELS = {f"{word}-vs-{x.replace('_', '-')}": (x, y) for word, y in Y_AXES.items() for x in X_AXES}
#: Whole numbers, also where there is only one.
_WHOLE = ("layer", "width")
#: What SAEs have in common that a line joins.
_JOINED = ["suite", *SWEEP, "width", "seed"]
_COLUMNS = [
    *("suite", "sae", "name", "x", "y", "l0", "said_l0", "absorption_rate", "absorption_sd", "num_split_latents"),
    *("variance_explained", "loss_recovered", "seed_low", "seed_high", "seeds", "colour", "marker", "shown"),
]
_TEXT = {"suite", "sae", "name", "said_l0", "seeds", "colour", "marker"}
_FADED = 0.12
_TOOLTIPS = tooltip(
    ("SAE", "@name"),
    ("L0", "@said_l0"),
    ("mean", "@absorption_rate{0.0 %}"),
    ("standard deviation", "@absorption_sd{0.0 %}"),
    ("split latents, mean", "@num_split_latents{0.00}"),
    ("variance explained", "@variance_explained{0.000}"),
    ("loss recovered", "@loss_recovered{0.000}"),
    ("rates with other seeds", "@seeds"),
)


def absorption_plot(
    means: pd.DataFrame | None,
    panel: str,
    *,
    saes: Mapping[tuple[str, str], Sae],
    by: str,
    noun: str,
    rate: str,
    brushed: Collection[tuple[str, str]],
    current: tuple[str, str] | None,
    theme: Theme,
    touch: bool = False,
) -> Plot:
    """Draw one panel.

    Parameters
    ----------
    means : DataFrame or None
        Answer of the query `sae_means`; None draws the same elements, empty.
    panel : str
        Key of `PANELS`, the figure's name.
    saes : mapping of (str, str) to Sae
        The SAEs by suite and id, for their names.
    by : str
        Attribute that colour and marker tell.
    noun : str
        What a concept is called.
    rate : str
        What the metric gives, as in absorption rate.
    brushed : collection of tuple
        Suite and id of the brushed SAEs; the others fade. Empty: none fades.
    current : tuple or None
        The SAE that Explore shows, ringed.
    theme : Theme
    touch : bool
        Whether a drag is left to scroll the page.

    Returns
    -------
    Plot
        Layers: sweeps, spread over seeds, SAEs, current.
    """
    x, y = PANELS[panel]
    is_rate = y == "absorption_rate"
    # Dressed before any SAE is left out: each looks the same in every panel.
    data = _points(drawn(means, panel), means, panel, saes=saes, by=by, brushed=brushed, theme=theme)
    ring = data[[key == current for key in sae_keys(data)]] if len(data) else data
    x_range, y_range = extents(means, panel)
    ends, more = ("x", "y", "x1", "y1"), [name for name in _COLUMNS if name not in ("x", "y")]
    look: dict[str, Any] = {"line_color": theme.other}
    of_line = {"line_color": field("colour"), "line_alpha": field("shown")}
    return Plot(
        panel,
        theme,
        [
            Layer(
                *("sweeps", hv.Segments, _sweeps(data if x not in _WHOLE else data.iloc[:0], means), ends),
                *(("colour", "shown"), look | {"line_width": 1.5}, of_line),
            ),
            Layer(
                *("seeds", hv.Segments, _spread(data if is_rate else data.iloc[:0]), ends),
                *(("colour", "shown"), look | {"line_width": 3}, of_line),
            ),
            Layer(
                *("SAEs", hv.Points, data, ("x", "y"), more),
                look={
                    "size": 9,
                    "line_color": theme.paper,
                    "tools": ["hover", "box_select"],
                    "default_tools": ["pan", "box_zoom", "reset"],
                    "hover_tooltips": _TOOLTIPS,
                },
                glyph={
                    "marker": field("marker"),
                    "fill_color": field("colour"),
                    "fill_alpha": field("shown"),
                    "line_alpha": field("shown"),
                },
            ),
            Layer(
                *("current", hv.Points, ring, ("x", "y"), more),
                look={"marker": "circle", "size": 18, "fill_color": None, "line_color": theme.ink, "line_width": 2},
            ),
        ],
        x_range,
        y_range,
        {
            "height": 280,
            "xlabel": X_AXES[x],
            "ylabel": rate if is_rate else f"split latents per {noun}",
            "active_tools": brush(active=not touch),
        },
        [partial(_tick, whole=x in _WHOLE), *([in_percent] if is_rate else [])],
    )


def drawn(means: pd.DataFrame | None, panel: str) -> pd.DataFrame:
    """Return the SAEs that have a place on both axes of a panel."""
    x, y = PANELS[panel]
    if means is None:
        return pd.DataFrame(columns=[*_COLUMNS, x, y])
    return means[means[x].notna() & means[y].notna()]


def extents(means: pd.DataFrame | None, panel: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the ranges of a panel's axes: all SAEs and seeds with some air, rates and L0 from 0."""
    if (placed := drawn(means, panel)).empty:
        return (0.0, 1.0), (0.0, 1.0)
    x, y = PANELS[panel]
    low, high = float(placed[x].min()), float(placed[x].max())
    if x == "l0":
        low = 0.0
    air = max(0.08 * (high - low), {"l0": 0.5, "layer": 0.5, "width": 100.0}.get(x, 0.005))
    top = float(placed[[y, "seed_high"] if y == "absorption_rate" else [y]].max(axis=None))
    return (low - (0.03 * high if x == "l0" else air), high + air), (0.0, 1.1 * top if top > 0 else 1.0)


def _points(
    placed: pd.DataFrame,
    means: pd.DataFrame | None,
    panel: str,
    *,
    saes: Mapping[tuple[str, str], Sae],
    by: str,
    brushed: Collection[tuple[str, str]],
    theme: Theme,
) -> pd.DataFrame:
    if means is None or placed.empty:
        return pd.DataFrame({name: pd.Series([], dtype="object" if name in _TEXT else "float64") for name in _COLUMNS})
    x, y = PANELS[panel]
    dressed = styled(means, saes, by, theme).loc[placed.index]
    return dressed.assign(
        said_l0=placed["l0"].map(l0_label),
        x=placed[x].astype(float),
        y=placed[y].astype(float),
        seeds=[
            "–" if pd.isna(low) else f"{low:.1%} to {high:.1%}"
            for low, high in zip(placed["seed_low"], placed["seed_high"], strict=True)
        ],
        shown=[1.0 if not brushed or key in brushed else _FADED for key in sae_keys(placed)],
    )[_COLUMNS]


def _sweeps(data: pd.DataFrame, means: pd.DataFrame | None) -> pd.DataFrame:
    """Draw lines through the SAEs that differ in L0 only, from each to the one of the next L0."""
    if means is None or data.empty:
        return pd.DataFrame(
            {name: pd.Series([], dtype="float64") for name in ("x", "y", "x1", "y1", "colour", "shown")}
        )
    # The seeds of those that nothing repeats may differ along a sweep.
    own = means["seed"].where(means["repeat_of"].notna())
    sweeps = means.assign(seed=own).loc[data.index].groupby(_JOINED, dropna=False, sort=False).ngroup()
    swept = data.assign(sweep=sweeps).dropna(subset="l0").sort_values(["sweep", "l0"], kind="stable")
    goes_on = (swept["sweep"].diff() == 0).to_numpy(bool)
    ends = swept[goes_on]
    starts = swept[np.append(goes_on[1:], False)] if len(swept) else swept
    return pd.DataFrame(
        {
            "x": starts["x"].to_numpy(float),
            "y": starts["y"].to_numpy(float),
            "x1": ends["x"].to_numpy(float),
            "y1": ends["y"].to_numpy(float),
            "colour": starts["colour"].to_numpy(object),
            "shown": 0.5 * np.minimum(starts["shown"].to_numpy(float), ends["shown"].to_numpy(float)),
        }
    )


def _spread(data: pd.DataFrame) -> pd.DataFrame:
    """Draw a line from the lowest to the highest rate of the SAEs that were trained with several seeds."""
    several = data.dropna(subset=["seed_low", "seed_high"])
    ends = pd.DataFrame({"x": several["x"], "y": several["seed_low"], "x1": several["x"], "y1": several["seed_high"]})
    return ends.astype(float).assign(colour=several["colour"], shown=several["shown"].astype(float))


def _tick(figure: Figure, *, whole: bool) -> None:
    """Have ticks at whole numbers, also where there is only one."""
    axis: Any = figure.xaxis[0]
    axis.ticker.min_interval = 1 if whole else 0
    axis.formatter.use_scientific = False
