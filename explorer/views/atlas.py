"""All SAEs at once: three plots, a heat map and a table, linked by brushing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
import panel as pn

from explorer.format import l0_label, number, percent, width_label
from explorer.plots.absorption import PANELS, absorption_plot, drawn, extents, sae_keys
from explorer.plots.heat_map import CELLS, HEIGHT, heat_map
from explorer.plots.sae_scores import width_legend
from explorer.state import LETTERS
from explorer.theme import theme
from explorer.views.live_plot import live_plot
from explorer.views.markup import Markup, render

if TYPE_CHECKING:
    import param

    from explorer.model import ExplorerModel

_POLICIES = {
    "with_candidates": "letters with candidates (as the paper)",
    "all_letters": "all letters, without candidates = 0",
}
_ORDERS = {"layer": "by layer", "width": "by width", "l0": "by L0"}
_REACH = 0.06
_TABLED = 25


class Atlas(pn.viewable.Viewer):
    """Shows absorption and splitting over all SAEs; brushing in one plot filters the others and the table.

    Parameters
    ----------
    model : ExplorerModel
    """

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__()
        self._model = model
        state = model.state
        choose = {name: self._setter(name) for name in ("mean_policy", "scope", "cell", "cell_order")}
        self._head = Markup("page-head", on={**choose, "clear": self._clear})
        self._map_head = Markup("section", on=choose)
        self._twin = Markup("twins")
        self._table = Markup("atlas-table", on={"go": self._go, "clear": self._clear})
        self._panels = pn.Row(
            *(self._panel(name) for name in PANELS),
            sizing_mode="stretch_width",
            styles={"flex-wrap": "wrap", "gap": "16px"},
        )
        self._map = pn.Column(
            self._map_head,
            self._heat_map(),
            self._twin,
            sizing_mode="stretch_width",
            styles={"flex": "3 1 420px", "min-width": "280px"},
        )
        below = pn.Row(
            self._map,
            pn.Column(self._table, sizing_mode="stretch_width", styles={"flex": "2 1 320px", "min-width": "280px"}),
            sizing_mode="stretch_width",
            styles={"flex-wrap": "wrap", "gap": "24px"},
        )
        self._layout = pn.Column(self._head, self._panels, below, sizing_mode="stretch_width")
        model.param.watch(self._show, ["sae_means", "letter_rates"])
        state.param.watch(self._show, ["brushed", "dark", "cell", "cell_order", "layer", "width", "l0", "letter"])
        self._show()

    @property
    def _current(self) -> tuple[Any, ...]:
        state = self._model.state
        return (state.suite, state.layer, state.width, state.l0)

    @property
    def _ordered(self) -> list[tuple[Any, ...]]:
        """The SAEs of the heat map, in the chosen order: all, or those that are brushed."""
        state, means = self._model.state, self._model.sae_means
        keys = [] if means is None else sae_keys(means)
        shown = [key for key in keys if not state.brushed or key in state.brushed]
        first = {"layer": (1, 2, 3), "width": (2, 1, 3), "l0": (3, 1, 2)}[state.cell_order]
        return sorted(shown, key=lambda key: (key[0], *(key[place] for place in first)))

    def _panel(self, name: str) -> pn.pane.HoloViews:
        state = self._model.state

        def draw() -> hv.Overlay:
            return absorption_plot(
                self._model.sae_means,
                name,
                brushed=set(state.brushed),
                current=self._current,
                theme=theme(dark=state.dark),
                touch=state.touch,
            )

        return live_plot(
            draw,
            follows={self._model: ["sae_means"], state: ["brushed", "dark", "touch", "layer", "width", "l0"]},
            height=280,
            on_tap=lambda x, y: self._tap(name, x, y),
            on_brush=(hv.streams.BoundsXY, lambda bounds: self._brush(name, bounds)),
            styles={"flex": "1 1 280px", "min-width": "260px"},
        )

    def _heat_map(self) -> pn.pane.HoloViews:
        state = self._model.state

        def draw() -> hv.Overlay:
            return heat_map(
                self._model.letter_rates,
                saes=self._ordered,
                cell=state.cell,
                current=self._current,
                letter=state.letter,
                theme=theme(dark=state.dark),
                touch=state.touch,
            )

        switches = ["brushed", "cell", "cell_order", "dark", "touch", "layer", "width", "l0", "letter"]
        return live_plot(
            draw,
            follows={self._model: ["letter_rates", "sae_means"], state: switches},
            height=HEIGHT,
            on_tap=self._tap_cell,
            on_brush=(hv.streams.BoundsX, self._brush_columns),
        )

    def _brush(self, panel: str, bounds: tuple[float, float, float, float] | None) -> None:
        means = self._model.sae_means
        if bounds is None or means is None:
            return
        means = drawn(means, panel)
        (x, y), (left, bottom, right, top) = PANELS[panel], bounds
        self._model.state.brushed = sae_keys(means[means[x].between(left, right) & means[y].between(bottom, top)])

    def _brush_columns(self, bounds: tuple[float, float] | None) -> None:
        if bounds is not None:
            low, high = bounds
            self._model.state.brushed = [key for column, key in enumerate(self._ordered) if low <= column <= high]

    def _tap(self, panel: str, x: float, y: float) -> None:
        means = self._model.sae_means
        if means is None or (means := drawn(means, panel)).empty:
            return
        across, up = PANELS[panel]
        (left, right), (bottom, top) = extents(means, panel)
        distance = np.hypot((means[across] - x) / (right - left), (means[up] - y) / (top - bottom)).to_numpy(float)
        distance = np.nan_to_num(distance, nan=np.inf)
        nearest = int(np.argmin(distance))
        if distance[nearest] <= _REACH:
            self._open(sae_keys(means)[nearest])

    def _tap_cell(self, x: float, y: float) -> None:
        column, row = round(x), round(y)
        if 0 <= column < len(self._ordered) and 0 <= row < len(LETTERS):
            self._open(self._ordered[column], letter=LETTERS[len(LETTERS) - 1 - row])

    def _go(self, place: str) -> None:
        means = self._model.sae_means
        if means is not None:
            self._open(sae_keys(means)[int(place)])

    def _open(self, sae: tuple[Any, ...], **more: str) -> None:
        """Go to Explore at an SAE."""
        suite, layer, width, l0 = sae
        where = {"suite": suite, "layer": int(layer), "width": int(width), "l0": int(l0)}
        self._model.state.apply({**where, "page": "explore", **more})

    def _setter(self, name: str) -> Any:
        return lambda value: self._model.state.apply({name: value})

    def _clear(self, _: object) -> None:
        self._model.state.brushed = []

    def _show(self, *_: param.parameterized.Event) -> None:
        model, state = self._model, self._model.state
        means = model.sae_means
        rows = [] if means is None else [row | {"place": place} for place, row in enumerate(means.to_dict("records"))]
        self._panels.visible = self._map.visible = bool(rows)
        brushed = set(state.brushed)
        shown = [row for row in rows if not brushed or (row["suite"], row["layer"], row["width"], row["l0"]) in brushed]
        widths = sorted({row["width"] for row in rows})
        suites = model.store.suites if state.scope == "all" else {state.suite: model.store.suites[state.suite]}
        metrics = sorted({suite.manifest.method.metric for suite in suites.values()})
        self._head.html = render(
            "atlas_head",
            num_saes=len(rows),
            num_shown=len(shown),
            num_unknown=sum(row["l0"] < 0 for row in rows),
            metrics=metrics,
            several=len(model.store.suites) > 1,
            scope=state.scope,
            policies=_POLICIES,
            policy=state.mean_policy,
            legend=width_legend(widths, theme(dark=state.dark)),
        )
        dressed, cells = theme(dark=state.dark), model.letter_rates
        self._map_head.html = render(
            "heat_map_head",
            cells=CELLS,
            cell=state.cell,
            orders=_ORDERS,
            order=state.cell_order,
            ramp=[dressed.paper, *dressed.rates],
            highest=None if cells is None else cells[state.cell].max(),
        )
        self._twin.html = self._highest_cells()
        self._table.html = render(
            "atlas_table", rows=shown, brushed=bool(brushed), current=self._current, several=state.scope == "all"
        )

    def _highest_cells(self) -> str:
        """List the highest cells of the heat map, for those who cannot see it."""
        cells, cell = self._model.letter_rates, self._model.state.cell
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

    def __panel__(self) -> pn.viewable.Viewable:
        return self._layout
