"""Small cosine plots of several SAEs for one concept, or of several concepts on one SAE."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
import panel as pn
from bokeh.models import Range1d

from explorer.format import latents_label
from explorer.model import records
from explorer.plots.cosine import y_range
from explorer.plots.small_cosine import HEIGHT, small_cosine_plot
from explorer.saes import value_label, values_of
from explorer.theme import theme
from explorer.views.live_plot import LivePlot
from explorer.views.markup import Markup, render
from explorer.views.view import View

if TYPE_CHECKING:
    from collections.abc import Mapping

    from explorer.model import ExplorerModel
    from explorer.plots.layers import Plot
    from explorer.theme import Theme

#: Number of rows on a first screen; they are sent in one message, because the browser lays out the page after each.
_ROWS_AT_ONCE = 3
#: Pixels.
_LEAST_WIDTH, _GAP = 320, 24
_GRID = {"display": "grid", "gap": f"{_GAP}px", "grid-template-columns": "minmax(0, 1fr)"}
#: Number of columns for which the last one could be alone in a row below three others.
_TWO_BY_TWO = 4
#: A cell of the grid: a column of the results and the value that selects the cell's rows. A click on the cell's title
#: sets the parameter of that name to this value.
Cell = tuple[str, str]


class SmallMultiples(View):
    """Shows one small plot per cell, each built when it scrolls into view.

    Parameters
    ----------
    model : ExplorerModel
    """

    follows = ("suite", "sae", "concept", "comparison", "compared", "compared_concepts", "dark")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        #: Names of two results: the reduced lines and marks of all cells, and the numbers of marks.
        self._cosines, self._counts = self.answers
        self._shown: Mapping[str, list[Cell]] | None = None
        self._y_range = Range1d(*y_range(None))
        self._layout: pn.Row = pn.Row(sizing_mode="stretch_width", styles=_GRID)
        self._heads: dict[Cell, Markup] = {}
        self._built: set[Cell] = set()
        self._plots: list[LivePlot] = []
        self._show()

    def _columns(self) -> Mapping[str, list[Cell]]:
        """Return the cells of each column from top to bottom, by the column's title."""
        raise NotImplementedError

    def _title(self, cell: Cell) -> str:
        """Return the title of a cell."""
        raise NotImplementedError

    def _frame(self, name: str, cell: Cell) -> pd.DataFrame | None:
        return _rows_of(cell, getattr(self._model, name))

    def _show(self) -> None:
        cosines = getattr(self._model, self._cosines)
        low, high = y_range(cosines)
        self._y_range.update(start=low, end=high, reset_start=low, reset_end=high)
        columns = self._columns() if len(_lines_of(cosines)) else {}  # marks without a line cannot be plotted
        if columns == self._shown:
            for plot in self._plots:
                plot.update()
        else:
            self._shown = columns
            self._heads, self._built, self._plots = {}, set(), []
            made: list[Any] = [self._column(name, cells) for name, cells in columns.items()]
            self._layout.styles = _GRID | {"grid-template-columns": _tracks(len(columns))}
            self._layout[:] = made or [self._explain()]
        self._show_heads()

    def _explain(self) -> Markup:
        none = (
            f"No SAE here stores cosines for {self._model.shown.label}. Choose another {self._model.shown.noun} or SAE,"
            ' or "two SAEs" above, which needs no cosines.'
        )
        why = self._model.unanswered(self._cosines) or none
        return Markup("message", html=render("empty", title="No cosine plots", why=why))

    def _column(self, name: str, cells: list[Cell]) -> pn.Column:
        """Create one column of cells, which share their x-axis."""
        frames = [self._frame(self._cosines, cell) for cell in cells]
        last = max((int(frame["latent"].max()) for frame in frames if frame is not None and len(frame)), default=1)
        x_range = Range1d(-0.01 * last, 1.01 * last, bounds="auto")
        head = [Markup("column-head", html=render("column_head", title=name))] if name.strip() else []
        return pn.Column(
            *head,
            *(self._cell(cell, x_range, at_once=row < _ROWS_AT_ONCE) for row, cell in enumerate(cells)),
            sizing_mode="stretch_width",
            styles={"min-width": "0"},
        )

    def _cell(self, cell: Cell, x_range: Range1d, *, at_once: bool) -> pn.Column:
        """Create one cell; its plot is built at once or when it scrolls into view."""
        body = pn.Column(sizing_mode="stretch_width", min_height=HEIGHT)

        def build(_: object = None) -> None:
            if cell not in self._built:
                self._built.add(cell)
                body[:] = [self._plot(cell, x_range)]

        if at_once:
            build()

        self._heads[cell] = head = Markup("cell-head", on={"go": lambda _: self._go(cell), "seen": build})
        return pn.Column(head, body, sizing_mode="stretch_width", margin=(0, 0, 8, 0))

    def _plot(self, cell: Cell, x_range: Range1d) -> pn.pane.HoloViews:
        plot = LivePlot(partial(self._drawing, cell, x_range), height=HEIGHT)
        self._plots.append(plot)
        return plot.pane

    def _drawing(self, cell: Cell, x_range: Range1d) -> partial[Plot]:
        cosines = getattr(self._model, self._cosines)
        shown = self._model.shown
        return partial(_draw, cosines, cell, (x_range, self._y_range), theme(dark=shown.dark, large=shown.present))

    def _go(self, cell: Cell) -> None:
        name, value = cell
        self._model.state.apply({name: value, "page": "explore"})

    def _show_heads(self) -> None:
        shown = self._model.shown
        for cell, head in self._heads.items():
            counted = self._frame(self._counts, cell)
            counts = {} if counted is None else next(iter(records(counted)), {})
            lines = self._frame(self._cosines, cell)
            head.html = render(
                "cell_head",
                is_empty=lines is None or lines.empty,
                title=self._title(cell),
                current=getattr(shown, cell[0]) == cell[1],
                answers=self._cosines,
                figure=_figure(cell),
                awaited=cell not in self._built,
                num_split=counts.get("num_split_latents"),
                num_absorbing=counts.get("num_absorbing_latents"),
            )


def _tracks(number: int) -> str:
    """Return the CSS grid for that many columns; four columns are placed two per row if there is no room for all."""
    least = f"min(100%, {_LEAST_WIDTH}px)"
    if number == _TWO_BY_TWO:
        all_of_them = _TWO_BY_TWO * _LEAST_WIDTH + (_TWO_BY_TWO - 1) * _GAP
        # Below that width, the multiplied difference is large, so half of the grid applies; above, it is negative.
        least = f"max({least}, min(50% - {_GAP}px, ({all_of_them}px - 100%) * 999))"
    return f"repeat(auto-fit, minmax({least}, 1fr))"


def _figure(cell: Cell) -> str:
    """Return the name of a cell's figure."""
    return f"cosine-{cell[1]}"


def _rows_of(cell: Cell, frame: pd.DataFrame | None) -> pd.DataFrame | None:
    """Return the rows of a cell from the result for all cells."""
    if frame is None:
        return None
    column, value = cell
    return frame[frame[column] == value]


def _lines_of(cosines: pd.DataFrame | None) -> pd.DataFrame:
    """Return the rows of lines, without the marks."""
    return pd.DataFrame() if cosines is None else cosines[cosines["part"].isna()]


def _draw(cosines: pd.DataFrame | None, cell: Cell, ranges: tuple[Range1d, Range1d], which: Theme) -> Plot:
    """Draw a cell from the result for all cells."""
    return small_cosine_plot(_rows_of(cell, cosines), name=_figure(cell), theme=which, ranges=ranges)


class SaeMultiples(SmallMultiples):
    """Compares SAEs for one concept: those of a sweep by width, or one per value of an attribute."""

    answers = ("compared_cosines", "compared_counts")

    def _columns(self) -> Mapping[str, list[Cell]]:
        shown = self._model.shown
        compared = set(shown.compared)
        saes = [sae for sae in shown.saes if sae.id in compared]
        if shown.comparison not in ("l0", "width"):
            name = shown.comparison
            ordered = dict.fromkeys(values_of(shown.saes, name))
            return {
                value_label(name, value): [("sae", sae.id) for sae in saes if getattr(sae, name) == value]
                for value in ordered
            }
        columns: dict[str, list[Cell]] = {}
        for width in values_of(saes, "width"):
            of_width = [sae for sae in saes if sae.width == width]
            counted = all(sae.counted for sae in of_width)
            head = "unknown width" if width is None else latents_label(width, counted=counted)
            columns[head] = [("sae", sae.id) for sae in of_width]
        return columns

    def _title(self, cell: Cell) -> str:
        sae = self._model.saes[self._model.shown.suite, cell[1]]
        return f"{sae.label} (canonical)" if sae.canonical else sae.label


class ConceptMultiples(SmallMultiples):
    """Compares concepts of the family on one SAE, in two columns."""

    answers = ("sae_cosines", "concepts")

    def _columns(self) -> Mapping[str, list[Cell]]:
        lines, shown = _lines_of(self._model.sae_cosines), self._model.shown
        there = set(lines["concept"]) if len(lines) else set()
        cells: list[Cell] = [("concept", concept) for concept in shown.compared_concepts if concept in there]
        half = -(-len(cells) // 2)
        return {"": cells[:half], " ": cells[half:]} if cells else {}

    def _title(self, cell: Cell) -> str:
        return self._model.shown.concepts[cell[1]].label
