"""Precision and recall of the main latent over all SAEs of a suite: against L0, and against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
import pandas as pd
from bokeh.models import ColorBar, FixedTicker

from explorer.format import width_label
from explorer.theme import Theme, figure_hook, fit_hook, tooltip, width_colours

if TYPE_CHECKING:
    from collections.abc import Callable

MARKERS = ("circle", "square", "triangle", "inverted_triangle")
_GLYPHS = "●■▲▼"
#: x, y and colour of each panel, by the name of its figure.
PANELS = {
    "precision-vs-l0": ("l0", "precision", "width"),
    "recall-vs-l0": ("l0", "recall", "width"),
    "precision-vs-recall": ("recall", "precision", "l0"),
}
_LABELS = {"l0": "L0, active latents a token", "precision": "precision", "recall": "recall"}
_TOOLTIPS = tooltip(
    ("layer", "@layer"),
    ("width", "@width"),
    ("L0", "@l0"),
    ("precision", "@precision{0.000}"),
    ("recall", "@recall{0.000}"),
)
_NUM_TICKS = 5


def sae_scores_plot(
    scores: pd.DataFrame | None, panel: str, *, current: tuple[int, int, int] | None, theme: Theme
) -> hv.Overlay:
    """Draw one panel: a point an SAE, the current one ringed.

    Parameters
    ----------
    scores : DataFrame or None
        Columns layer, width, l0, precision, recall, means over the letters; None draws the same elements, empty.
    panel : str
        Key of `PANELS`, the figure's name.
    current : tuple of int or None
        Layer, width and L0 of the SAE shown.
    theme : Theme

    Returns
    -------
    Overlay
        Points (SAEs), Points (current).
    """
    x, y, colour = PANELS[panel]
    # Dressed before any SAE is left out: a width looks the same everywhere.
    data = known_l0s(_points(scores, theme))
    dimensions = ([hv.Dimension(x, label=_LABELS[x]), hv.Dimension(y, label=_LABELS[y])],)
    extra = [
        name
        for name in ("layer", "width", "l0", "precision", "recall", "root_l0", "colour", "marker")
        if name not in (x, y)
    ]
    keys = list(zip(data["layer"], data["width"], data["l0"], strict=True))
    ring = data[[key == current for key in keys]] if keys else data
    roots = np.sqrt(data["l0"].to_numpy(float))
    by_l0 = {
        "color": "root_l0",
        "cmap": list(theme.widths),
        "clim": (float(roots.min()), float(roots.max()) + 1e-9) if len(roots) else (0.0, 1.0),
        "colorbar": True,
        "colorbar_opts": {"width": 8, "background_fill_color": None},
    }
    points = hv.Points(data, *dimensions, extra).opts(
        size=9,
        marker="marker",
        line_color=theme.paper,
        tools=["hover"],
        default_tools=["pan", "box_zoom", "reset"],
        hover_tooltips=_TOOLTIPS,
        **(by_l0 if colour == "l0" else {"color": "colour"}),
    )
    marked = hv.Points(ring, *dimensions, extra).opts(
        marker="circle", size=18, fill_color=None, line_color=theme.ink, line_width=2
    )
    x_span = (0.0, 1.0 if x == "recall" or data.empty else 1.08 * float(data["l0"].max()))
    y_span = (0.0, 1.02)
    return (points * marked).opts(
        hv.opts.Overlay(
            hooks=[figure_hook(panel, theme), fit_hook(x_span, y_span), _label_colour_bar(data["l0"], theme)],
            responsive=True,
            height=280,
            xlim=x_span,
            ylim=y_span,
            show_legend=False,
            active_tools=[],
        )
    )


def known_l0s(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of SAEs whose L0 is known; the others have no place on its axis."""
    return frame[frame["l0"] >= 0]


def _points(scores: pd.DataFrame | None, theme: Theme) -> pd.DataFrame:
    if scores is None or scores.empty:
        names = ("layer", "width", "l0", "precision", "recall", "root_l0", "colour", "marker")
        return pd.DataFrame(
            {name: pd.Series([], dtype="object" if name in names[-2:] else "float64") for name in names}
        )
    widths = sorted(scores["width"].unique())
    colours = width_colours(widths, theme)
    return scores.assign(
        root_l0=np.sqrt(scores["l0"].clip(lower=0).to_numpy(float)),
        colour=[colours[width] for width in scores["width"]],
        marker=[MARKERS[widths.index(width) % len(MARKERS)] for width in scores["width"]],
    )


def _label_colour_bar(l0: pd.Series, theme: Theme) -> Callable[[Any, Any], None]:
    """Make a hook that labels the square-root colour bar with the L0 that each place on it means."""
    roots = np.sqrt(l0.to_numpy(float))
    places = np.linspace(roots.min(), roots.max(), _NUM_TICKS) if len(roots) else np.array([])
    labels = {float(np.sqrt(value)): f"{value:.0f}" for value in np.unique(np.round(places**2))}

    def label(plot: Any, _element: Any) -> None:
        for bar in plot.state.select(ColorBar):
            bar.update(
                ticker=FixedTicker(ticks=list(labels)),
                major_label_overrides=labels,
                major_label_text_color=theme.muted,
                title="L0",
                title_text_color=theme.muted,
                title_text_font_style="normal",
                major_tick_line_color=None,
            )

    return label


def width_legend(widths: list[int], theme: Theme) -> list[tuple[str, str, str]]:
    """Say how each of the sorted `widths` is drawn: its label, its colour, and a character of its marker's shape."""
    colours = width_colours(widths, theme)
    return [(width_label(width), colours[width], _GLYPHS[place % len(_GLYPHS)]) for place, width in enumerate(widths)]
