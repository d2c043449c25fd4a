"""Step 2 of the page Learn: the toy trained from several starts, in a separate thread."""

from __future__ import annotations

from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import panel as pn

from explorer.format import number
from explorer.learn.toy import best_absorption
from explorer.learn.training import STARTS, STEPS, Training, train
from explorer.plots.toy import HEIGHT, loss_plot, training_plot
from explorer.theme import theme
from explorer.views.background import in_background
from explorer.views.live_plot import LivePlot
from explorer.views.markup import Markup, render
from explorer.views.plot_table import PlotTable, Table
from explorer.views.toy_controls import TOY, toy_of
from explorer.views.toy_lesson import FLOW, REST
from explorer.views.view import View

if TYPE_CHECKING:
    from explorer.learn.toy import Toy
    from explorer.model import ExplorerModel
    from explorer.plots.layers import Plot
    from explorer.views.background import Caller

    Wanted = tuple[Toy, int]

#: One training at a time for all sessions of the process.
_TURN = Lock()
_MOST_SEED = 1_000_000


class TrainingLesson(View):
    """Trains the toy of the sliders and shows the final absorption of each start.

    A session trains one toy at a time; if the settings change meanwhile, the new toy is trained next.

    Parameters
    ----------
    model : ExplorerModel
    """

    follows = (*TOY, "toy_seed", "dark")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._is_training = False
        self._trained: tuple[Wanted, Training] | None = None
        self._head = Markup("section", on={"again": self._start_again})
        self._paths = LivePlot(self.paths, height=HEIGHT, styles=REST)
        self._ends = LivePlot(self.ends, height=HEIGHT, styles=REST)
        self._table = PlotTable()
        self._layout = pn.Column(
            self._head,
            pn.Row(self._paths.pane, self._ends.pane, sizing_mode="stretch_width", styles=FLOW),
            self._table,
            sizing_mode="stretch_width",
        )
        self._show()

    @property
    def _wanted(self) -> Wanted:
        return toy_of(self._model.shown), self._model.shown.toy_seed

    @property
    def _training(self) -> Training | None:
        """The training result for the settings shown; None until it is available."""
        return self._trained[1] if self._trained and self._trained[0] == self._wanted else None

    def _start_again(self, _: object) -> None:
        seed = self._model.state.toy_seed
        self._model.state.apply({"toy_seed": (seed + 1) % _MOST_SEED})

    def paths(self) -> partial[Plot]:
        """Return the call that draws the absorption of each start over the steps."""
        shown = self._model.shown
        return partial(training_plot, self._training, best=best_absorption(toy_of(shown)), theme=theme(dark=shown.dark))

    def ends(self) -> partial[Plot]:
        """Return the call that draws the final absorption of each start over the loss along the slider."""
        shown = self._model.shown
        return partial(
            loss_plot, toy_of(shown), num_latents=2, at=None, ends=self._training, theme=theme(dark=shown.dark)
        )

    def _show(self) -> None:
        if self._training is None and not self._is_training:
            self._train()
        self._draw()

    def _train(self) -> None:
        self._is_training = True
        wanted = self._wanted

        def work(caller: Caller) -> None:
            training = train(*wanted)
            caller.run_in_session(partial(self._take, wanted, training))

        in_background(work, _TURN)

    def _take(self, wanted: Wanted, training: Training) -> None:
        self._is_training = False
        self._trained = wanted, training
        self._show()

    def _draw(self) -> None:
        training, (toy, seed) = self._training, self._wanted
        self._paths.update()
        self._ends.update()
        self._head.html = render(
            "training_head",
            is_trained=training is not None,
            starts=STARTS,
            steps=STEPS,
            seed=seed,
            ended=None if training is None else _ended(training.absorption[-1]),
            best=best_absorption(toy),
        )
        self._table.put(None if training is None else _tabled(training))


def _ended(places: np.ndarray) -> tuple[float, float] | None:
    """Return the lowest and the highest final absorption."""
    known = places[np.isfinite(places)]
    return (float(known.min()), float(known.max())) if len(known) else None


def _tabled(training: Training) -> Table:
    def rows() -> list[list[object]]:
        return [
            [start, number(first, 2), number(last, 2), number(loss, 4)]
            for start, (first, last, loss) in enumerate(
                zip(training.absorption[0], training.absorption[-1], training.loss[-1], strict=True), start=1
            )
        ]

    columns = ["start", "absorption at the start", "absorption at the end", "loss at the end"]
    return Table("toy-training", "Where each start ended as a table", columns, rows)
