"""Figures for papers: the plots of the page as SVG or PNG files, at a given size and font."""

from __future__ import annotations

import base64
import math
import re
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import holoviews as hv
from bokeh.core.properties import value
from bokeh.embed import file_html
from bokeh.models import FixedTicker, Legend, Text
from bokeh.resources import INLINE

from explorer.given_values import shortened
from explorer.headless import HeadlessError, idle_page, in_browser
from explorer.model import ExplorerModel, choices_of
from explorer.plots import absorption, sae_scores
from explorer.plots.legend import add_legend, legend_of
from explorer.plots.shares import known_shares
from explorer.state import ExplorerState
from explorer.theme import DARK, FONT, Theme, theme
from explorer.views.atlas import Atlas
from explorer.views.cosine import CosineView
from explorer.views.heat_map import HeatMapView
from explorer.views.k_sparse import KSparseView
from explorer.views.sae_scores import SaeScoresView
from explorer.views.sensitivity import SensitivityView
from explorer.views.shares import PANELS as SHARES
from explorer.views.shares import SharesView
from explorer.views.splitting_tree import SplittingTree
from explorer.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from bokeh.models import Axis

    from explorer.views.view import View
    from queries import Store

#: Font families as in CSS, without characters that would end the rule.
_FAMILY = re.compile(r"[\w\s,.'\"+-]{1,200}")
#: CSS pixels and points.
_PIXELS_PER_INCH, _POINTS_PER_INCH = 96, 72
#: In units of the text height: a legend key with its gap, the width of a character, the space beside a plot.
_KEY, _LETTER, _BESIDE = 3.0, 0.55, 11
#: Space above and below a plot without column labels, and the angle of these labels.
_ABOVE_AND_BELOW, _ANGLE = 5, 0.9
#: Ratio of minimum column width to row height, for slanted labels.
_SLANT = 1.3

# The finished figure: SVG as text, PNG as a data URL.
_EXPORT = """async (as) => {
  const view = Bokeh.index.roots[0]
  await view.ready
  const { canvas, ctx } = view.export(as)
  if (as === "png") return canvas.toDataURL("image/png")
  const svg = new DOMParser().parseFromString(ctx.get_serialized_svg(true), "image/svg+xml")
  // Each text is followed by an invisible copy for its outline, which a text search would find.
  for (const outline of svg.querySelectorAll('text[fill="none"][stroke-opacity="0"]')) outline.remove()
  return new XMLSerializer().serializeToString(svg)
}"""


class FigureError(ValueError):
    """A figure cannot be written; the message is one line."""


class Source(NamedTuple):
    """Source of a figure: the view that shows it, the query result that it needs, and its plot in the view."""

    view: type[View]
    answer: str
    #: Takes the result and the state, and returns the rows that can be drawn.
    drawable: Callable[[pd.DataFrame, ExplorerState], pd.DataFrame]
    panel: tuple[str, ...] = ()


def _sae_means(name: str, means: pd.DataFrame, _: ExplorerState) -> pd.DataFrame:
    return absorption.saes_with_values(means, name)


def _token_shares(shares: pd.DataFrame, _: ExplorerState) -> pd.DataFrame:
    return known_shares(shares)


#: The figures that can be written, by their names on the page.
FIGURES: Mapping[str, Source] = {
    "cosine": Source(CosineView, "cosines", lambda rows, _: rows),
    "k-sparse": Source(KSparseView, "k_sparse", lambda rows, state: rows[rows[state.k_sparse_score].notna()]),
    **{
        name: Source(SaeScoresView, "sae_scores", lambda rows, _: sae_scores.with_known_l0(rows), (name,))
        for name in sae_scores.PANELS
    },
    **{name: Source(Atlas, "sae_means", partial(_sae_means, name), (name,)) for name in absorption.PANELS},
    "absorption-heatmap": Source(HeatMapView, "concept_rates", lambda rows, state: rows[rows[state.cell].notna()]),
    "threshold-sensitivity": Source(
        SensitivityView,
        "threshold_sensitivity",
        lambda rows, _: rows.dropna(subset=["absorption_rate", "suite_absorption_rate"], how="all"),
    ),
    **{name: Source(SharesView, answer, _token_shares, (name,)) for name, answer in SHARES.items()},
    "splitting-tree": Source(SplittingTree, "splitting_tree", lambda rows, _: rows[rows["parent"].notna()]),
}


class FigureStyle(NamedTuple):
    """Size, font and theme of a figure; see `Explorer.save_figure`."""

    size: tuple[float, float] = (6, 3)
    font: str | None = None
    font_size: float = 9
    dpi: float = 300
    dark: bool = False


class FigureRequest(NamedTuple):
    """A figure to write: store, state, name, file and style."""

    store: Store
    state: ExplorerState
    name: str
    path: Path
    look: FigureStyle

    @property
    def kind(self) -> str:
        """Its format."""
        return self.path.suffix.lower().removeprefix(".")


def write_figures(figures: Sequence[FigureRequest], *, overwrite: bool) -> None:
    """Draw figures and write all of them or none.

    Raises
    ------
    FigureError
        At the first figure that cannot be written; one line that names the fix.
    """
    for figure in figures:
        check(figure, overwrite=overwrite)
    pages = [_page(figure) for figure in figures]
    try:
        drawn = in_browser(partial(_render, pages))
    except HeadlessError as error:
        raise FigureError(str(error)) from error
    with ExitStack() as stack:  # files are moved to their places once all are complete
        for figure, content in zip(figures, drawn, strict=True):
            if not content:
                raise FigureError(
                    f"{figure.path}: the browser cannot draw a figure of this size; give another size or dpi"
                )
            try:
                stack.enter_context(whole_file(figure.path)).write(content)
            except OSError as error:
                raise FigureError(f"{figure.path} cannot be written: {error.strerror}") from error


def check(figure: FigureRequest, *, overwrite: bool) -> None:
    """Check a figure before it is drawn; FigureError if it could not be written."""
    path, look = figure.path, figure.look
    if figure.name not in FIGURES:
        raise FigureError(f"there is no figure {figure.name!r}; choose one of {', '.join(FIGURES)}")
    if figure.kind not in ("svg", "png"):
        raise FigureError(f"{path} is neither .svg nor .png: these are the formats of figures")
    if _is_there(path) and not overwrite:
        raise FigureError(f"{path} exists already; use overwrite=True or --force to replace it")
    if not path.parent.is_dir():
        raise FigureError(f"{path.parent} is not a folder; create it first")
    if path.is_dir():
        raise FigureError(f"{path} is a folder; give the name of a file")
    if not all(number > 0 for number in (*look.size, look.font_size, look.dpi)):
        raise FigureError("size, font size and dpi must be above 0")
    # Other characters could end the CSS rule and break the page, for which the browser would then wait.
    if look.font is not None and not _FAMILY.fullmatch(look.font):
        raise FigureError(f"{shortened(look.font)} is not a font family; give names, for example Inter, sans-serif")


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:  # no permission; a name that is too long or contains NUL
        raise FigureError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from error
    return True


def _page(figure: FigureRequest) -> tuple[str, str, float]:
    """Return an HTML page with one figure, the figure's format, and its device pixels per CSS pixel."""
    look, which = figure.look, theme(dark=figure.look.dark)
    drawn = _draw(figure.store, figure.state, figure.name, which)
    _style(drawn, size=look.size, font=look.font or FONT, font_size=look.font_size, which=which)
    page = file_html(drawn, INLINE, title=figure.name, suppress_callback_warning=True)
    return page, figure.kind, 1.0 if figure.kind == "svg" else look.dpi / _PIXELS_PER_INCH


def _draw(store: Store, state: ExplorerState, name: str, which: Theme) -> Any:
    """Draw the figure `name` for a copy of `state`."""
    source = FIGURES[name]
    values = {key: given for key, given in state.url_values().items() if given is not None}
    own = ExplorerState(choices_of(store), **values | {"dark": which is DARK})
    own.param.update(brushed=state.brushed, cosine_range=state.cosine_range)
    model = ExplorerModel(store, own, source.view)
    rows = getattr(model, source.answer)
    if rows is None or rows.empty or source.drawable(rows, own).empty:
        why = model.error or (
            "the suite has no data for it" if rows is None or rows.empty else "its values are unknown in this suite"
        )
        raise FigureError(f"the figure {name!r} is empty here: {why}")
    view: Any = source.view(model)
    figure = hv.render(view.drawing(*source.panel)().draw(), backend="bokeh")
    add_legend(figure, legend_of(name, rows, cell=own.cell, rate=own.rate_label, by=own.told_by, theme=which), which)
    return figure


def _style(figure: Any, *, size: tuple[float, float], font: str, font_size: float, which: Theme) -> None:
    """Set a figure's size, font and background, and remove the toolbar."""
    width, height = (round(side * _PIXELS_PER_INCH) for side in size)
    figure.update(
        sizing_mode=None,
        width=width,
        height=height,
        toolbar_location=None,
        background_fill_color=which.paper,
        border_fill_color=which.paper,
        min_border_left=0,
    )
    # A browser would report this width; the layout of the splitting tree depends on it.
    figure.set_from_json("inner_width", width)
    text = font_size * _PIXELS_PER_INCH / _POINTS_PER_INCH
    for model in figure.references():
        for name in model.properties():
            if name.endswith("text_font"):
                # For a glyph, a plain text would be interpreted as a column name.
                setattr(model, name, value(font) if isinstance(model, Text) else font)
            elif name.endswith("text_font_size"):
                setattr(model, name, f"{text:g}px")
    for legend in figure.select(Legend):
        length = sum(_KEY * text + _LETTER * text * len(item.label.value) for item in legend.items)
        legend.nrows = math.ceil(length / width)
    # One label per column and row, small enough to fit below (slanted) and beside it.
    below = _fit(figure.xaxis[0], width / _SLANT - _BESIDE * text, text)
    _fit(figure.yaxis[0], height - _ABOVE_AND_BELOW * text - max(below, (_BESIDE - _ABOVE_AND_BELOW) * text), text)


def _fit(axis: Axis, place: float, text: float) -> float:
    """Reduce the font size of an axis so that its labels fit into `place` pixels; return their height when slanted."""
    if not isinstance(axis.ticker, FixedTicker):
        return 0.0
    size = min(text, place / len(axis.ticker.ticks))
    axis.major_label_text_font_size = f"{size:g}px"
    longest = max(map(len, axis.major_label_overrides.values()), default=0)
    return _LETTER * size * longest * math.sin(_ANGLE)


def _render(pages: Sequence[tuple[str, str, float]], browser: Any) -> list[bytes]:
    """Draw pages with one figure each in a browser."""
    drawn: list[bytes] = []
    for html, kind, scale in pages:
        page = idle_page(browser, html, device_scale_factor=scale)
        content: str = page.evaluate(_EXPORT, kind)
        page.close()
        drawn.append(content.encode() if kind == "svg" else base64.b64decode(content.partition(",")[2]))
    return drawn
