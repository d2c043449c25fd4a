"""Every latent's cosine with the probe, split and absorbing latents marked: by index, by rank, as a distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
import pandas as pd
from tsdownsample import MinMaxLTTBDownsampler

from explorer.plots.layers import Layer, Line, Plot
from explorer.theme import BAND, Theme, drag_tools, tooltip

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Minimum range of the cosine axis, so that concepts and SAEs can be compared by eye.
Y_RANGE = (-0.3, 0.7)
#: Points that the grey line is reduced to. Peaks are kept (minmax-lttb); marks are drawn at exact values.
LINE_POINTS = 2000
HEIGHT = 360
_BINS = 120
_TOOLS = ["pan", "box_zoom", "xwheel_zoom", "reset"]
_FLOOR = 0.6  # base of the bars, because a logarithmic axis has no 0
_MARGIN = 0.04  # around the data, so that marks at its edges are not cut off, even on a phone
_EMPTY = pd.DataFrame({"latent": np.array([], int), "cosine": np.array([], float)})
_TOOLTIPS = tooltip(("latent", "@latent"), ("cosine", "@cosine{0.0000}"))


def with_x(cosines: pd.DataFrame | None, view: str) -> pd.DataFrame:
    """Add the column x: the index of each latent, or its rank by descending cosine, from 1.

    Parameters
    ----------
    cosines : DataFrame or None
        Columns latent and cosine, one row per latent.
    view : {"index", "rank"}

    Returns
    -------
    DataFrame
        Columns x, latent and cosine, by ascending x.
    """
    frame = _EMPTY if cosines is None else cosines
    if view == "rank":
        frame = frame.sort_values("cosine", ascending=False, kind="stable")
        return frame.assign(x=np.arange(1, len(frame) + 1))
    return frame.assign(x=frame["latent"])


def y_range(cosines: pd.DataFrame | None) -> tuple[float, float]:
    """Return the range of the cosine axis: `Y_RANGE`, extended to the data."""
    low, high = Y_RANGE
    if cosines is None or cosines["cosine"].isna().all():
        return low, high
    return min(low, float(cosines["cosine"].min()) - _MARGIN), max(high, float(cosines["cosine"].max()) + _MARGIN)


def cosine_plot(
    cosines: pd.DataFrame | None,
    *,
    split: Sequence[int],
    absorbing: Sequence[int],
    selected: int | None,
    threshold: float,
    brushed: tuple[float, float] | None = None,
    theme: Theme,
    touch: bool = False,
    view: str = "index",
    x_range: tuple[float, float] | None = None,
) -> Plot:
    """Draw the cosines of all latents as a grey line, with split and absorbing latents as marks on top.

    Parameters
    ----------
    cosines : DataFrame or None
        Columns latent and cosine; None draws the same elements, empty.
    split, absorbing : sequence of int
        Latents drawn as diamonds and as dots, at their exact values.
    selected : int or None
        Latent drawn with a ring.
    threshold : float
        Minimum cosine of an absorbing latent, drawn as a line.
    brushed : tuple of float, optional
        Selected range of cosines, drawn as a band.
    theme : Theme
    touch : bool
        Whether a drag scrolls the page rather than selects.
    view : {"index", "rank"}
    x_range : tuple of float, optional
        Visible range when zoomed in; only the line within it is reduced to `LINE_POINTS`.

    Returns
    -------
    Plot
        Layers: latents, threshold, brushed, split, absorbing, selected.
    """
    data = with_x(cosines, view)
    last = max(len(data), 1)
    # On the logarithmic axis of ranks, the margin is a share of the decades.
    span = (
        (0.9 * last**-_MARGIN, 1.1 * last ** (1 + _MARGIN))
        if view == "rank"
        else (-_MARGIN * last, (1 + _MARGIN) * last)
    )
    return Plot(
        "cosine",
        theme,
        [
            Layer(
                *("latents", hv.Curve, _reduced(data, view, x_range or span), ("x", "cosine"), ("latent",)),
                look={
                    "color": theme.other,
                    "line_width": 1 if view == "index" else 1.5,
                    "tools": ["hover", "ybox_select"],
                    "default_tools": _TOOLS,
                    "hover_tooltips": _TOOLTIPS,
                },
            ),
            Line("threshold", hv.HLine, threshold, _dotted(theme)),
            _band(brushed and (span[0], brushed[0], span[1], brushed[1]), theme),
            *_marks(data, ("x", "cosine"), split=split, absorbing=absorbing, selected=selected, theme=theme),
        ],
        span,
        y_range(cosines),
        {
            "height": HEIGHT,
            "logx": view == "rank",
            "xlabel": {"index": "latent", "rank": "rank by cosine (log)"}[view],
            "ylabel": "cosine with the probe",
            "active_tools": drag_tools(active=not touch),
        },
    )


def _reduced(line: pd.DataFrame, view: str, x_range: tuple[float, float]) -> pd.DataFrame:
    """Reduce the line to about `LINE_POINTS` within `x_range`, its peaks kept."""
    first, last = np.searchsorted(line["x"], x_range)
    within = line.iloc[first:last]
    if len(within) <= LINE_POINTS:
        return within
    if view == "index":
        chosen = MinMaxLTTBDownsampler().downsample(
            *(within[axis].to_numpy() for axis in ("x", "cosine")), n_out=LINE_POINTS
        )
    else:
        # A sorted line has no peaks, so points spread evenly over the log axis suffice.
        ranks = within["x"].to_numpy()
        chosen = np.unique(np.geomspace(ranks[0], ranks[-1], LINE_POINTS).round().astype(int)) - ranks[0]
    return within.iloc[chosen]


def _dotted(theme: Theme) -> dict[str, Any]:
    return {"color": theme.muted, "line_width": 1, "line_dash": "dotted"}


def _band(box: tuple[float, float, float, float] | None, theme: Theme) -> Layer:
    """Draw the selected range (left, bottom, right, top) like Bokeh's selection box, which disappears when released."""
    corners = ("left", "bottom", "right", "top")
    return Layer(
        *("brushed", hv.Rectangles, pd.DataFrame([] if box is None else [box], columns=corners, dtype=float), corners),
        look={"fill_color": theme.ink, "fill_alpha": BAND, "line_color": None},
    )


def _marks(
    data: pd.DataFrame,
    axes: tuple[str, str],
    *,
    split: Sequence[int],
    absorbing: Sequence[int],
    selected: int | None,
    theme: Theme,
) -> list[Layer]:
    """Draw split latents, absorbing latents and the selected one, except those without a cosine in `data`."""
    ringed = [] if selected is None else [selected]
    marked = _of(data, [*split, *absorbing, *ringed])
    marked = marked[~np.isnan(marked["cosine"].to_numpy(float))]

    def points(name: str, latents: Sequence[int], **look: Any) -> Layer:
        return Layer(name, hv.Points, _of(marked, latents), axes, ("latent",), look)

    def hover(role: str) -> dict[str, Any]:
        # For equal tooltips HoloViews creates one hover tool that covers only the first element, so the texts differ.
        text = tooltip((role, "@latent"), ("cosine", "@cosine{0.0000}"))
        return {"tools": ["hover"], "hover_tooltips": text, "line_color": theme.paper}

    others = [latent for latent in absorbing if latent not in set(split)]
    return [
        points("split", split, marker="diamond", size=13, color=theme.split, **hover("split latent")),
        points("absorbing", others, marker="circle", size=9, color=theme.absorbing, **hover("absorbing latent")),
        points("selected", ringed, marker="circle", size=20, fill_color=None, line_color=theme.ink, line_width=2),
    ]


def _of(data: pd.DataFrame, latents: Sequence[int]) -> pd.DataFrame:
    """Return the rows of these latents; numpy is faster here than pandas' isin, which hashes all latents."""
    return data.iloc[np.flatnonzero(np.isin(data["latent"].to_numpy(), np.array(latents, int)))]


def nearest_latent(
    data: pd.DataFrame,
    x: float,
    y: float,
    *,
    marked: Sequence[int],
    x_span: float,
    y_span: float,
    reach: float = 0.03,
) -> int | None:
    """Return the latent nearest to a tap, looked up in the full data.

    Parameters
    ----------
    data : DataFrame
        Result of `with_x`.
    x, y : float
        The tap, in data coordinates.
    marked : sequence of int
        Latents with marks; if one is within `reach`, it is preferred to all others.
    x_span, y_span : float
        Extent of the visible axes. The plot is assumed to be three times as wide as high.
    reach : float
        Maximum distance, as a share of the plot's height.

    Returns
    -------
    int or None
        The latent, or None if none is near.
    """
    if data.empty or not x_span or not y_span:
        return None
    distance = np.hypot(3 * (data["x"].to_numpy() - x) / x_span, (data["cosine"].to_numpy() - y) / y_span)
    distance = np.nan_to_num(distance, nan=np.inf)  # a latent without a cosine is not drawn
    latents = data["latent"].to_numpy()
    for is_candidate in (np.isin(latents, np.asarray(list(marked), int)), np.ones(len(data), dtype=bool)):
        near = np.where(is_candidate, distance, np.inf)
        best = int(np.argmin(near))
        if near[best] <= reach:
            return int(latents[best])
    return None


def cosine_distribution(
    cosines: pd.DataFrame | None,
    *,
    split: Sequence[int],
    absorbing: Sequence[int],
    selected: int | None,
    threshold: float,
    brushed: tuple[float, float] | None = None,
    theme: Theme,
    touch: bool = False,
) -> Plot:
    """Draw the histogram of the cosines (log counts), split and absorbing latents marked along the axis.

    Parameters and layers are those of `cosine_plot`, with bars instead of the line and axes exchanged.
    """
    data = _EMPTY if cosines is None else cosines
    low, high = y_range(cosines)
    counts, edges = np.histogram(data["cosine"].dropna(), bins=_BINS, range=(low, high))
    bars = pd.DataFrame({"left": edges[:-1], "bottom": _FLOOR, "right": edges[1:], "top": counts})[counts > 0]
    top = max(10.0, 2.0 * counts.max()) if len(counts) else 10.0
    return Plot(
        "cosine",
        theme,
        [
            Layer(
                *("latents", hv.Rectangles, bars, ("left", "bottom", "right", "top")),
                look={
                    "color": theme.other,
                    "line_color": theme.paper,
                    "tools": ["hover", "xbox_select"],
                    "default_tools": _TOOLS,
                    "hover_tooltips": tooltip(("cosine", "@left{0.000} to @right{0.000}"), ("latents", "@top")),
                },
            ),
            Line("threshold", hv.VLine, threshold, _dotted(theme)),
            _band(brushed and (brushed[0], _FLOOR, brushed[1], top), theme),
            *_marks(
                data.assign(latents=1.0),
                ("cosine", "latents"),
                split=split,
                absorbing=absorbing,
                selected=selected,
                theme=theme,
            ),
        ],
        (low, high),
        (_FLOOR, top),
        {
            "height": HEIGHT,
            "logy": True,
            "xlabel": "cosine with the probe",
            "ylabel": "latents (log)",
            "active_tools": drag_tools(active=not touch),
        },
    )
