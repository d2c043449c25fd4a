"""Precision and recall of the main latent over all SAEs of a suite: against L0, and against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import holoviews as hv
import pandas as pd
from bokeh.core.properties import field

from explorer.format import l0_label
from explorer.plots.layers import Layer, Plot
from explorer.plots.sae_style import distinguishing_attribute, sae_keys, styled
from explorer.theme import Theme, tooltip

if TYPE_CHECKING:
    from collections.abc import Mapping

    from explorer.saes import Sae

#: x and y of each panel, by the name of its figure.
PANELS = {
    "precision-vs-l0": ("l0", "precision"),
    "recall-vs-l0": ("l0", "recall"),
    "precision-vs-recall": ("recall", "precision"),
}
_LABELS = {"l0": "L0, active latents per token", "precision": "precision", "recall": "recall"}
_TOOLTIPS = tooltip(
    ("SAE", "@name"),
    ("L0", "@formatted_l0"),
    ("precision", "@precision{0.000}"),
    ("recall", "@recall{0.000}"),
)
_COLUMNS = ("suite", "sae", "name", "formatted_l0", "l0", "precision", "recall", "colour", "marker")
_TEXT = ("suite", "sae", "name", "formatted_l0", "colour", "marker")


def sae_scores_plot(
    scores: pd.DataFrame | None,
    panel: str,
    *,
    saes: Mapping[tuple[str, str], Sae],
    current: tuple[str, str] | None,
    theme: Theme,
) -> Plot:
    """Draw one panel: one point per SAE, the current one ringed.

    Parameters
    ----------
    scores : DataFrame or None
        Result of the query `sae_scores`; None draws the same elements, empty.
    panel : str
        Key of `PANELS`, the figure's name.
    saes : mapping of (str, str) to Sae
        The SAEs by suite and id, for their labels.
    current : tuple of str or None
        Suite and id of the SAE shown.
    theme : Theme

    Returns
    -------
    Plot
        Layers: SAEs, current.
    """
    x, y = PANELS[panel]
    # Styled before SAEs are omitted, so that each has the same colour and marker in every panel.
    data = with_known_l0(_points(scores, saes, theme))
    ring = data[[key == current for key in sae_keys(data)]] if len(data) else data
    more = [name for name in _COLUMNS if name not in (x, y)]
    return Plot(
        panel,
        theme,
        [
            Layer(
                *("SAEs", hv.Points, data, (x, y), more),
                look={
                    "size": 9,
                    "line_color": theme.paper,
                    "tools": ["hover"],
                    "default_tools": ["pan", "box_zoom", "reset"],
                    "hover_tooltips": _TOOLTIPS,
                },
                glyph={"marker": field("marker"), "fill_color": field("colour")},
            ),
            Layer(
                *("current", hv.Points, ring, (x, y), more),
                look={"marker": "circle", "size": 18, "fill_color": None, "line_color": theme.ink, "line_width": 2},
            ),
        ],
        (0.0, 1.0 if x == "recall" or data.empty else 1.08 * float(data["l0"].max())),
        (0.0, 1.02),
        {"height": 280, "xlabel": _LABELS[x], "ylabel": _LABELS[y]},
    )


def with_known_l0(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of SAEs whose L0 is known; the others cannot be drawn."""
    return frame[frame["l0"].notna()]


def _points(scores: pd.DataFrame | None, saes: Mapping[tuple[str, str], Sae], theme: Theme) -> pd.DataFrame:
    if scores is None or scores.empty:
        return pd.DataFrame({name: pd.Series([], dtype="object" if name in _TEXT else "float64") for name in _COLUMNS})
    styled_scores = styled(scores, saes, distinguishing_attribute(scores), theme)
    return styled_scores.assign(formatted_l0=scores["l0"].map(l0_label))[list(_COLUMNS)]
