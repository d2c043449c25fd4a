"""Score of the k-sparse probes over k: bars, those of split latents highlighted, and the linear probe as a line."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import holoviews as hv
import pandas as pd
from bokeh.core.properties import field

from explorer.plots.layers import Layer, Line, Plot
from explorer.theme import Theme, name_ticks, tooltip

if TYPE_CHECKING:
    from bokeh.models import Plot as Figure

SCORES = {"f1": "F1", "precision": "precision", "recall": "recall", "auc": "AUC"}
_COLUMNS = ["left", "bottom", "right", "top", "k", "latent", "part"]
_HALF_BAR = 0.38


def k_sparse_plot(
    k_sparse: pd.DataFrame | None,
    *,
    score: str,
    probe: float | None,
    selected: int | None,
    theme: Theme,
    figure: str = "k-sparse",
) -> Plot:
    """Draw one bar per k. Bar number n is at x = n, so k = 1..15 are at their own values.

    Parameters
    ----------
    k_sparse : DataFrame or None
        Columns k, latent, is_split and the scores, by ascending k; None draws the same elements, empty.
    score : {"f1", "precision", "recall", "auc"}
    probe : float or None
        The same score of the linear probe, drawn as a dashed line.
    selected : int or None
        Latent whose bar is outlined.
    theme : Theme
    figure : str
        Name of the figure, which is unique on a page.

    Returns
    -------
    Plot
        Layers: bars, selected, probe.
    """
    bars = bars_of(k_sparse, score)
    columns = ("left", "bottom", "right", "top"), ("k", "latent", "part", "colour")
    bars["colour"] = [theme.split if part == "split" else theme.other for part in bars["part"]]
    ring = bars[bars["latent"] == selected] if selected is not None else bars.iloc[:0]
    labels = labels_of(bars)
    return Plot(
        figure,
        theme,
        [
            Layer(
                *("bars", hv.Rectangles, bars, *columns),
                look={
                    "line_color": None,
                    "tools": ["hover"],
                    "default_tools": [],
                    "hover_tooltips": tooltip(
                        ("k", "@k"), ("latent added", "@latent"), (SCORES[score], "@top{0.000}"), ("", "@part")
                    ),
                },
                glyph={"fill_color": field("colour")},
            ),
            Layer(
                *("selected", hv.Rectangles, ring, *columns),
                look={"fill_color": None, "line_color": theme.ink, "line_width": 2},
            ),
            Line(
                *("probe", hv.HLine, float("nan") if probe is None else probe),
                look={"color": theme.probe, "line_width": 1.5, "line_dash": "dashed"},
            ),
        ],
        (0.3, max(len(bars), 1) + 0.7),
        (0.0, 1.0),
        {
            "height": 300,
            "xlabel": "k, and the split latent added at k",
            "ylabel": f"{SCORES[score]} on the test split",
        },
        [lambda figure: name_ticks(figure.xaxis[0], labels), partial(_darken, theme=theme)],
    )


def bars_of(k_sparse: pd.DataFrame | None, score: str) -> pd.DataFrame:
    """Return position, k, latent and role of each bar."""
    if k_sparse is None or k_sparse.empty:
        return pd.DataFrame({name: pd.Series([], dtype="float64") for name in _COLUMNS})
    place = pd.RangeIndex(1, len(k_sparse) + 1).to_numpy()
    return pd.DataFrame(
        {
            "left": place - _HALF_BAR,
            "bottom": 0.0,
            "right": place + _HALF_BAR,
            "top": k_sparse[score].to_numpy(float),
            "k": k_sparse["k"].to_numpy(),
            "latent": k_sparse["latent"].to_numpy(),
            "part": ["split" if is_split else "not split" for is_split in k_sparse["is_split"]],
        }
    )


def labels_of(bars: pd.DataFrame) -> dict[float, str]:
    """Return the tick labels by x: k, and below it the latent if it is a split latent.

    Labels of neighbouring latents alternate between two lines, because on a phone a bar is narrower than its label.
    """
    labels: dict[float, str] = {}
    is_beside = False
    for place, bar in enumerate(bars.itertuples(), start=1):
        labels[place] = f"{bar.k:.0f}"
        is_named = bar.part == "split" and pd.notna(bar.latent)
        is_beside = is_named and not is_beside and place > 1 and "\n" in labels[place - 1]
        if is_named:
            labels[place] += ("\n\n" if is_beside else "\n") + f"{bar.latent:.0f}"
    return labels


def _darken(figure: Figure, theme: Theme) -> None:
    figure.xaxis[0].major_label_text_color = theme.ink
