"""Small cosine plots side by side: every L0 of every width of a layer, or every letter of one SAE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import panel as pn
from bokeh.models import Range1d

from explorer.format import l0_label, latents_label, width_label
from explorer.plots.cosine import y_range
from explorer.plots.small_cosine import HEIGHT, small_cosine_plot
from explorer.theme import theme
from explorer.views.live_plot import live_plot
from explorer.views.markup import Markup, render
from explorer.views.on_change import on_change

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import holoviews as hv
    import pandas as pd

    from explorer.model import ExplorerModel

#: Rows that fill a first screen and come in one message; each that follows alone costs the browser a new layout.
_ROWS_AT_ONCE = 3
#: A cell of the grid: the values that choose its rows, and go into the state when its title is followed.
Cell = tuple[tuple[str, Any], ...]


class SmallMultiples(pn.viewable.Viewer):
    """Shows one small plot a cell, each built when it scrolls into view.

    Parameters
    ----------
    model : ExplorerModel
    lines, marks : str
        Parameters of the model that hold the reduced lines and the marks of all cells.
    columns : callable
        Lists the cells by column: what the column is called, and its cells from the top down.
    title : callable
        Names a cell.
    heads_show : list of str
        Attributes of what is shown that the cells' titles name.
    """

    def __init__(
        self,
        model: ExplorerModel,
        *,
        lines: str,
        marks: str,
        columns: Callable[[], Mapping[str, list[Cell]]],
        title: Callable[[Cell], str],
        heads_show: list[str],
    ) -> None:
        super().__init__()
        self._model, self._lines, self._marks = model, lines, marks
        self._columns, self._title = columns, title
        self._shown: Mapping[str, list[Cell]] | None = None
        self._y_range = Range1d(*y_range(None))
        self._layout = pn.Row(sizing_mode="stretch_width", styles={"flex-wrap": "wrap", "gap": "24px"})
        self._heads: dict[Cell, Markup] = {}
        self._built: set[Cell] = set()
        self._draw_anew: list[Callable[[], object]] = []
        on_change(model, self._show, answers=[lines, marks], shown=["dark"])
        on_change(model, self._show_heads, shown=heads_show, shown_with=lines)
        self._show()

    def _frame(self, name: str, cell: Cell) -> pd.DataFrame | None:
        """Take the rows of `cell` out of the answer that holds all cells."""
        frame = getattr(self._model, name)
        if frame is None:
            return None
        for column, value in cell:
            if column in frame.columns:
                frame = frame[frame[column] == value]
        return frame

    def _show(self) -> None:
        lines = getattr(self._model, self._lines)
        low, high = y_range(lines)
        self._y_range.update(start=low, end=high, reset_start=low, reset_end=high)
        columns = self._columns() if lines is not None and len(lines) else {}
        if columns == self._shown:
            for draw_anew in self._draw_anew:
                draw_anew()
        else:
            self._shown = columns
            # The plots that were there go, and with them what drew them anew.
            self._heads, self._built, self._draw_anew = {}, set(), []
            made: list[Any] = [self._column(name, cells) for name, cells in columns.items()]
            self._layout[:] = made or [self._explain()]
        self._show_heads()

    def _explain(self) -> Markup:
        none = "No SAE of this layer stores cosines of this letter. Choose another letter or layer, or see the Atlas."
        why = self._model.unanswered(self._lines) or none
        return Markup("message", html=render("empty", title="No cosine plots", why=why))

    def _column(self, name: str, cells: list[Cell]) -> pn.Column:
        """Make one column of cells that share their x-axis."""
        frames = [self._frame(self._lines, cell) for cell in cells]
        last = max((int(frame["latent"].max()) for frame in frames if frame is not None and len(frame)), default=1)
        x_range = Range1d(-0.01 * last, 1.01 * last, bounds="auto")
        head = [Markup("column-head", html=render("column_head", title=name))] if name else []
        return pn.Column(
            *head,
            *(self._cell(cell, x_range, at_once=row < _ROWS_AT_ONCE) for row, cell in enumerate(cells)),
            sizing_mode="stretch_width",
            styles={"flex": "1 1 320px", "min-width": "280px"},
        )

    def _cell(self, cell: Cell, x_range: Range1d, *, at_once: bool) -> pn.Column:
        """Make one cell, its plot at once or when it comes into view."""
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
        name = _figure(cell)

        def draw() -> hv.Overlay:
            return small_cosine_plot(
                self._frame(self._lines, cell),
                self._frame(self._marks, cell),
                name=name,
                theme=theme(dark=self._model.shown.dark),
                ranges=(x_range, self._y_range),
            )

        return live_plot(draw, follows=self._draw_anew.append, height=HEIGHT)

    def _go(self, cell: Cell) -> None:
        self._model.state.apply(dict(cell) | {"page": "explore"})

    def _show_heads(self) -> None:
        shown = self._model.shown
        for cell, head in self._heads.items():
            marks = self._frame(self._marks, cell)
            parts = [] if marks is None else marks["part"].tolist()
            head.html = render(
                "cell_head",
                title=self._title(cell),
                current=all(getattr(shown, name) == value for name, value in cell),
                answers=f"{self._lines} {self._marks}",
                figure=_figure(cell),
                awaited=cell not in self._built,
                num_split=parts.count("split"),
                num_absorbing=parts.count("absorbing"),
            )

    def __panel__(self) -> pn.viewable.Viewable:
        return self._layout


def _figure(cell: Cell) -> str:
    """Name the figure of a cell."""
    return "-".join(["cosine", *(str(value) for _, value in cell)])


def layer_multiples(model: ExplorerModel) -> SmallMultiples:
    """Set side by side every L0 of every width of the layer, for one letter."""

    def columns() -> dict[str, list[Cell]]:
        shown = model.shown
        saes = [sae for sae in shown.saes if sae.layer == shown.layer]
        return {
            latents_label(width, counted=all(sae.counted for sae in saes if sae.width == width)): [
                (("width", sae.width), ("l0", sae.l0)) for sae in saes if sae.width == width
            ]
            for width in dict.fromkeys(sae.width for sae in saes)
        }

    def title(cell: Cell) -> str:
        values, shown = dict(cell), model.shown
        return (
            f"{width_label(values['width'])}, L0 {l0_label(values['l0'])}, layer {shown.layer}, {shown.letter.upper()}"
        )

    return SmallMultiples(
        model,
        lines="layer_cosines",
        marks="layer_marks",
        columns=columns,
        title=title,
        heads_show=["layer", "width", "l0", "letter"],
    )


def letter_multiples(model: ExplorerModel) -> SmallMultiples:
    """Set side by side every letter of one SAE, in two columns."""

    def columns() -> dict[str, list[Cell]]:
        letters = list(dict.fromkeys(model.sae_cosines["letter"])) if model.sae_cosines is not None else []
        half = -(-len(letters) // 2)
        cells: list[Cell] = [(("letter", letter),) for letter in letters]
        return {"": cells[:half], " ": cells[half:]} if letters else {}

    def title(cell: Cell) -> str:
        shown = model.shown
        return (
            f"{dict(cell)['letter'].upper()}, {width_label(shown.width)}, L0 {l0_label(shown.l0)}, layer {shown.layer}"
        )

    return SmallMultiples(
        model,
        lines="sae_cosines",
        marks="sae_marks",
        columns=columns,
        title=title,
        heads_show=["layer", "width", "l0", "letter"],
    )
