"""Plots of the toy SAE on the page Learn: vectors, loss along the slider, training, and cosines with the probe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
import pandas as pd
from bokeh.core.properties import field

from explorer.learn.toy import INPUTS, KINDS, Toy, ToySae, absorption_loss, best_absorption, best_hedging, hedging_loss
from explorer.plots.layers import Layer, Line, Plot
from explorer.plots.node_link import labels
from explorer.theme import Theme, tooltip

if TYPE_CHECKING:
    from explorer.learn.training import Training

#: Pixels.
VECTORS_HEIGHT, HEIGHT = 320, 320
#: Labels of the kinds of input.
_SHORT = ("both", "parent", "child", "neither")
_CORNERS = ["x", "y", "x1", "y1"]
_SPAN = (-1.25, 1.65)
#: Width and height of the place that a name takes, in the units of the axes.
_NAME = (0.3, 0.2)
_GRID = 101
_NO_TOOLS: dict[str, Any] = {"default_tools": []}
_LOSSES = {"total": "loss", "sparsity": "sparsity, weighted", "error": "reconstruction error"}
#: Label of the slider's axis, by the number of latents.
AXES = {2: "absorption", 1: "hedging"}


def vectors_plot(sae: ToySae, *, probe: np.ndarray | None = None, theme: Theme) -> Plot:
    """Draw the decoder rows of an SAE as solid arrows, its encoder rows as dotted ones, and the kinds of input.

    Parameters
    ----------
    sae : ToySae
    probe : ndarray of shape (2,), optional
        Direction of the linear probe, drawn through the origin.
    theme : Theme

    Returns
    -------
    Plot
        Layers: probe, inputs, names of inputs, encoder, encoder heads, decoder, decoder heads, names.
    """
    along = np.zeros(2) if probe is None else probe / np.linalg.norm(probe)
    line = pd.DataFrame([[*(-3 * along), *(3 * along)]], columns=_CORNERS)
    decoder, encoder = _arrows(sae.decoder, theme), _arrows(sae.encoder, theme)
    # Beside the vertical axis, along which arrows go.
    named = [(x or x - _NAME[0], y, name) for (x, y), name in zip(INPUTS, _SHORT, strict=True)]
    texts = [text for rows in zip(decoder.itertuples(), encoder.itertuples(), strict=True) for text in _names(*rows)]
    return Plot(
        "toy-vectors",
        theme,
        [
            Layer(
                *("probe", hv.Segments, line, _CORNERS),
                look={"color": theme.probe, "line_width": 1.5, "line_dash": "dashed"} | _NO_TOOLS,
            ),
            Layer(
                *("inputs", hv.Points, pd.DataFrame({"x": INPUTS[:, 0], "y": INPUTS[:, 1], "kind": KINDS}), ("x", "y")),
                ("kind",),
                look={
                    "size": 9,
                    "color": theme.muted,
                    "tools": ["hover"],
                    "hover_tooltips": tooltip(("input", "@kind")),
                }
                | _NO_TOOLS,
            ),
            labels("names of inputs", named, (0, 10), text_color=theme.muted, text_align="center", text_baseline="top"),
            _shafts("encoder", encoder, 2, "dotted"),
            _heads("encoder heads", encoder),
            _shafts("decoder", decoder, 3, "solid"),
            _heads("decoder heads", decoder),
            labels("names", texts, (8, -8), text_color=theme.ink, text_align="left", text_baseline="bottom"),
        ],
        _SPAN,
        _SPAN,
        {"height": VECTORS_HEIGHT, "xlabel": "direction of the parent", "ylabel": "direction of the child"},
    )


def _names(decoder: Any, encoder: Any) -> list[tuple[float, float, str]]:
    """Name the heads of a latent's two arrows: both at once where two names would overlap."""
    number = f"{decoder.latent:.0f}"
    if abs(decoder.x1 - encoder.x1) < _NAME[0] and abs(decoder.y1 - encoder.y1) < _NAME[1]:
        return [(decoder.x1, decoder.y1, f"d{number}, e{number}")]
    aside = _NAME[0] if encoder.y1 < 0 else 0.0  # of the name of the input above
    return [(decoder.x1, decoder.y1, f"d{number}"), (encoder.x1 + aside, encoder.y1, f"e{number}")]


def _arrows(vectors: np.ndarray, theme: Theme) -> pd.DataFrame:
    latents = np.arange(1, len(vectors) + 1)
    return pd.DataFrame(
        {
            "x": 0.0,
            "y": 0.0,
            "x1": vectors[:, 0],
            "y1": vectors[:, 1],
            "latent": latents,
            # Bokeh's triangle points up.
            "angle": np.arctan2(vectors[:, 1], vectors[:, 0]) - np.pi / 2,
            "colour": [theme.split, theme.absorbing][: len(vectors)],
        }
    )


def _shafts(name: str, arrows: pd.DataFrame, width: float, dash: str) -> Layer:
    more = ("latent", "colour")
    look = {"line_width": width, "line_dash": dash} | _NO_TOOLS
    return Layer(name, hv.Segments, arrows, _CORNERS, more, look, {"line_color": field("colour")})


def _heads(name: str, arrows: pd.DataFrame) -> Layer:
    glyph = {
        "marker": "triangle",
        "angle": field("angle"),
        "fill_color": field("colour"),
        "line_color": field("colour"),
    }
    more = ("latent", "angle", "colour")
    return Layer(name, hv.Points, arrows, ("x1", "y1"), more, {"size": 11} | _NO_TOOLS, glyph)


def loss_plot(toy: Toy, *, num_latents: int, at: float | None, ends: Training | None = None, theme: Theme) -> Plot:
    """Draw the loss and its two terms along the slider, and mark the minimum.

    Parameters
    ----------
    toy : Toy
    num_latents : {1, 2}
        With one latent the SAE hedges, with two it absorbs.
    at : float or None
        Position of the slider; None draws no line.
    ends : Training, optional
        Trained SAEs, drawn as rings at their final absorption and loss.
    theme : Theme

    Returns
    -------
    Plot
        Layers: a curve for each of total, sparsity and error, least, ends, slider.
    """
    low, high = (-1.0, 1.0) if num_latents == 1 else (0.0, 1.0)
    data = loss_table(toy, num_latents, _GRID)
    best = best_hedging(toy) if num_latents == 1 else best_absorption(toy)
    least = hedging_loss(toy, best) if num_latents == 1 else absorption_loss(toy, best)
    rings = np.array([ends.absorption[-1], ends.loss[-1]]) if ends else np.zeros((2, 0))
    colours = {"total": theme.ink, "sparsity": theme.absorbing, "error": theme.split}
    x = hv.Dimension("x", label=AXES[num_latents])
    dashes = {"total": "solid", "sparsity": "dashed", "error": "dotdash"}
    return Plot(
        "toy-loss",
        theme,
        [
            *(
                Layer(
                    *(name, hv.Curve, data[["x", name]], (x, hv.Dimension(name, label="expected loss"))),
                    look={"color": colours[name], "line_width": 2, "line_dash": dashes[name]},
                )
                for name in _LOSSES
            ),
            Layer(
                *("least", hv.Points, pd.DataFrame({"x": [best], "y": [least.total]}), ("x", "y")),
                look={"size": 10, "color": theme.ink} | _NO_TOOLS,
            ),
            Layer(
                *("ends", hv.Points, pd.DataFrame({"x": rings[0], "y": rings[1]}), ("x", "y")),
                look={
                    "size": 16,
                    "fill_color": None,
                    "line_color": theme.absorbing,
                    "line_width": 2,
                    "tools": ["hover"],
                    "hover_tooltips": tooltip(("ended at", "@x{0.00}"), ("loss", "@y{0.0000}")),
                }
                | _NO_TOOLS,
            ),
            Line(
                *("slider", hv.VLine, float("nan") if at is None else at),
                look={"color": theme.ink, "line_width": 1.5, "line_dash": "dotted"},
            ),
        ],
        (min([low, *rings[0]]) - 0.04, high + 0.04),
        (0.0, 1.15 * float(data["total"].max())),
        {"height": HEIGHT, "xlabel": AXES[num_latents], "ylabel": "expected loss"},
    )


def loss_table(toy: Toy, num_latents: int, rows: int) -> pd.DataFrame:
    """Return the loss along the slider: columns x, total, sparsity (weighted) and error."""
    x = np.linspace(-1.0 if num_latents == 1 else 0.0, 1.0, rows)
    loss = hedging_loss(toy, x) if num_latents == 1 else absorption_loss(toy, x)
    return pd.DataFrame({"x": x, "total": loss.total, "sparsity": toy.sparsity * loss.sparsity, "error": loss.error})


def training_plot(training: Training | None, *, best: float, theme: Theme) -> Plot:
    """Draw the measured absorption of each SAE over its training steps.

    Parameters
    ----------
    training : Training or None
        None draws the same elements, empty.
    best : float
        Absorption at the minimum of the theoretical loss, drawn as a dashed line.
    theme : Theme

    Returns
    -------
    Plot
        Layers: least, paths, ends.
    """
    steps = np.zeros(0) if training is None else training.steps
    places = np.zeros((0, 0)) if training is None else training.absorption
    # Unknown values are omitted from the paths.
    known = [np.isfinite(path) for path in places.T]
    xs = [steps[is_known] for is_known in known]
    ys = [path[is_known] for path, is_known in zip(places.T, known, strict=True)]
    starts = list(range(1, len(xs) + 1))
    lowest = min([-0.1, *(float(path.min()) for path in ys if len(path))])
    last = float(steps[-1]) if len(steps) else 1.0
    ends = pd.DataFrame(
        {"x": np.full(len(ys), last), "y": [path[-1] if len(path) else np.nan for path in ys], "start": starts}
    )
    return Plot(
        "toy-training",
        theme,
        [
            Line("least", hv.HLine, best, {"color": theme.ink, "line_width": 1.5, "line_dash": "dashed"}),
            Layer(
                *("paths", hv.Contours, {"xs": xs, "ys": ys, "start": starts}, ("x", "y"), ("start",)),
                look={"color": theme.absorbing, "line_width": 1.5, "alpha": 0.7, "cmap": [theme.absorbing]} | _NO_TOOLS,
            ),
            Layer(
                *("ends", hv.Points, ends, ("x", "y"), ("start",)),
                look={
                    "size": 10,
                    "color": theme.absorbing,
                    "tools": ["hover"],
                    "hover_tooltips": tooltip(("start", "@start"), ("ended at", "@y{0.00}")),
                }
                | _NO_TOOLS,
            ),
        ],
        (0.0, 1.03 * last),
        (max(lowest, -1.0) - 0.05, 1.1),
        {"height": HEIGHT, "xlabel": "training step", "ylabel": "measured absorption"},
    )


def cosines_plot(cosines: np.ndarray, along: np.ndarray, *, at: float, threshold: float, theme: Theme) -> Plot:
    """Draw the cosines of both decoder rows with the probe along the slider.

    Parameters
    ----------
    cosines : ndarray of shape (positions, 2)
    along : ndarray of shape (positions,)
        Absorption at each position.
    at : float
        Position of the slider.
    threshold : float
        Minimum cosine of an absorbing latent.
    theme : Theme

    Returns
    -------
    Plot
        Layers: latent 1, latent 2, threshold, slider.
    """
    colours = (theme.split, theme.absorbing)
    x = hv.Dimension("x", label="absorption")
    return Plot(
        "toy-cosines",
        theme,
        [
            *(
                Layer(
                    *(f"latent {latent}", hv.Curve, pd.DataFrame({"x": along, f"latent {latent}": values})),
                    (x, hv.Dimension(f"latent {latent}", label="cosine with the probe")),
                    look={"color": colour, "line_width": 2.5, "line_dash": dash},
                )
                for latent, (values, colour, dash) in enumerate(
                    zip(cosines.T, colours, ("dashed", "solid"), strict=True), 1
                )
            ),
            Line("threshold", hv.HLine, threshold, {"color": theme.muted, "line_width": 1.5, "line_dash": "dotted"}),
            Line("slider", hv.VLine, at, {"color": theme.ink, "line_width": 1.5, "line_dash": "dotted"}),
        ],
        (-0.04, 1.04),
        (min(-0.05, float(cosines.min()) - 0.05, threshold - 0.05), 1.08),
        {"height": HEIGHT, "xlabel": "absorption", "ylabel": "cosine with the probe"},
    )
