"""Absorption and splitting over SAEs: one point per SAE, against one of its numeric attributes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import holoviews as hv
import pandas as pd
from bokeh.core.properties import field

from explorer.format import l0_label, number, percent
from explorer.plots.layers import Layer, Plot
from explorer.plots.sae_style import sae_keys, styled
from explorer.plots.sweeps import first_seeds, sweeps_of, values_by_seed
from explorer.theme import Theme, drag_tools, in_percent, tooltip

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from bokeh.models import Plot as Figure

    from explorer.saes import Sae

#: Numeric attributes of SAEs that can be the x-axis, with its label.
X_AXES = {
    "l0": "L0, active latents per token",
    "layer": "layer",
    "width": "width, latents",
    "variance_explained": "variance explained",
    "loss_recovered": "loss recovered",
    "dead_fraction": "share of dead latents",
}
#: Column on the y-axis, by the first word of a figure's name.
Y_AXES = {"absorption": "absorption_rate", "splits": "num_split_latents"}
#: Column on the x-axis and on the y-axis, by the name of the figure.
PANELS = {f"{word}-vs-{x.replace('_', '-')}": (x, y) for word, y in Y_AXES.items() for x in X_AXES}
#: Attributes whose ticks are integers.
_WHOLE = ("layer", "width")
_COLUMNS = [
    *("suite", "sae", "name", "x", "y", "l0", "formatted_l0", "absorption_rate", "absorption_sd", "num_split_latents"),
    *("variance_explained", "loss_recovered", "seeds", "colour", "marker", "shown", "size"),
]
_TEXT = {"suite", "sae", "name", "formatted_l0", "seeds", "colour", "marker"}
_FADED = 0.12
#: Marker size of an SAE with one seed, and of one with several, where a line passes through their mean.
_SIZE, _SIZE_OF_SEED = 9, 7
_FACTS = (
    ("SAE", "@name"),
    ("L0", "@formatted_l0"),
    ("mean", "@absorption_rate{0.0%}"),
    ("standard deviation", "@absorption_sd{0.0%}"),
    ("split latents, mean", "@num_split_latents{0.00}"),
    ("variance explained", "@variance_explained{0.000}"),
    ("loss recovered", "@loss_recovered{0.000}"),
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
    """Draw one panel of Atlas.

    Parameters
    ----------
    means : DataFrame or None
        Result of the query `sae_means`; None draws the same elements, empty.
    panel : str
        Key of `PANELS`, the figure's name.
    saes : mapping of (str, str) to Sae
        The SAEs by suite and id, for their labels.
    by : str
        Attribute shown by colour and marker.
    noun : str
        Noun for a concept, for example "letter".
    rate : str
        Name of the metric's rate, for example "absorption rate".
    brushed : collection of tuple
        Suite and id of the selected SAEs; the others fade. Empty: none fades.
    current : tuple or None
        The SAE that Explore shows, ringed.
    theme : Theme
    touch : bool
        Whether a drag scrolls the page rather than selects.

    Returns
    -------
    Plot
        Layers: bands, sweeps, bars, SAEs, current.
    """
    x, y = PANELS[panel]
    is_rate = y == "absorption_rate"
    # Styled before SAEs are omitted, so that each has the same colour and marker in every panel.
    data = _points(saes_with_values(means, panel), means, panel, saes=saes, by=by, brushed=brushed, theme=theme)
    ring = data[[key == current for key in sae_keys(data)]] if len(data) else data
    x_range, y_range = extents(means, panel)
    ends, more = ("x", "y", "x1", "y1"), [name for name in _COLUMNS if name not in ("x", "y")]
    sweeps = sweeps_of(data, means, theme, joined=x not in _WHOLE)
    look: dict[str, Any] = {"line_color": theme.other}
    of_line = {"line_color": field("colour"), "line_alpha": field("shown")}
    return Plot(
        panel,
        theme,
        [
            Layer(
                *("bands", hv.Polygons, sweeps.bands, ("x", "y"), ("colour", "shown")),
                look={"color": theme.other, "line_color": None},
                glyph={"fill_color": field("colour"), "fill_alpha": field("shown")},
            ),
            Layer("sweeps", hv.Segments, sweeps.lines, ends, ("colour", "shown"), look | {"line_width": 1.5}, of_line),
            Layer("bars", hv.Segments, sweeps.bars, ends, ("colour", "shown"), look | {"line_width": 3}, of_line),
            Layer(
                *("SAEs", hv.Points, data, ("x", "y"), more),
                look={
                    "size": _SIZE,
                    "line_color": theme.paper,
                    "tools": ["hover", "box_select"],
                    "default_tools": ["pan", "box_zoom", "reset"],
                    "hover_tooltips": tooltip(*_FACTS, ("rates by seed" if is_rate else "splits by seed", "@seeds")),
                },
                glyph={
                    "marker": field("marker"),
                    "size": field("size"),
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
            "active_tools": drag_tools(active=not touch),
        },
        [partial(_tick, whole=x in _WHOLE), *([in_percent] if is_rate else [])],
    )


def saes_with_values(means: pd.DataFrame | None, panel: str) -> pd.DataFrame:
    """Return the rows of SAEs that have a value on both axes of a panel."""
    x, y = PANELS[panel]
    if means is None:
        return pd.DataFrame(columns=[*_COLUMNS, x, y])
    return means[means[x].notna() & means[y].notna()]


def extents(means: pd.DataFrame | None, panel: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the ranges of a panel's axes: all SAEs with a margin; rates and L0 from 0."""
    if (placed := saes_with_values(means, panel)).empty:
        return (0.0, 1.0), (0.0, 1.0)
    x, y = PANELS[panel]
    low, high = float(placed[x].min()), float(placed[x].max())
    if x == "l0":
        low = 0.0
    margin = max(0.08 * (high - low), {"l0": 0.5, "layer": 0.5, "width": 100.0}.get(x, 0.005))
    top = float(placed[y].max())
    return (low - (0.03 * high if x == "l0" else margin), high + margin), (0.0, 1.1 * top if top > 0 else 1.0)


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
    styled_means = styled(means, saes, by, theme).loc[placed.index]
    return styled_means.assign(
        formatted_l0=placed["l0"].map(l0_label),
        x=placed[x].astype(float),
        y=placed[y].astype(float),
        seeds=values_by_seed(means, y, percent if y == "absorption_rate" else partial(number, decimals=2)),
        shown=[1.0 if not brushed or key in brushed else _FADED for key in sae_keys(placed)],
        size=[
            _SIZE_OF_SEED if several else _SIZE for several in first_seeds(means).duplicated(keep=False)[placed.index]
        ],
    )[_COLUMNS]


def _tick(figure: Figure, *, whole: bool) -> None:
    """Put ticks at integers if `whole`, even if the axis shows only one."""
    axis: Any = figure.xaxis[0]
    axis.ticker.min_interval = 1 if whole else 0
    axis.formatter.use_scientific = False
