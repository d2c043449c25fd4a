"""Colours by role, in a light and a dark theme, and the style of figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from bokeh.models import BoxSelectTool, BoxZoomTool, FixedTicker, LogTickFormatter, NumeralTickFormatter, WheelZoomTool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bokeh.models import Axis, ColorBar
    from bokeh.models import Plot as Figure

_FOCUS = (
    ".bk-Canvas {--outline-width: var(--ax-figure-focus); --outline-style: solid; --highlight-color: var(--ax-split);}"
)
#: Opacity of a selected range, in the colour of the text.
BAND = 0.08
FONT = "Inter, ui-sans-serif, system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
MONO = "ui-monospace, 'SF Mono', 'Cascadia Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"


@dataclass(frozen=True)
class Theme:
    """Colours by role (Okabe-Ito where a colour carries meaning); the same names are CSS variables ``--ax-<role>``.

    A latent's role is never shown by colour alone: split latents are diamonds, absorbing latents dots, the probe is
    dashed, the selected latent a ring.
    """

    name: str
    paper: str
    panel: str
    ink: str
    muted: str
    rule: str
    split: str
    absorbing: str
    other: str
    probe: str
    categories: tuple[str, ...]
    widths: tuple[str, ...]
    rates: tuple[str, ...]
    #: Factor of the text size, for presentations.
    scale: float = 1


LIGHT = Theme(
    name="light",
    paper="#ffffff",
    panel="#f6f7f8",
    ink="#1b1f24",
    muted="#5c6670",
    rule="#e1e4e8",
    split="#0072b2",
    absorbing="#d55e00",
    other="#c4c8ce",
    probe="#1b1f24",
    categories=("#3b6fb6", "#b5651d", "#2f8f6b", "#8d5bb5", "#c2457a", "#6b7a1f", "#1f8ea3", "#5b5f66"),
    widths=("#8fb4d9", "#4a86c5", "#1f5a9e", "#0b2f5e"),
    rates=("#fdf0e4", "#f7cfa6", "#ee9f5c", "#d9681d", "#9a3c05"),
)

DARK = Theme(
    name="dark",
    paper="#14171a",
    panel="#1c2024",
    ink="#e8eaed",
    muted="#9aa4ae",
    rule="#2d3338",
    split="#56b4e9",
    absorbing="#ff8a3d",
    other="#4a4f57",
    probe="#e8eaed",
    categories=("#7fb0f0", "#e0a15c", "#6cc9a1", "#c39be6", "#f08bb4", "#b9c65c", "#5fc7da", "#a9b0b8"),
    widths=("#2f5f96", "#4f8ed1", "#8cbcf0", "#d0e5fb"),
    rates=("#33241a", "#6b3f1c", "#a85f22", "#e08a3c", "#ffc58a"),
)


_LARGE = {which: replace(which, scale=1.5) for which in (LIGHT, DARK)}


def theme(*, dark: bool, large: bool = False) -> Theme:
    """Return the light or the dark theme; `large` for presentations."""
    which = DARK if dark else LIGHT
    return _LARGE[which] if large else which


def css_roles(which: Theme) -> dict[str, str]:
    """Return the roles of a theme as CSS variables."""
    return {f"--ax-{role}": value for role, value in asdict(which).items() if isinstance(value, str)}


def css_variables(which: Theme) -> str:
    """Return the roles of a theme as CSS declarations."""
    return "".join(f"{name}:{value};" for name, value in css_roles(which).items())


def tint(colour: str, which: Theme, share: float) -> str:
    """Mix a share of a colour with the background; unlike translucent colours, it is uniform where it overlaps."""
    channels = ((int(colour[at : at + 2], 16), int(which.paper[at : at + 2], 16)) for at in (1, 3, 5))
    return "#" + "".join(f"{round(share * own + (1 - share) * paper):02x}" for own, paper in channels)


def tooltip(*rows: tuple[str, str]) -> str:
    """Return the HTML of a tooltip with one label and Bokeh placeholder per row, in the colours of the page.

    Bokeh's default table has a fixed colour for labels, which style sheets of the page cannot change.
    """
    cells = "".join(f'<span style="color: var(--ax-muted)">{label}</span><span>{value}</span>' for label, value in rows)
    return f'<div style="display: grid; grid-template-columns: auto auto; gap: 0 8px; padding: 2px">{cells}</div>'


def drag_tools(*, active: bool) -> list[str]:
    """Return the active drag tool: box select; none on touch screens, where a drag scrolls the page."""
    return ["box_select"] if active else []


def set_ranges(figure: Figure, x: tuple[float, float], y: tuple[float, float]) -> None:
    """Show the whole range of the data if that has changed; otherwise keep the zoom.

    The range also limits zooming out and panning.
    """
    axis: Any
    for axis, (low, high) in ((figure.x_range, x), (figure.y_range, y)):
        if axis.bounds != (low, high):
            # Bounds first, because the browser clamps start and end to the bounds that it has.
            axis.update(bounds=(low, high), start=low, end=high, reset_start=low, reset_end=high)


def in_percent(figure: Figure) -> None:
    """Format the y-axis in percent."""
    _in_percent(figure.yaxis[0])


def in_percent_across(figure: Figure) -> None:
    """Format the x-axis in percent."""
    _in_percent(figure.xaxis[0])


def _in_percent(axis: Axis) -> None:
    if not isinstance(axis.formatter, NumeralTickFormatter):
        axis.formatter = NumeralTickFormatter(format="0.[000]%")


def name_ticks(axis: Axis | ColorBar, labels: Mapping[float, str]) -> None:
    """Put ticks at these positions only, with these labels."""
    ticks = list(labels)
    if not isinstance(axis.ticker, FixedTicker):
        axis.ticker = FixedTicker(ticks=ticks)
    axis.ticker.ticks = ticks
    axis.major_label_overrides = dict(labels)


#: Largest exponent for which a logarithmic axis writes 1,000 rather than a power.
_PLAIN_EXPONENT = 6


def style_figure(figure: Figure, name: str, which: Theme) -> None:
    """Name a figure and apply the theme to it."""
    figure.name = name
    # HoloViews names ranges after dimensions, but model names must be unique.
    figure.x_range.name, figure.y_range.name = f"{name}-x-range", f"{name}-y-range"
    # Browsers allow some sixteen WebGL contexts per page; canvas is sufficient for lines of this length.
    figure.output_backend = "canvas"
    figure.update(
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        stylesheets=[_FOCUS],
        html_attributes={"role": "figure", "aria-label": f"{name.replace('-', ' ')} plot"},
        min_border_left=round(44 * which.scale),
        min_border_right=12,
    )
    figure.toolbar.update(autohide=True, logo=None)
    for tool in figure.toolbar.tools:
        if isinstance(tool, WheelZoomTool):
            # Otherwise the wheel would not zoom out any further when one end reaches its bound.
            tool.maintain_focus = False
        elif isinstance(tool, BoxSelectTool | BoxZoomTool):
            tool.overlay.update(fill_color=which.ink, fill_alpha=BAND, line_color=None)
        if isinstance(tool, BoxSelectTool):
            # The session determines the selection; Bokeh would fade the other marks, also after the data were replaced.
            tool.renderers = []
    for axis in figure.axis:
        if isinstance(axis.formatter, LogTickFormatter):
            axis.formatter.min_exponent = _PLAIN_EXPONENT
        axis.update(
            axis_line_color=which.rule,
            major_tick_line_color=which.rule,
            minor_tick_line_color=None,
            major_label_text_color=which.muted,
            major_label_text_font=FONT,
            major_label_text_font_size=f"{11 * which.scale:g}px",
            axis_label_text_color=which.muted,
            axis_label_text_font=FONT,
            axis_label_text_font_size=f"{12 * which.scale:g}px",
            axis_label_text_font_style="normal",
        )
    figure.ygrid.grid_line_color = which.rule
    figure.xgrid.grid_line_color = None
