"""Step 3 of the page Learn: a linear probe on the toy's inputs, compared with its latents."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import panel as pn

from explorer.format import number
from explorer.learn.probing import fit_probe
from explorer.learn.toy import KINDS, Toy, absorbing_sae
from explorer.plots.toy import HEIGHT, VECTORS_HEIGHT, cosines_plot, vectors_plot
from explorer.theme import theme
from explorer.views.live_plot import LivePlot
from explorer.views.markup import Markup, render
from explorer.views.plot_table import PlotTable, Table
from explorer.views.toy_controls import TOY, toy_of
from explorer.views.toy_lesson import FLOW, REST, SQUARE
from explorer.views.view import View

if TYPE_CHECKING:
    from explorer.model import ExplorerModel
    from explorer.plots.layers import Plot
    from explorer.theme import Theme

_PLACES = np.linspace(0.0, 1.0, 51)
_TABLED = 5


class ProbeLesson(View):
    """Shows the probe, its prediction for each kind of input, and the cosines of the latents with it.

    Parameters
    ----------
    model : ExplorerModel
    """

    follows = (*TOY, "absorption", "cosine_threshold", "dark")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._head = Markup("section")
        self._vectors = LivePlot(self.vectors, height=VECTORS_HEIGHT, styles=SQUARE)
        self._cosines = LivePlot(self.cosines, height=HEIGHT, styles=REST)
        self._kinds = Markup("kinds")
        self._table = PlotTable()
        self._layout = pn.Column(
            self._head,
            pn.Row(self._vectors.pane, self._cosines.pane, sizing_mode="stretch_width", styles=FLOW),
            self._kinds,
            self._table,
            sizing_mode="stretch_width",
        )
        self._show()

    def vectors(self) -> partial[Plot]:
        """Return the call that draws the vectors with the probe."""
        shown = self._model.shown
        return partial(_vectors, toy_of(shown), shown.absorption, theme=theme(dark=shown.dark))

    def cosines(self) -> partial[Plot]:
        """Return the call that draws the cosines along the slider."""
        shown = self._model.shown
        return partial(
            _cosines,
            toy_of(shown),
            at=shown.absorption,
            threshold=shown.cosine_threshold,
            theme=theme(dark=shown.dark),
        )

    def _show(self) -> None:
        shown = self._model.shown
        toy = toy_of(shown)
        probe, sae = fit_probe(toy), absorbing_sae(shown.absorption)
        self._vectors.update()
        self._cosines.update()
        self._head.html = render("probe_head")
        scores, active = probe.scores, sae.activations
        self._kinds.html = render(
            "probed",
            kinds=[
                {
                    "name": name,
                    "is_parent": kind < 2,  # noqa: PLR2004 - the first two kinds have the parent
                    "score": float(scores[kind]),
                    "activations": active[kind].tolist(),
                }
                for kind, name in enumerate(KINDS)
                if toy.probabilities[kind] > 0
            ],
            cosines=probe.cosines(sae.decoder).tolist(),
            threshold=shown.cosine_threshold,
        )
        self._table.put(_tabled(toy))


def _vectors(toy: Toy, absorption: float, *, theme: Theme) -> Plot:
    return vectors_plot(absorbing_sae(absorption), probe=fit_probe(toy).direction, theme=theme)


def cosines_along(toy: Toy, places: np.ndarray) -> np.ndarray:
    """Return the cosines of both decoder rows with the probe along the slider, of shape (positions, 2)."""
    probe = fit_probe(toy)
    return np.array([probe.cosines(absorbing_sae(place).decoder) for place in places])


def _cosines(toy: Toy, *, at: float, threshold: float, theme: Theme) -> Plot:
    return cosines_plot(cosines_along(toy, _PLACES), _PLACES, at=at, threshold=threshold, theme=theme)


def _tabled(toy: Toy) -> Table:
    places = np.linspace(0.0, 1.0, _TABLED)

    def rows() -> list[list[object]]:
        return [
            [number(place, 2), *(number(cosine) for cosine in cosines)]
            for place, cosines in zip(places, cosines_along(toy, places).tolist(), strict=True)
        ]

    columns = ["absorption", "latent 1", "latent 2"]
    return Table("toy-cosines", "The cosines with the probe as a table", columns, rows)
