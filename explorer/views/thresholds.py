"""The thresholds, live: every count, rate and plot of every page follows from stored scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panel as pn

from explorer.format import number
from explorer.views.markup import Markup, render
from explorer.views.widgets import Slider

if TYPE_CHECKING:
    import param

    from explorer.model import ExplorerModel

#: Words, lowest, highest, step, format of each slider.
SLIDERS = {
    "tau": ("tau: rise of F1 by a split latent", 0.0, 0.2, 0.005, "0.000"),
    "cosine_threshold": ("least cosine of an absorber", -0.1, 0.4, 0.005, "0.000"),
    "effect_margin": ("least lead of its effect, logits", 0.0, 4.0, 0.05, "0.00"),
}


class Thresholds(pn.viewable.Viewer):
    """Moves tau, cosine threshold and effect margin, and takes them back.

    Parameters
    ----------
    model : ExplorerModel
    """

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__()
        self._model = model
        state = model.state
        self._head = Markup("thresholds", on={"reset": lambda _: state.apply(state.thresholds_of_suite._asdict())})
        self._sliders = {
            name: Slider.of(state.param[name], words, start=low, end=high, step=step, format=shown)
            for name, (words, low, high, step, shown) in SLIDERS.items()
        }
        self._layout = pn.Column(self._head, *self._sliders.values(), sizing_mode="stretch_width")
        state.param.watch(self._show, ["suite", *SLIDERS])
        self._show()

    def _show(self, *_: param.parameterized.Event) -> None:
        state = self._model.state
        own = state.thresholds_of_suite._asdict()
        # SAEBench's verdicts cannot be decided anew: the total projection is not stored.
        fixed = self._model.store.suites[state.suite].manifest.method.metric == "full" if state.suite else False
        for name in ("cosine_threshold", "effect_margin"):
            self._sliders[name].visible = not fixed
        moved = {name: value for name, value in own.items() if getattr(state, name) != value}
        self._head.html = render(
            "thresholds",
            differs=state.differs_from_paper,
            own=", ".join(f"{name.replace('_', ' ')} {number(value)}" for name, value in moved.items()),
            fixed=fixed,
        )
        self._layout.visible = state.sae is not None

    def __panel__(self) -> pn.viewable.Viewable:
        return self._layout
