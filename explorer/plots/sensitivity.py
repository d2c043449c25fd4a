"""How the absorption rate depends on one threshold: of this SAE, and the mean of all."""

from __future__ import annotations

import holoviews as hv
import pandas as pd

from explorer.theme import Theme, figure_hook, fit_hook, in_percent, tooltip

HEIGHT = 240
LABELS = {
    "tau": "tau, rise of F1 by a split latent",
    "cosine_threshold": "cosine threshold",
    "effect_margin": "effect margin, logits",
}
_RATES = ["absorption_rate", "suite_absorption_rate"]
_TOOLTIPS = tooltip(
    ("threshold", "@value{0.000}"),
    ("this SAE", "@absorption_rate{0.0 %}"),
    ("mean over SAEs", "@suite_absorption_rate{0.0 %}"),
    ("absorbed on this SAE", "@num_absorbed"),
)


def sensitivity_plot(
    sensitivity: pd.DataFrame | None,
    *,
    of: str,
    span: tuple[float, float],
    current: float,
    published: float,
    rate: str,
    theme: Theme,
) -> hv.Overlay:
    """Draw the absorption rate against a threshold.

    Parameters
    ----------
    sensitivity : DataFrame or None
        Answer of the query `threshold_sensitivity`; None draws the same elements, empty.
    of : str
        Name of the threshold.
    span : tuple of float
        Lowest and highest value shown.
    current, published : float
        The value in force, and the suite's own.
    rate : str
        What the metric gives, as in absorption rate.
    theme : Theme

    Returns
    -------
    Overlay
        Curve (mean over SAEs), Curve (this SAE), Points (for hovering), VLine (the suite's own value),
        VLine (the value in force).
    """
    data = _data(sensitivity)
    value = hv.Dimension("value", label=LABELS[of])
    of_sae, mean = (hv.Dimension(name, label=rate) for name in _RATES)
    highest = float(data[_RATES].max().max()) if len(data) else float("nan")
    top = 1.1 * highest if highest > 0 else 1.0
    return (
        hv.Curve(data, value, [mean]).opts(color=theme.muted, line_width=1.5)
        * hv.Curve(data, value, [of_sae]).opts(color=theme.absorbing, line_width=2)
        * hv.Points(data, [value, of_sae], ["suite_absorption_rate", "num_absorbed"]).opts(
            size=9, alpha=0, tools=["hover"], default_tools=[], hover_tooltips=_TOOLTIPS
        )
        * hv.VLine(published).opts(color=theme.muted, line_width=1.5, line_dash="dashed")
        * hv.VLine(current).opts(color=theme.ink, line_width=1.5)
    ).opts(
        hv.opts.Overlay(
            hooks=[figure_hook("threshold-sensitivity", theme), fit_hook(span, (0.0, top)), in_percent],
            responsive=True,
            height=HEIGHT,
            xlim=span,
            ylim=(0, top),
            xlabel=LABELS[of],
            ylabel=rate,
            show_legend=False,
            active_tools=[],
        )
    )


def _data(sensitivity: pd.DataFrame | None) -> pd.DataFrame:
    if sensitivity is None:
        return pd.DataFrame({name: pd.Series([], dtype="float64") for name in ["value", *_RATES, "num_absorbed"]})
    return sensitivity
