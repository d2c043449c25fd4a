"""Precision and recall of the main latent over all SAEs of a suite: against L0, and against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
import pandas as pd
from bokeh.models import ColorBar, FixedTicker

from explorer.format import l0_label
from explorer.plots.sae_style import sae_keys, styled, told_apart_by
from explorer.theme import Theme, figure_hook, fit_hook, tooltip

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from explorer.saes import Sae

#: x, y and, where it is not how SAEs are told apart, the colour of each panel, by the name of its figure.
PANELS = {
    "precision-vs-l0": ("l0", "precision", None),
    "recall-vs-l0": ("l0", "recall", None),
    "precision-vs-recall": ("recall", "precision", "l0"),
}
_LABELS = {"l0": "L0, active latents a token", "precision": "precision", "recall": "recall"}
_TOOLTIPS = tooltip(
    ("SAE", "@name"),
    ("L0", "@said_l0"),
    ("precision", "@precision{0.000}"),
    ("recall", "@recall{0.000}"),
)
_COLUMNS = ("suite", "sae", "name", "said_l0", "l0", "precision", "recall", "root_l0", "colour", "marker")
_TEXT = ("suite", "sae", "name", "said_l0", "colour", "marker")
_NUM_TICKS = 5


def sae_scores_plot(
    scores: pd.DataFrame | None,
    panel: str,
    *,
    saes: Mapping[tuple[str, str], Sae],
    current: tuple[str, str] | None,
    theme: Theme,
) -> hv.Overlay:
    """Draw one panel: a point an SAE, the current one ringed.

    Parameters
    ----------
    scores : DataFrame or None
        Answer of the query `sae_scores`; None draws the same elements, empty.
    panel : str
        Key of `PANELS`, the figure's name.
    saes : mapping of (str, str) to Sae
        The SAEs by suite and id, for their names.
    current : tuple of str or None
        Suite and id of the SAE shown.
    theme : Theme

    Returns
    -------
    Overlay
        Points (SAEs), Points (current).
    """
    x, y, colour = PANELS[panel]
    # Dressed before any SAE is left out: each looks the same everywhere.
    data = known_l0s(_points(scores, saes, theme))
    dimensions = ([hv.Dimension(x, label=_LABELS[x]), hv.Dimension(y, label=_LABELS[y])],)
    extra = [name for name in _COLUMNS if name not in (x, y)]
    ring = data[[key == current for key in sae_keys(data)]] if len(data) else data
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
    return frame[frame["l0"].notna()]


def _points(scores: pd.DataFrame | None, saes: Mapping[tuple[str, str], Sae], theme: Theme) -> pd.DataFrame:
    if scores is None or scores.empty:
        return pd.DataFrame({name: pd.Series([], dtype="object" if name in _TEXT else "float64") for name in _COLUMNS})
    dressed = styled(scores, saes, told_apart_by(scores), theme)
    dressed = dressed.assign(said_l0=scores["l0"].map(l0_label))
    return dressed.assign(root_l0=np.sqrt(scores["l0"].to_numpy(float)))[list(_COLUMNS)]


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
