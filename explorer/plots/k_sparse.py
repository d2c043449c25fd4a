"""Score of the k-sparse probes over k: split latents' bars stand out, the linear probe is the line to reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
import pandas as pd
from bokeh.models import FixedTicker

from explorer.theme import Theme, figure_hook, fit_hook, tooltip

if TYPE_CHECKING:
    from collections.abc import Callable

SCORES = {"f1": "F1", "precision": "precision", "recall": "recall", "auc": "AUC"}
_COLUMNS = ["left", "bottom", "right", "top", "k", "latent", "part"]
_HALF_BAR = 0.38


def k_sparse_plot(
    k_sparse: pd.DataFrame | None, *, score: str, probe: float | None, selected: int | None, theme: Theme
) -> hv.Overlay:
    """Draw one bar a k; bar number n stands at x = n, so that k = 1..15 stand at their own values.

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

    Returns
    -------
    Overlay
        Rectangles (bars), Rectangles (selected), HLine (probe).
    """
    bars = bars_of(k_sparse, score)
    dimensions = (["left", "bottom", "right", "top"], ["k", "latent", "part", "colour"])
    bars["colour"] = [theme.split if part == "split" else theme.other for part in bars["part"]]
    x_span = (0.3, max(len(bars), 1) + 0.7)
    ring = bars[bars["latent"] == selected] if selected is not None else bars.iloc[:0]
    return (
        hv.Rectangles(bars, *dimensions).opts(
            color="colour",
            line_color=None,
            tools=["hover"],
            default_tools=[],
            hover_tooltips=tooltip(
                ("k", "@k"), ("latent added", "@latent"), (SCORES[score], "@top{0.000}"), ("", "@part")
            ),
        )
        * hv.Rectangles(ring, *dimensions).opts(fill_color=None, line_color=theme.ink, line_width=2)
        * hv.HLine(float("nan") if probe is None else probe).opts(color=theme.probe, line_width=1.5, line_dash="dashed")
    ).opts(
        hv.opts.Overlay(
            hooks=[figure_hook("k-sparse", theme), fit_hook(x_span, (0.0, 1.0)), _label_bars(bars, theme)],
            responsive=True,
            height=300,
            xlim=x_span,
            ylim=(0, 1),
            xlabel="k, and the latent that each split adds",
            ylabel=f"{SCORES[score]} on the test split",
            show_legend=False,
            active_tools=[],
        )
    )


def bars_of(k_sparse: pd.DataFrame | None, score: str) -> pd.DataFrame:
    """Say where each bar stands and what it means."""
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


def labels_of(bars: pd.DataFrame) -> dict[int, str]:
    """Write k, and below it the latent of each split, for each bar.

    The latents stand on two lines in turn, for on a phone a bar is narrower than its latent's number.
    """
    labels = {}
    for place, bar in enumerate(bars.itertuples(), start=1):
        labels[place] = f"{bar.k:.0f}"
        if bar.part == "split" and pd.notna(bar.latent):
            labels[place] += ("\n" if place % 2 else "\n\n") + f"{bar.latent:.0f}"
    return labels


def _label_bars(bars: pd.DataFrame, theme: Theme) -> Callable[[Any, Any], None]:
    """Make a hook that writes the labels under the bars."""
    labels = labels_of(bars)

    def label(plot: Any, _element: Any) -> None:
        axis = plot.state.xaxis[0]
        axis.update(
            ticker=FixedTicker(ticks=list(labels)), major_label_overrides=labels, major_label_text_color=theme.ink
        )

    return label
