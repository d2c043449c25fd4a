"""Absorption and splitting over SAEs: one point an SAE, against L0 or the layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
import pandas as pd
from bokeh.models import BasicTicker

from explorer.format import l0_label
from explorer.plots.sae_scores import MARKERS, known_l0s
from explorer.theme import Theme, brush, figure_hook, fit_hook, in_percent, tooltip, width_colours

if TYPE_CHECKING:
    from collections.abc import Collection

#: The columns that name an SAE over all suites.
SAE = ["suite", "layer", "width", "l0"]
#: x and y of each panel, by the name of its figure.
PANELS = {
    "absorption-vs-l0": ("l0", "absorption_rate"),
    "absorption-vs-layer": ("layer", "absorption_rate"),
    "splits-vs-l0": ("l0", "num_split_latents"),
}
_LABELS = {
    "l0": "L0, active latents a token",
    "layer": "layer",
    "absorption_rate": "absorption rate",
    "num_split_latents": "split latents a letter",
}
_COLUMNS = [
    *(*SAE, "absorption_rate", "absorption_sd", "num_split_latents", "seed_low", "seed_high"),
    *("seeds", "colour", "marker", "shown", "said_l0"),
]
_TEXT = {"suite", "seeds", "colour", "marker", "said_l0"}
_FADED = 0.12
_TOOLTIPS = tooltip(
    ("layer", "@layer"),
    ("width", "@width"),
    ("L0", "@said_l0"),
    ("absorption rate, mean over letters", "@absorption_rate{0.0 %}"),
    ("standard deviation over letters", "@absorption_sd{0.0 %}"),
    ("split latents a letter", "@num_split_latents{0.00}"),
    ("rates with other seeds", "@seeds"),
)


def sae_keys(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Return suite, layer, width and L0 of each row."""
    return list(frame[SAE].itertuples(index=False, name=None))


def absorption_plot(
    means: pd.DataFrame | None,
    panel: str,
    *,
    brushed: Collection[tuple[Any, ...]],
    current: tuple[Any, ...] | None,
    theme: Theme,
    touch: bool = False,
) -> hv.Overlay:
    """Draw one panel.

    Parameters
    ----------
    means : DataFrame or None
        Answer of the query `sae_means`; None draws the same elements, empty.
    panel : str
        Key of `PANELS`, the figure's name.
    brushed : collection of tuple
        Suite, layer, width and L0 of the brushed SAEs; the others fade. Empty: none fades.
    current : tuple or None
        The SAE that Explore shows, ringed.
    theme : Theme
    touch : bool
        Whether a drag is left to scroll the page.

    Returns
    -------
    Overlay
        Segments (spread over seeds), Points (SAEs), Points (current).
    """
    x, y = PANELS[panel]
    # Dressed before any SAE is left out: a width looks the same in every panel.
    data = drawn(_points(means, brushed, theme), panel)
    dimensions = [hv.Dimension(x, label=_LABELS[x]), hv.Dimension(y, label=_LABELS[y])]
    extra = [name for name in _COLUMNS if name not in (x, y)]
    ring = data[[key == current for key in sae_keys(data)]] if len(data) else data
    x_range, y_range = extents(means, panel)
    return (
        _spread(data, x, dimensions, is_rate=y == "absorption_rate")
        * hv.Points(data, dimensions, extra).opts(
            size=9,
            marker="marker",
            color="colour",
            alpha="shown",
            line_color=theme.paper,
            tools=["hover", "box_select"],
            default_tools=["pan", "box_zoom", "reset"],
            hover_tooltips=_TOOLTIPS,
        )
        * hv.Points(ring, dimensions, extra).opts(
            marker="circle", size=18, fill_color=None, line_color=theme.ink, line_width=2
        )
    ).opts(
        hv.opts.Overlay(
            hooks=[
                figure_hook(panel, theme),
                fit_hook(x_range, y_range),
                *([in_percent] if y == "absorption_rate" else []),
            ],
            responsive=True,
            height=280,
            xlim=x_range,
            ylim=y_range,
            # Layers are whole numbers, also where there is only one.
            **({"xticks": BasicTicker(min_interval=1)} if x == "layer" else {}),
            show_legend=False,
            active_tools=brush(active=not touch),
        )
    )


def _spread(data: pd.DataFrame, x: str, dimensions: list[hv.Dimension], *, is_rate: bool) -> hv.Segments:
    """Draw a line from the lowest to the highest rate of the SAEs that were trained with several seeds."""
    known = data.dropna(subset=["seed_low", "seed_high"]) if is_rate else data.iloc[:0]
    across, up = dimensions
    ends = pd.DataFrame({"x": known[x], "low": known["seed_low"], "x1": known[x], "high": known["seed_high"]})
    ends = ends.astype(float).assign(colour=known["colour"], shown=known["shown"].astype(float))
    places = [hv.Dimension("x", label=across.label), hv.Dimension("low", label=up.label), "x1", "high"]
    return hv.Segments(ends, places, ["colour", "shown"]).opts(color="colour", alpha="shown", line_width=3)


def drawn(means: pd.DataFrame, panel: str) -> pd.DataFrame:
    """Return the SAEs that have a place on both axes of a panel."""
    x, y = PANELS[panel]
    placed = known_l0s(means) if x == "l0" else means
    return placed[placed[y].notna()]


def extents(means: pd.DataFrame | None, panel: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the ranges of a panel's axes: all SAEs and seeds with some air, rates and L0 from 0."""
    if means is None or (means := drawn(means, panel)).empty:
        return (0.0, 1.0), (0.0, 1.0)
    x, y = PANELS[panel]
    low, high = (float(means[x].min()), float(means[x].max())) if x == "layer" else (0.0, float(means[x].max()))
    air = max(0.08 * (high - low), 0.5)
    top = float(means[[y, "seed_high"] if y == "absorption_rate" else [y]].max(axis=None))
    return (low - (air if x == "layer" else 0.0), high + air), (0.0, 1.1 * top if top > 0 else 1.0)


def _points(means: pd.DataFrame | None, brushed: Collection[tuple[Any, ...]], theme: Theme) -> pd.DataFrame:
    if means is None or means.empty:
        return pd.DataFrame({name: pd.Series([], dtype="object" if name in _TEXT else "float64") for name in _COLUMNS})
    widths = sorted(means["width"].unique())
    colours = width_colours(widths, theme)
    return means.assign(
        colour=[colours[width] for width in means["width"]],
        marker=[MARKERS[widths.index(width) % len(MARKERS)] for width in means["width"]],
        said_l0=means["l0"].map(l0_label),
        seeds=[
            "–" if pd.isna(low) else f"{low:.1%} to {high:.1%}"
            for low, high in zip(means["seed_low"], means["seed_high"], strict=True)
        ],
        shown=[1.0 if not brushed or key in brushed else _FADED for key in sae_keys(means)],
    )[_COLUMNS]
