"""How the letter splits and what absorbs it, as a graph; a tap selects a latent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import panel as pn

from explorer.format import number, visible
from explorer.headline import why_none_absorbs
from explorer.plots.graph_edges import EDGES
from explorer.plots.graph_layout import Graph, arrange
from explorer.plots.letter_graph import letter_graph
from explorer.theme import theme
from explorer.views.live_plot import live_plot
from explorer.views.markup import Markup, render
from explorer.views.on_change import on_change
from explorer.views.sight import IN_SIGHT, OUT_OF_SIGHT

if TYPE_CHECKING:
    from collections.abc import Callable

    import holoviews as hv

    from explorer.model import ExplorerModel


class LetterGraphView(pn.viewable.Viewer):
    """Shows letter, split latents, absorbing latents and tokens; the plot is built and redrawn while it is in view.

    Parameters
    ----------
    model : ExplorerModel
    """

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__()
        self._model = model
        self._is_seen, self._is_stale = False, True
        self._arranged: tuple[Any, Any, Graph] | None = None
        self._head = Markup(
            "section", on={"seen": self._see, **model.state.setters("graph_edges")}, margin=(16, 0, 0, 0)
        )
        self._plot = pn.Column(sizing_mode="stretch_width")
        self._twin = Markup("twins")
        self._layout = pn.Column(self._head, self._plot, self._twin, sizing_mode="stretch_width")
        on_change(model, self._show, answers=["split_latents", "absorbing_latents", "summary"])
        on_change(model, self._show_head, shown=["letter", "latent", "graph_edges"], shown_with="summary")
        on_change(model, self._redraw, shown=["latent", "graph_edges", "dark"], shown_with="summary")
        self._show()

    @property
    def _graph(self) -> Graph:
        """The nodes in their places, arranged anew only where the answers are new."""
        split, absorbing = self._model.split_latents, self._model.absorbing_latents
        if self._arranged is None or self._arranged[0] is not split or self._arranged[1] is not absorbing:
            self._arranged = (split, absorbing, arrange(split, absorbing))
        return self._arranged[2]

    @property
    def _is_drawn(self) -> bool:
        return len(self._graph.absorbing) > 0 or len(self._graph.split) > 1

    def _see(self, is_seen: bool) -> None:  # noqa: FBT001 - what the browser reports
        self._is_seen = is_seen
        self._catch_up()

    def _have_drawn(self, draw_anew: Callable[[], object]) -> None:
        self._draw_anew = draw_anew

    def _redraw(self) -> None:
        self._is_stale = True
        self._catch_up()

    def _catch_up(self) -> None:
        """Build or redraw what is out of date once it is in view: of all plots it takes HoloViews longest."""
        if not (self._is_stale and self._is_seen and self._is_drawn):
            return
        self._is_stale = False
        if len(self._plot):
            for plot in self._plot:
                plot.height = self._graph.height
            self._draw_anew()
        else:
            height = self._graph.height
            self._plot[:] = [live_plot(self._draw, follows=self._have_drawn, height=height, on_tap=self._tap)]

    def _show_plot(self) -> None:
        """Give the plot its place, by a style: a property of Bokeh's would have it lay out all of the page."""
        self._plot.styles = IN_SIGHT | {"min-height": f"{self._graph.height}px"} if self._is_drawn else OUT_OF_SIGHT
        self._redraw()

    def _draw(self) -> hv.Overlay:
        shown = self._model.shown
        return letter_graph(
            self._graph,
            letter=shown.letter,
            edges=shown.graph_edges,
            selected=shown.latent,
            theme=theme(dark=shown.dark),
        )

    def _tap(self, x: float, y: float) -> None:
        latent = self._graph.tapped(x, y)
        if latent is not None:
            self._model.select(latent)

    def _show(self) -> None:
        self._layout.visible = self._model.shown.sae is not None
        self._show_plot()
        self._twin.html = self._tabulate() if self._is_drawn else ""
        self._show_head()

    def _show_head(self) -> None:
        graph, shown, absorbing = self._graph, self._model.shown, self._model.absorbing_latents
        summary = self._model.summary or {}
        self._head.html = render(
            "letter_graph_head",
            letter=shown.letter,
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
            why_none=why_none_absorbs(self._model.summary),
        )

    def _tabulate(self) -> str:
        """List every edge, drawn or not."""
        split, absorbing = self._model.split_latents, self._model.absorbing_latents
        rows: list[list[object]] = []
        if split is not None:
            letter = self._model.shown.letter.upper()
            brought = split["f1_gain"].where(split["k"] > 1, split["f1"])
            rows += [
                [letter, f"split latent {latent}", number(f1), "–", "–"]
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
        return render(
            "twin",
            name="split-absorb-graph",
            summary="The same as a table, nothing left out",
            columns=["from", "to", "F1 brought", "tokens", "effect"],
            rows=rows,
        )

    def __panel__(self) -> pn.viewable.Viewable:
        return self._layout
