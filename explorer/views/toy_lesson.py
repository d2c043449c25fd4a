"""Step 1 of the page Learn: the toy SAE in closed form, with its vectors, loss, and outputs for each input."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import panel as pn

from explorer.format import number
from explorer.learn.toy import KINDS, Toy, ToySae, absorbing_sae, absorption_loss, hedging_loss, hedging_sae
from explorer.plots.toy import AXES, HEIGHT, VECTORS_HEIGHT, loss_plot, loss_table, vectors_plot
from explorer.theme import theme
from explorer.views.live_plot import LivePlot
from explorer.views.markup import Markup, render
from explorer.views.plot_table import PlotTable, Table
from explorer.views.toy_controls import TOY, toy_of
from explorer.views.view import View

if TYPE_CHECKING:
    from explorer.model import ExplorerModel
    from explorer.plots.layers import Plot
    from explorer.state import Snapshot

#: Two plots side by side if there is room.
FLOW = {"flex-wrap": "wrap", "gap": "8px 24px"}
#: The first is approximately square; the other takes the remaining width.
SQUARE, REST = {"flex": "1 1 280px", "max-width": "380px"}, {"flex": "1 1 280px", "min-width": "0"}
_TABLED = 11


class ToyLesson(View):
    """Shows the toy for the values of the sliders.

    Parameters
    ----------
    model : ExplorerModel
    """

    follows = ("learn_latents", "absorption", "hedging", *TOY, "dark")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._head = Markup("section")
        self._vectors = LivePlot(self.vectors, height=VECTORS_HEIGHT, styles=SQUARE)
        self._loss = LivePlot(self.losses, height=HEIGHT, styles=REST)
        self._table = PlotTable()
        self._kinds = Markup("kinds")
        self._layout = pn.Column(
            self._head,
            pn.Row(self._vectors.pane, self._loss.pane, sizing_mode="stretch_width", styles=FLOW),
            self._kinds,
            self._table,
            sizing_mode="stretch_width",
        )
        self._show()

    def vectors(self) -> partial[Plot]:
        """Return the call that draws the vectors."""
        shown = self._model.shown
        return partial(_vectors, place_of(shown), shown.learn_latents, toy_of(shown), theme=theme(dark=shown.dark))

    def losses(self) -> partial[Plot]:
        """Return the call that draws the loss along the slider."""
        shown = self._model.shown
        return partial(
            loss_plot,
            toy_of(shown),
            num_latents=shown.learn_latents,
            at=place_of(shown),
            theme=theme(dark=shown.dark),
        )

    def _show(self) -> None:
        shown = self._model.shown
        toy, place, latents = toy_of(shown), place_of(shown), shown.learn_latents
        self._vectors.update()
        self._loss.update()
        self._head.html = render("toy_lesson_head", num_latents=latents)
        loss = (hedging_loss if latents == 1 else absorption_loss)(toy, place)
        sae = sae_of(toy, latents, place)
        self._kinds.html = render(
            "kinds",
            kinds=kinds_of(toy, sae),
            num_latents=latents,
            loss=loss,
            weight=toy.sparsity,
            correlation=toy.correlation,
        )
        self._table.put(_tabled(toy, latents))


def place_of(shown: Snapshot) -> float:
    """Return the position of the slider."""
    return float(shown.hedging if shown.learn_latents == 1 else shown.absorption)


def sae_of(toy: Toy, num_latents: int, place: float) -> ToySae:
    """Return the SAE at a position of the slider."""
    return hedging_sae(toy, place) if num_latents == 1 else absorbing_sae(place)


def _vectors(place: float, num_latents: int, toy: Toy, *, theme: Any) -> Plot:
    return vectors_plot(sae_of(toy, num_latents, place), theme=theme)


def kinds_of(toy: Toy, sae: ToySae) -> list[dict[str, Any]]:
    """List the kinds of input that occur, with probability, activations, output, and both losses."""
    rows = []
    for kind, name in enumerate(KINDS):
        if toy.probabilities[kind] > 0:
            rows.append(
                {
                    "name": name,
                    "probability": float(toy.probabilities[kind]),
                    "activations": sae.activations[kind].tolist(),
                    "output": sae.outputs[kind].tolist(),
                    "error": float(sae.errors[kind]),
                    "sparsity": float(sae.sparsity_losses[kind]),
                }
            )
    return rows


def _tabled(toy: Toy, num_latents: int) -> Table:
    def rows() -> list[list[object]]:
        columns = ("x", "error", "sparsity", "total")
        return [
            [number(getattr(row, name), 2 if name == "x" else 4) for name in columns]
            for row in loss_table(toy, num_latents, _TABLED).itertuples()
        ]

    columns = [AXES[num_latents], "reconstruction error", "sparsity, weighted", "loss"]
    return Table("toy-loss", "The loss along the slider as a table", columns, rows)
