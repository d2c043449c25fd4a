"""The graph of a concept with its split and absorbing latents; a tap selects a latent."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import panel as pn

from explorer.format import number, visible
from explorer.headline import why_none_absorbs
from explorer.plots.concept_graph import concept_graph
from explorer.plots.graph_edges import EDGES
from explorer.plots.graph_layout import Graph, arrange
from explorer.theme import theme
from explorer.views.live_plot import LivePlot
from explorer.views.markup import Markup, render
from explorer.views.plot_table import PlotTable, Table
from explorer.views.view import View
from explorer.views.visibility import HIDDEN, VISIBLE

if TYPE_CHECKING:
    from explorer.model import ExplorerModel
    from explorer.plots.layers import Plot


class ConceptGraphView(View):
    """Shows concept, split latents, absorbing latents and tokens; the plot is drawn only while it is in view.

    Parameters
    ----------
    model : ExplorerModel
    """

    answers = ("split_latents", "absorbing_latents", "summary")
    follows = ("suite", "sae", "concept", "latent", "metric", "graph_edges", "dark")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._is_seen = False
        self._arranged: tuple[Any, Any, Graph] | None = None
        self._head = Markup(
            "section", on={"seen": self._see, **model.state.setters("graph_edges")}, margin=(16, 0, 0, 0)
        )
        self._plot: LivePlot | None = None
        self._place = pn.Column(sizing_mode="stretch_width")
        self._plot_table = PlotTable()
        self._layout = pn.Column(self._head, self._place, self._plot_table, sizing_mode="stretch_width")
        self._show()

    @property
    def _graph(self) -> Graph:
        """The nodes with their positions, recomputed only for new results."""
        split, absorbing = self._model.split_latents, self._model.absorbing_latents
        if self._arranged is None or self._arranged[0] is not split or self._arranged[1] is not absorbing:
            self._arranged = (split, absorbing, arrange(split, absorbing))
        return self._arranged[2]

    @property
    def _is_drawn(self) -> bool:
        return len(self._graph.absorbing) > 0 or len(self._graph.split) > 1

    def _see(self, is_seen: bool) -> None:  # noqa: FBT001 - a value from the browser
        self._is_seen = is_seen
        self._catch_up()

    def _catch_up(self) -> None:
        """Build or redraw the plot if it is in view, because HoloViews takes longer for it than for any other plot."""
        if not (self._is_seen and self._is_drawn):
            return
        height = self._graph.height
        if self._plot is None:
            self._plot = LivePlot(self.drawing, height=height, on_tap=self._tap)
            self._place[:] = [self._plot.pane]
            self._place.styles = self._place.styles | {"background": "none"}
        else:
            self._plot.height = height
            self._plot.update()

    def drawing(self) -> partial[Plot]:
        """Return the call that draws the graph for the state shown."""
        shown = self._model.shown
        return partial(
            concept_graph,
            self._graph,
            label=shown.label,
            edges=shown.graph_edges,
            selected=shown.latent,
            theme=theme(dark=shown.dark, large=shown.present),
        )

    def _tap(self, x: float, y: float) -> None:
        latent = self._graph.tapped(x, y)
        if latent is not None:
            self._model.select(latent)

    def _show(self) -> None:
        self._layout.visible = self._model.shown.sae is not None
        # A style, because Bokeh lays out the whole page after a change of its property `visible`.
        size = {"min-height": f"{self._graph.height}px", "background": "none" if self._plot else "var(--ax-panel)"}
        self._place.styles = VISIBLE | size if self._is_drawn else HIDDEN
        self._catch_up()
        self._plot_table.put(self._table() if self._is_drawn else None)
        graph, shown, absorbing = self._graph, self._model.shown, self._model.absorbing_latents
        summary = self._model.summary or {}
        self._head.html = render(
            "concept_graph_head",
            label=shown.label,
            edges=EDGES,
            chosen=shown.graph_edges,
            split=graph.split["latent"].tolist(),
            has_f1=bool(graph.split["f1"].notna().any()),
            num_split=summary.get("num_split_latents"),
            num_drawn=len(graph.absorbing),
            num_absorbing=0 if absorbing is None else len(absorbing),
            num_drawn_tokens=graph.num_tokens,
            num_tokens=0 if absorbing is None else int(absorbing["num_tokens"].sum()),
            has_effects=bool(graph.absorbing["effect"].notna().any()),
            selected=shown.latent if shown.latent in graph.latents else None,
            is_measured=bool(summary),
            why_none=why_none_absorbs(self._model.summary, self._model.shown.metric),
        )

    def _table(self) -> Table:
        """Return the table of all edges, including those that are not drawn."""
        columns = ["from", "to", "F1 brought", "tokens", "effect"]
        return Table("split-absorb-graph", "Show as table (complete)", columns, self._rows)

    def _rows(self) -> list[list[object]]:
        split, absorbing = self._model.split_latents, self._model.absorbing_latents
        rows: list[list[object]] = []
        if split is not None:
            label = self._model.shown.label
            brought = split["f1_gain"].where(split["k"] > 1, split["f1"])
            rows += [
                [label, f"split latent {latent}", number(f1), "–", "–"]
                for latent, f1 in zip(split["latent"], brought, strict=True)
            ]
        if absorbing is not None:
            silence = (
                "silence" if split is None or split.empty else f"silence of {', '.join(map(str, split['latent']))}"
            )
            for row in absorbing.itertuples():
                name = f"absorbing latent {row.latent}"
                rows.append([silence, name, "–", row.num_tokens, number(row.mean_effect, 2)])
                rows += [
                    [name, visible(token), "–", 1, number(effect, 2)]
                    for token, effect in zip(row.tokens, row.effects, strict=True)
                ]
        return rows
