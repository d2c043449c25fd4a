"""The sliders of the thresholds, which update every count, rate and plot from stored scores."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import panel as pn

from explorer.format import metric_label, number
from explorer.state import PAPER
from explorer.views.markup import Markup, render
from explorer.views.widgets import Slider

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import param

    from explorer.model import ExplorerModel
    from explorer.state import ExplorerState

#: Label and number format of each slider.
SLIDERS = {
    "tau": ("tau: minimum F1 gain per split latent", "0.000"),
    "cosine_threshold": ("Minimum cosine of an absorbing latent", "0.000"),
    "effect_margin": ("Minimum effect margin (logits)", "0.00"),
}


class Thresholds(pn.viewable.Viewer):
    """Chooses the metric if there are several; sets and resets tau, cosine threshold and effect margin.

    Parameters
    ----------
    model : ExplorerModel
    """

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__()
        self._model = model
        state = model.state
        self._head = Markup(
            "thresholds",
            on={
                "reset": lambda _: state.apply(state.thresholds_of_suite._asdict()),
                **state.setters("metric"),
            },
        )
        self._sliders = {
            name: Slider.of(state.param[name], words, format=shown) for name, (words, shown) in SLIDERS.items()
        }
        self._layout = pn.Column(self._head, *self._sliders.values(), sizing_mode="stretch_width")
        state.param.watch(self._show, ["suite", "metric", *SLIDERS])
        self._show()

    def _show(self, *_: param.parameterized.Event) -> None:
        state = self._model.state
        own = state.thresholds_of_suite._asdict()
        for name, slider in self._sliders.items():
            slider.visible = name in state.movable
            low, high = state.param[name].softbounds
            # Position of the suite's own value, which the style sheet of sliders marks.
            slider.styles = {"--own": str((own[name] - low) / (high - low))}
        self._head.html = head_html(
            state,
            offered=[name for name in SLIDERS if name in state.movable],
            moved=", ".join(threshold_label(name, value) for name, value in state.moved.items()),
            metrics={name: metric_label(name) for name in state.metrics},
        )
        self._layout.visible = state.chosen_sae is not None

    def __panel__(self) -> pn.viewable.Viewable:
        return self._layout


def head_html(
    state: ExplorerState, *, offered: Collection[str], moved: str, metrics: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Render which thresholds are `moved` and which are not `offered`, and the choice of `metrics` if several."""
    own, paper = state.thresholds_of_suite._asdict(), PAPER._asdict()
    return render(
        "thresholds",
        moved=moved,
        of_suite=", ".join(
            f"{threshold_label(name, value)} (paper: {number(paper[name])})"
            for name, value in own.items()
            if value != paper[name]
        ),
        fixed=[_name(name) for name in SLIDERS if name not in offered],
        metric=state.metric,
        metrics=metrics,
    )


def threshold_label(threshold: str, value: float) -> str:
    """Return the name and the value of a threshold as text."""
    return f"{_name(threshold)} {number(value)}"


def _name(threshold: str) -> str:
    """Return the displayed name of a threshold."""
    return threshold.replace("_", " ")
