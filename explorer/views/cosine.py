"""The cosine plot of all latents, in three forms, with tap and range selection."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
import panel as pn

from explorer.format import number
from explorer.plots.cosine import HEIGHT, cosine_distribution, cosine_plot, nearest_latent, with_x, y_range
from explorer.theme import theme
from explorer.views.live_plot import LivePlot
from explorer.views.markup import Markup, render
from explorer.views.plot_table import PlotTable, Table
from explorer.views.view import View

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from explorer.model import ExplorerModel
    from explorer.plots.layers import Plot

VIEWS = {name: name for name in ("index", "rank", "distribution")}
_LISTED = 40
_TABLED = 25


class CosineView(View):
    """Shows the cosines of all latents with the concept's probe; a tap or a selected range shows latents.

    Parameters
    ----------
    model : ExplorerModel
    alone : bool
        Whether the view is shown without the lists of latents and the latent's card.
    """

    answers = ("cosines", "split_latents", "absorbing_latents")
    follows = (
        *("suite", "sae", "concept", "latent"),
        *("cosine_view", "cosine_threshold", "cosine_range", "dark", "touch"),
    )

    def __init__(self, model: ExplorerModel, *, alone: bool = False) -> None:
        super().__init__(model)
        self._alone = alone
        state = model.state
        self._head = Markup("section", on=state.setters("cosine_view"))
        self._selection = Markup(
            "selection",
            on={"latent": self._select, "clear": self._clear, "clear-range": self._clear_range},
        )
        self._plot: LivePlot | None = None
        self._place = pn.Column(sizing_mode="stretch_width")
        self._message = Markup("message")
        self._plot_table = PlotTable()
        self._zoom = hv.streams.RangeX()
        self._layout = pn.Column(
            self._head, self._place, self._selection, self._plot_table, sizing_mode="stretch_width"
        )
        self._zoomed_in = self._n_latents
        self._placed = ""
        self._show()

    @property
    def _n_latents(self) -> int:
        return 0 if self._model.cosines is None else len(self._model.cosines)

    @property
    def _split(self) -> list[int]:
        frame = self._model.split_latents
        return [] if frame is None else frame["latent"].tolist()

    @property
    def _absorbing(self) -> list[int]:
        frame = self._model.absorbing_latents
        return [] if frame is None else frame["latent"].tolist()

    def _show(self) -> None:
        self._layout.visible = self._model.shown.sae is not None
        self._show_plot()
        self._show_words()
        self._plot_table.put(highest(self._model.cosines, self._roles))

    def _show_plot(self) -> None:
        """Show the plot of the chosen form, or the reason for its absence; a plot of the same form is kept."""
        wanted = self._model.shown.cosine_view if self._n_latents else "empty"
        if self._zoomed_in != self._n_latents:
            # When the number of latents changes, the plot zooms out to all of them, and its line must as well.
            self._zoomed_in = self._n_latents
            self._zoom.update(x_range=None)
        if wanted == "empty":
            self._message.html = no_cosines_html(self._model)
        if wanted == self._placed:
            if self._plot is not None:
                self._plot.update()
            return
        self._placed = wanted
        self._plot = None if wanted == "empty" else self._live(wanted)
        if self._plot is None:
            self._place.param.update(objects=[self._message], min_height=None)
        else:
            self._place.param.update(objects=[self._plot.pane], min_height=HEIGHT)

    def _live(self, view: str) -> LivePlot:
        """Create the plot of one form, with the handlers of its events."""
        if view == "distribution":
            return LivePlot(
                self.drawing,
                height=HEIGHT,
                on_tap=self._tap_distribution,
                on_brush=(hv.streams.BoundsX, self._brush),
            )
        return LivePlot(
            self.drawing,
            height=HEIGHT,
            on_tap=lambda x, y: self._tap(view, x, y),
            on_brush=(hv.streams.BoundsY, self._brush),
            zoom=self._zoom,
        )

    def drawing(self) -> partial[Plot]:
        """Return the call that draws the cosines in the chosen form."""
        shown, view = self._model.shown, self._model.shown.cosine_view
        return partial(
            cosine_distribution if view == "distribution" else partial(cosine_plot, view=view),
            self._model.cosines,
            split=self._split,
            absorbing=self._absorbing,
            selected=shown.latent,
            threshold=shown.cosine_threshold,
            brushed=shown.cosine_range,
            theme=theme(dark=shown.dark, large=shown.present),
            touch=shown.touch,
        )

    def _tap(self, view: str, x: float, y: float) -> None:
        cosines = self._model.cosines
        if cosines is None or cosines.empty:
            return
        data = with_x(cosines, view)
        low, high = self._zoom.x_range or (data["x"].min(), data["x"].max())
        if view == "rank":
            # Distances are measured on the screen, where ranks have a logarithmic axis.
            data = data.assign(x=np.log10(data["x"]))
            x, low, high = (math.log10(max(at, 0.1)) for at in (x, low, high))
        bottom, top = y_range(cosines)
        self._select_nearest(data, x, y, x_span=high - low, y_span=top - bottom)

    def _tap_distribution(self, x: float, _: float) -> None:
        cosines = self._model.cosines
        if cosines is None or cosines.empty:
            return
        low, high = y_range(cosines)
        marked = cosines[cosines["latent"].isin([*self._split, *self._absorbing])]
        # Marks are on the axis, so only the distance in cosine counts.
        data = marked.assign(x=marked["cosine"], cosine=0.0)
        self._select_nearest(data, x, 0.0, x_span=high - low, y_span=1.0)

    def _select_nearest(self, data: pd.DataFrame, x: float, y: float, *, x_span: float, y_span: float) -> None:
        marked = [*self._split, *self._absorbing]
        latent = nearest_latent(data, x, y, marked=marked, x_span=x_span, y_span=y_span)
        if latent is not None:
            self._model.select(latent)
            self._model.act = "tap-cosine"

    def _brush(self, bounds: tuple[float, float] | None) -> None:
        if self._model.is_current:
            self._model.state.cosine_range = bounds

    def _select(self, latent: int) -> None:
        self._model.select(latent)

    def _clear(self, _: object) -> None:
        self._model.state.latent = None

    def _clear_range(self, _: object) -> None:
        self._model.state.cosine_range = None

    def _show_words(self) -> None:
        shown, cosines = self._model.shown, self._model.cosines
        self._head.html = render(
            "cosine_head", label=shown.label, views=VIEWS, view=shown.cosine_view, shown=bool(self._n_latents)
        )
        cosine = None
        if cosines is not None and shown.latent is not None:
            found = cosines.loc[cosines["latent"] == shown.latent, "cosine"]
            cosine = float(found.iloc[0]) if len(found) else None
        self._selection.html = render(
            "selection",
            selected=shown.latent,
            cosine=cosine,
            role="" if shown.latent is None else self._roles.get(shown.latent, ""),
            brushed=_brushed(cosines, shown.cosine_range),
            touch=shown.touch,
            plot=bool(self._n_latents),
            lists=bool(self._split or self._absorbing) and not self._alone,
            alone=self._alone,
        )

    @property
    def _roles(self) -> dict[int, str]:
        return roles(self._model.shown.label, self._split, self._absorbing)


def no_cosines_html(model: ExplorerModel) -> str:
    """Explain why there is no plot."""
    why = model.unanswered("cosines") or (
        f"The suite stores cosines of this SAE, but none for {model.shown.label}."
        if model.shown.chosen_sae and model.shown.chosen_sae.cosines
        else "This suite stores no cosines for this SAE. The lists and scores below do not need them."
    )
    return render("empty", title="No cosine plot", why=why)


def roles(label: str, split: Sequence[int], absorbing: Sequence[int]) -> dict[int, str]:
    """Return the role of each marked latent; a latent that is both split and absorbing counts as split."""
    return {
        **dict.fromkeys(absorbing, f"absorbing latent of {label}"),
        **dict.fromkeys(split, f"split latent of {label}"),
    }


def highest(cosines: pd.DataFrame | None, roles: Mapping[int, str]) -> Table | None:
    """Return the table of the latents with the highest cosines."""
    if cosines is None or cosines.empty:
        return None

    def rows() -> list[list[object]]:
        found = cosines.nlargest(_TABLED, "cosine")
        return [
            [rank, latent, number(cosine, 4), roles.get(latent, "–")]
            for rank, (latent, cosine) in enumerate(zip(found["latent"], found["cosine"], strict=True), start=1)
        ]

    summary = f"{min(_TABLED, len(cosines))} highest cosines (table)"
    return Table("cosine", summary, ["rank", "latent", "cosine", "part"], rows)


def _brushed(cosines: pd.DataFrame | None, bounds: tuple[float, float] | None) -> dict[str, Any] | None:
    """Return the latents in the selected range, highest cosine first."""
    if cosines is None or bounds is None:
        return None
    low, high = sorted(bounds)
    found = cosines[cosines["cosine"].between(low, high)].sort_values("cosine", ascending=False)
    return {"low": low, "high": high, "count": len(found), "latents": found.head(_LISTED).to_dict("records")}
