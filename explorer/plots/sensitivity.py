"""The absorption rate as a function of one threshold: of this SAE, and the mean over all SAEs."""

from __future__ import annotations

import holoviews as hv
import pandas as pd

from explorer.plots.layers import Layer, Line, Plot
from explorer.theme import Theme, in_percent, tooltip

HEIGHT = 240
LABELS = {
    "tau": "tau, minimum F1 gain per split latent",
    "cosine_threshold": "cosine threshold",
    "effect_margin": "effect margin, logits",
}
_RATES = ["absorption_rate", "suite_absorption_rate"]
_TOOLTIPS = tooltip(
    ("threshold", "@value{0.000}"),
    ("this SAE", "@absorption_rate{0.0%}"),
    ("mean over SAEs", "@suite_absorption_rate{0.0%}"),
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
) -> Plot:
    """Draw the absorption rate over a threshold.

    Parameters
    ----------
    sensitivity : DataFrame or None
        Result of the query `threshold_sensitivity`; None draws the same elements, empty.
    of : str
        Name of the threshold.
    span : tuple of float
        Lowest and highest value shown.
    current, published : float
        The current value, and the suite's own.
    rate : str
        Name of the metric's rate, for example "absorption rate".
    theme : Theme

    Returns
    -------
    Plot
        Layers: mean over SAEs, this SAE, values (for hovering), own (the suite's own value), in force.
    """
    data = _data(sensitivity)
    highest = float(data[_RATES].max().max()) if len(data) else float("nan")
    value = hv.Dimension("value", label=LABELS[of])
    of_sae, mean = (hv.Dimension(name, label=rate) for name in _RATES)
    return Plot(
        "threshold-sensitivity",
        theme,
        [
            Layer("mean over SAEs", hv.Curve, data, (value, mean), look={"color": theme.muted, "line_width": 1.5}),
            Layer("this SAE", hv.Curve, data, (value, of_sae), look={"color": theme.absorbing, "line_width": 2}),
            Layer(
                *("values", hv.Points, data, (value, of_sae), ("suite_absorption_rate", "num_absorbed")),
                look={"size": 9, "alpha": 0, "tools": ["hover"], "default_tools": [], "hover_tooltips": _TOOLTIPS},
            ),
            Line(
                *("own", hv.VLine, published),
                look={"color": theme.muted, "line_width": 1.5, "line_dash": "dashed"},
            ),
            Line("in force", hv.VLine, current, look={"color": theme.ink, "line_width": 1.5}),
        ],
        span,
        (0.0, 1.1 * highest if highest > 0 else 1.0),
        {"height": HEIGHT, "xlabel": LABELS[of], "ylabel": rate},
        [in_percent],
    )


def _data(sensitivity: pd.DataFrame | None) -> pd.DataFrame:
    if sensitivity is None:
        return pd.DataFrame({name: pd.Series([], dtype="float64") for name in ["value", *_RATES, "num_absorbed"]})
    return sensitivity
