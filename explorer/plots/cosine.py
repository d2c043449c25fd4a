"""Every latent's cosine with the probe, split and absorbing latents marked: by index, by rank, as a distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
import pandas as pd
from tsdownsample import MinMaxLTTBDownsampler

from explorer.plots.layers import Layer, Line, Plot
from explorer.theme import BAND, Theme, brush, tooltip

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Every cosine plot shows at least this range, so that concepts and SAEs can be compared by eye.
Y_RANGE = (-0.3, 0.7)
#: Points that the grey line is reduced to; peaks survive (minmax-lttb), and marks are drawn from exact values.
LINE_POINTS = 2000
HEIGHT = 360
_BINS = 120
_TOOLS = ["pan", "box_zoom", "xwheel_zoom", "reset"]
_FLOOR = 0.6  # a logarithmic axis has no zero to stand on
_AIR = 0.04  # around the data, so that marks at its edges are whole on a phone, too
_EMPTY = pd.DataFrame({"latent": np.array([], int), "cosine": np.array([], float)})
_TOOLTIPS = tooltip(("latent", "@latent"), ("cosine", "@cosine{0.0000}"))


def place(cosines: pd.DataFrame | None, view: str) -> pd.DataFrame:
    """Give each latent its x: its index, or its rank from the highest cosine (1) down.

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
    """Return the range of the cosine axis: `Y_RANGE`, wider where the data is."""
    low, high = Y_RANGE
    if cosines is None or cosines["cosine"].isna().all():
        return low, high
    return min(low, float(cosines["cosine"].min()) - _AIR), max(high, float(cosines["cosine"].max()) + _AIR)


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
    """Draw all cosines as a quiet line with the latents that matter on top.

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
        Range of cosines drawn as a band.
    theme : Theme
    touch : bool
        Whether a drag is left to scroll the page.
    view : {"index", "rank"}
    x_range : tuple of float, optional
        The part that is zoomed in on: only this is reduced to `LINE_POINTS`.

    Returns
    -------
    Plot
        Layers: latents, threshold, brushed, split, absorbing, selected.
    """
    data = place(cosines, view)
    last = max(len(data), 1)
    # On the logarithmic axis of ranks, air is a share of the decades.
    span = (0.9 * last**-_AIR, 1.1 * last ** (1 + _AIR)) if view == "rank" else (-_AIR * last, (1 + _AIR) * last)
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
            "active_tools": brush(active=not touch),
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
        # A sorted line has no peaks to lose: places spread evenly over the log axis serve.
        ranks = within["x"].to_numpy()
        chosen = np.unique(np.geomspace(ranks[0], ranks[-1], LINE_POINTS).round().astype(int)) - ranks[0]
    return within.iloc[chosen]


def _dotted(theme: Theme) -> dict[str, Any]:
    return {"color": theme.muted, "line_width": 1, "line_dash": "dotted"}


def _band(box: tuple[float, float, float, float] | None, theme: Theme) -> Layer:
    """Draw what is brushed (left, bottom, right, top) the way Bokeh's own box looks, which is gone once released."""
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
    """Draw split latents, absorbing latents and the selected one where `data` has them; those without a cosine not."""
    ringed = [] if selected is None else [selected]
    marked = _of(data, [*split, *absorbing, *ringed])
    marked = marked[~np.isnan(marked["cosine"].to_numpy(float))]

    def points(name: str, latents: Sequence[int], **look: Any) -> Layer:
        return Layer(name, hv.Points, _of(marked, latents), axes, ("latent",), look)

    def hover(role: str) -> dict[str, Any]:
        # HoloViews gives elements with the same text one hover tool, which knows the first of them only.
        text = tooltip((role, "@latent"), ("cosine", "@cosine{0.0000}"))
        return {"tools": ["hover"], "hover_tooltips": text, "line_color": theme.paper}

    others = [latent for latent in absorbing if latent not in set(split)]
    return [
        points("split", split, marker="diamond", size=13, color=theme.split, **hover("split latent")),
        points("absorbing", others, marker="circle", size=9, color=theme.absorbing, **hover("absorbing latent")),
        points("selected", ringed, marker="circle", size=20, fill_color=None, line_color=theme.ink, line_width=2),
    ]


def _of(data: pd.DataFrame, latents: Sequence[int]) -> pd.DataFrame:
    """Return the rows of some latents; pandas' isin would build a hash table of all latents."""
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
    """Find the latent meant by a tap, from the full data.

    Parameters
    ----------
    data : DataFrame
        What `place` returns.
    x, y : float
        The tap, in data coordinates.
    marked : sequence of int
        Latents that are drawn large; within `reach` one of them wins over the crowd.
    x_span, y_span : float
        Extent of the visible axes. The plot is taken as three times as wide as high.
    reach : float
        Share of the plot's height.

    Returns
    -------
    int or None
        The latent, None where nothing is near.
    """
    if data.empty or not x_span or not y_span:
        return None
    distance = np.hypot(3 * (data["x"].to_numpy() - x) / x_span, (data["cosine"].to_numpy() - y) / y_span)
    distance = np.nan_to_num(distance, nan=np.inf)  # a latent without a cosine is nowhere
    latents = data["latent"].to_numpy()
    for crowd in (np.isin(latents, np.asarray(list(marked), int)), np.ones(len(data), dtype=bool)):
        near = np.where(crowd, distance, np.inf)
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
    """Draw how many latents have which cosine (log count), split and absorbing latents marked along the axis.

    Parameters and layers are those of `cosine_plot`, with bars in place of the line and axes exchanged.
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
            "active_tools": brush(active=not touch),
        },
    )
