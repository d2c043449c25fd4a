"""The heat map of letters by SAEs; a tap opens Explore at a cell, a brush picks SAEs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import holoviews as hv
import panel as pn

from explorer.format import l0_label, number, percent, width_label
from explorer.plots.absorption import sae_keys
from explorer.plots.heat_map import CELLS, HEIGHT, heat_map, steps_of
from explorer.state import LETTERS
from explorer.theme import theme
from explorer.views.live_plot import LivePlot
from explorer.views.markup import Markup, render
from explorer.views.view import View

if TYPE_CHECKING:
    from explorer.model import ExplorerModel
    from explorer.state import ExplorerState, Snapshot

_ORDERS = {"layer": "by layer", "width": "by width", "l0": "by L0"}
_TABLED = 25


class HeatMapView(View):
    """Shows absorption rate, splits or F1 gap of every letter on every SAE.

    Parameters
    ----------
    model : ExplorerModel
    """

    answers = ("sae_means", "letter_rates")
    follows = ("suite", "layer", "width", "l0", "letter", "brushed", "cell", "cell_order", "dark", "touch")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        state = model.state
        self._head = Markup("section", on=state.setters("cell", "cell_order"))
        self._twin = Markup("twins")
        self._plot = LivePlot(self.drawing, height=HEIGHT, on_tap=self._tap, on_brush=(hv.streams.BoundsX, self._brush))
        self._layout = pn.Column(self._head, self._plot.pane, self._twin, sizing_mode="stretch_width")
        self._show()

    @property
    def _ordered(self) -> list[tuple[Any, ...]]:
        """The SAEs of the heat map, in the chosen order: all, or those that are brushed."""
        shown, means = self._model.shown, self._model.sae_means
        keys = [] if means is None else sae_keys(means)
        left = [key for key in keys if not shown.brushed or key in shown.brushed]
        order = {"layer": (1, 2, 3), "width": (2, 1, 3), "l0": (3, 1, 2)}[shown.cell_order]
        # Unknown L0s, which are negative numbers, come last.
        return sorted(left, key=lambda key: (key[0], *((key[place] < 0, abs(key[place])) for place in order)))

    def drawing(self) -> partial[hv.Overlay]:
        """Make the call that draws what is shown."""
        shown = self._model.shown
        return partial(
            heat_map,
            self._model.letter_rates,
            saes=self._ordered,
            cell=shown.cell,
            current=current_sae(shown),
            letter=shown.letter,
            theme=theme(dark=shown.dark),
            touch=shown.touch,
        )

    def _brush(self, bounds: tuple[float, float] | None) -> None:
        if bounds is not None:
            low, high = bounds
            self._model.state.brushed = [key for column, key in enumerate(self._ordered) if low <= column <= high]

    def _tap(self, x: float, y: float) -> None:
        column, row = round(x), round(y)
        if 0 <= column < len(self._ordered) and 0 <= row < len(LETTERS):
            open_sae(self._model.state, self._ordered[column], letter=LETTERS[len(LETTERS) - 1 - row])

    def _show(self) -> None:
        shown, means, cells = self._model.shown, self._model.sae_means, self._model.letter_rates
        self._plot.update()
        self._layout.visible = means is not None and not means.empty
        dressed = theme(dark=shown.dark)
        self._head.html = render(
            "heat_map_head",
            cells=CELLS,
            cell=shown.cell,
            orders=_ORDERS,
            order=shown.cell_order,
            steps=steps_of(cells, shown.cell, dressed),
        )
        self._twin.html = self._highest_cells()

    def _highest_cells(self) -> str:
        """List the highest cells of the heat map, for those who cannot see it."""
        cells, cell = self._model.letter_rates, self._model.shown.cell
        if cells is None or cells.empty:
            return ""
        shown = set(self._ordered)
        visible = cells[[key in shown for key in sae_keys(cells)]]
        write = {"absorption_rate": percent, "num_split_latents": lambda value: number(value, 0)}.get(cell, number)
        rows = [
            [row["letter"].upper(), row["layer"], width_label(row["width"]), l0_label(row["l0"]), write(row[cell])]
            for row in visible.nlargest(_TABLED, cell).to_dict("records")
        ]
        columns = ["letter", "layer", "width", "L0", CELLS[cell]]
        return render(
            "twin", name="cells", summary=f"The {len(rows)} highest cells as a table", columns=columns, rows=rows
        )


def current_sae(shown: Snapshot) -> tuple[Any, ...]:
    """Name the SAE that Explore shows, as `sae_keys` does."""
    return (shown.suite, shown.layer, shown.width, shown.l0)


def open_sae(state: ExplorerState, sae: tuple[Any, ...], **more: str) -> None:
    """Go to Explore at an SAE."""
    suite, layer, width, l0 = sae
    where = {"suite": suite, "layer": int(layer), "width": int(width), "l0": int(l0)}
    state.apply({**where, "page": "explore", **more})
