"""The heat map of concepts by SAEs; a tap opens Explore at a cell, a dragged box selects SAEs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import holoviews as hv
import panel as pn

from explorer.format import number, percent
from explorer.plots.heat_map import cell_labels, heat_map, height_of, names_of, steps_of
from explorer.plots.sae_style import sae_keys
from explorer.saes import ATTRIBUTES, TITLES, distinguishing_attributes
from explorer.theme import theme
from explorer.views.live_plot import LivePlot
from explorer.views.markup import Markup, render
from explorer.views.plot_table import PlotTable, Table
from explorer.views.view import View

if TYPE_CHECKING:
    from explorer.concepts import Concept
    from explorer.model import ExplorerModel
    from explorer.plots.layers import Plot
    from explorer.state import ExplorerState, Snapshot

_TABLED = 25
#: Maximum number of concepts in a family for which all of them have a row, including those that were never measured.
_ALWAYS_ALL = 40


class HeatMapView(View):
    """Shows absorption rate, splits or F1 gap of every concept on every SAE.

    Parameters
    ----------
    model : ExplorerModel
    """

    answers = ("sae_means", "concept_rates")
    follows = ("suite", "sae", "concept", "brushed", "cell", "cell_order", "rate_label", "dark", "touch")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        state = model.state
        self._head = Markup("section", on=state.setters("cell", "cell_order"))
        self._plot_table = PlotTable()
        self._plot = LivePlot(
            self.drawing,
            height=self._height,
            on_tap=self._tap,
            on_brush=(hv.streams.BoundsX, self._brush),
        )
        self._layout = pn.Column(self._head, self._plot.pane, self._plot_table, sizing_mode="stretch_width")
        self._show()

    @property
    def _height(self) -> int:
        return map_height(self._model)

    def drawing(self) -> partial[Plot]:
        """Return the call that draws the heat map for the state shown."""
        return map_drawing(self._model)

    def _brush(self, bounds: tuple[float, float] | None) -> None:
        if bounds is not None:
            (low, high), columns = bounds, ordered(self._model)
            self._model.state.brushed = [key for column, key in enumerate(columns) if low <= column <= high]

    def _tap(self, x: float, y: float) -> None:
        column, row = round(x), round(y)
        columns, concepts = ordered(self._model), rows_of(self._model)
        if 0 <= column < len(columns) and 0 <= row < len(concepts):
            open_sae(self._model.state, columns[column], concept=concepts[len(concepts) - 1 - row].id)

    def _show(self) -> None:
        means = self._model.sae_means
        self._plot.update()
        self._plot.height = self._height
        self._layout.visible = means is not None and not means.empty
        self._head.html = map_head_html(self._model)
        self._plot_table.put(highest_cells(self._model))


def ordered(model: ExplorerModel) -> list[tuple[str, str]]:
    """Return the SAEs of the heat map in the chosen order: all, or the selected ones."""
    shown, means = model.shown, model.sae_means
    keys = [] if means is None else sae_keys(means)
    left = [key for key in keys if not shown.brushed or key in shown.brushed]
    # The sort is stable, so SAEs with equal values keep the order of their suite.
    return sorted(left, key=lambda key: (key[0], _place(getattr(model.saes[key], shown.cell_order))))


def rows_of(model: ExplorerModel) -> list[Concept]:
    """Return the concepts of the family that have a cell, from the top down."""
    cells, shown = model.concept_rates, model.shown
    there = set() if cells is None else set(cells["concept"])
    concepts = [one for one in shown.concepts.values() if one.family == shown.family]
    return [one for one in concepts if one.id in there] if len(concepts) > _ALWAYS_ALL else concepts


def map_height(model: ExplorerModel) -> int:
    """Return the height of the heat map in pixels."""
    return height_of(len(rows_of(model)), names_of(ordered(model), model.saes))


def map_drawing(model: ExplorerModel) -> partial[Plot]:
    """Return the call that draws the heat map for the state shown."""
    shown = model.shown
    return partial(
        heat_map,
        model.concept_rates,
        saes=model.saes,
        columns=ordered(model),
        concepts=rows_of(model),
        noun=shown.noun,
        rate=shown.rate_label,
        cell=shown.cell,
        current=current_sae(shown),
        concept=shown.concept,
        theme=theme(dark=shown.dark, large=shown.present),
        touch=shown.touch,
    )


def map_head_html(model: ExplorerModel, *, orders: bool = True) -> str:
    """Render the legend of the heat map, with its switches."""
    shown, means, cells = model.shown, model.sae_means, model.concept_rates
    distinguishing = (
        distinguishing_attributes([model.saes[key] for key in sae_keys(means)]) if means is not None else []
    )
    by = [name for name in ATTRIBUTES if name in distinguishing and orders] or [shown.cell_order]
    return render(
        "heat_map_head",
        cells=cell_labels(shown.rate_label),
        cell=shown.cell,
        orders={name: f"by {TITLES[name] if name == 'l0' else name}" for name in by},
        noun=shown.noun,
        # If all SAEs share the chosen attribute, they are ordered by the first attribute that distinguishes them.
        order=shown.cell_order if shown.cell_order in by else by[0],
        steps=steps_of(cells, shown.cell, theme(dark=shown.dark)),
    )


def highest_cells(model: ExplorerModel) -> Table | None:
    """Return the table of the highest cells of the heat map."""
    cells, cell = model.concept_rates, model.shown.cell
    if cells is None or cells.empty:
        return None

    def rows() -> list[list[object]]:
        shown = set(ordered(model))
        label_of = {one.id: one.label for one in rows_of(model)}
        visible = cells[[key in shown for key in sae_keys(cells)]]
        write = {"absorption_rate": percent, "num_split_latents": lambda value: number(value, 0)}.get(cell, number)
        return [
            [
                label_of.get(row["concept"], row["concept"]),
                model.saes[row["suite"], row["sae"]].label,
                write(row[cell]),
            ]
            for row in visible.nlargest(_TABLED, cell).to_dict("records")
        ]

    columns = [model.shown.noun, "SAE", cell_labels(model.shown.rate_label)[cell]]
    return Table("cells", "Highest cells (table)", columns, rows)


def _place(value: Any) -> tuple[bool, Any]:
    """Return the sort key of an attribute's value; unknown ones come last."""
    return value is None, "" if value is None else value


def current_sae(shown: Snapshot) -> tuple[Any, ...]:
    """Return suite and id of the SAE that Explore shows."""
    return (shown.suite, shown.sae)


def open_sae(state: ExplorerState, sae: tuple[str, str], **more: str) -> None:
    """Open Explore at an SAE."""
    state.apply({**dict(zip(("suite", "sae"), sae, strict=True)), "page": "explore", **more})
