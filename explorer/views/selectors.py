"""Layer, width and L0 of the SAE, the badge that says whether it is canonical, and the pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import panel as pn
import param

from explorer.format import width_label
from explorer.state import PAGES
from explorer.views.markup import Markup, render

if TYPE_CHECKING:
    from collections.abc import Callable

    from explorer.state import ExplorerState

PAGE_TITLES = {name: name.capitalize() for name in PAGES}
_STYLE = """
.bk-btn-group { display: flex; flex-wrap: wrap; gap: 3px; }
:host(.solid) .bk-btn-group > button.bk-btn.bk-btn-default {
  flex: 1 1 auto; min-width: 40px; border: 1px solid var(--ax-rule); border-radius: 6px; background: var(--ax-paper);
  color: var(--ax-ink); font: 13px/20px var(--ax-font); padding: 3px 6px; margin: 0; box-shadow: none;
  font-variant-numeric: tabular-nums; transition: none; height: auto;
}
:host(.solid) .bk-btn-group > button.bk-btn.bk-btn-default:hover { border-color: var(--ax-muted); }
:host(.solid) .bk-btn-group > button.bk-btn.bk-btn-default.bk-active {
  background: var(--ax-ink); color: var(--ax-paper); border-color: var(--ax-ink); box-shadow: none;
}
:host(.solid) .bk-btn-group > button.bk-btn.bk-btn-default:focus { outline: none; }
:host(.solid) .bk-btn-group > button.bk-btn.bk-btn-default:focus-visible {
  outline: 2px solid var(--ax-split); outline-offset: 2px;
}
"""
SLIDER_STYLE = """
:host { --slider-size: 4px; font: 12px var(--ax-font); color: var(--ax-muted); }
.noUi-target { background: var(--ax-rule); border: 0; box-shadow: none; }
.noUi-connect { background: var(--ax-muted) !important; }
.noUi-handle {
  background: var(--ax-paper) !important; border: 2px solid var(--ax-ink) !important; box-shadow: none !important;
}
.bk-slider-title { color: var(--ax-muted); }
"""


class Choice(pn.widgets.RadioButtonGroup):
    """A radio group whose Bokeh model carries the name of the parameter it drives, and which labels its options.

    Panel writes plain options whenever the parameter's objects change; they are labelled anew each time.
    """

    _parameter: str | None = None
    _label: Callable[[Any], str] = str

    @classmethod
    def of(cls, parameter: param.Parameter, label: Callable[[Any], str] = str) -> Choice:
        """Make the widget that drives `parameter`, its options written by `label`."""
        widget = cls.from_param(
            parameter, label="", description=None, margin=0, sizing_mode="stretch_width", stylesheets=[_STYLE]
        )
        widget._parameter, widget._label = parameter.name, label  # noqa: SLF001 - its own class
        widget.relabel()
        return widget

    @param.depends("options", watch=True)
    def relabel(self) -> None:
        """Write the labels of the options."""
        labelled = {self._label(value): value for value in self.values}
        if dict(self.options) != labelled:
            self.options = labelled

    def _get_properties(self, doc: Any) -> dict[str, Any]:
        return super()._get_properties(doc) | {"name": self._parameter}


class Selectors(pn.viewable.Viewer):
    """Chooses page and SAE; each of layer, width and L0 narrows the next.

    Parameters
    ----------
    state : ExplorerState
    """

    def __init__(self, state: ExplorerState) -> None:
        super().__init__()
        self._state = state
        self._widgets = {
            "layer": Choice.of(state.param.layer),
            "width": Choice.of(state.param.width, width_label),
            "l0": Choice.of(state.param.l0, self._l0_label),
        }
        self._nav = Markup("page", on={"page": self._go})
        self._badge = Markup("badge")
        rows = [
            pn.Column(
                Markup("label", html=render("label", name=name)),
                widget,
                margin=(0, 0, 8, 0),
                sizing_mode="stretch_width",
            )
            for name, widget in self._widgets.items()
        ]
        self._layout = pn.Column(
            *([self._nav] if len(PAGES) > 1 else []), *rows, self._badge, sizing_mode="stretch_width"
        )
        state.param.watch(self._show, ["suite", "layer", "width", "l0", "page"])
        self._show()

    def _l0_label(self, l0: int) -> str:
        """Write an L0, the canonical SAE's with a mark."""
        here = (self._state.layer, self._state.width, l0)
        return f"{l0}*" if any(sae.canonical and sae.key == here for sae in self._state.saes) else str(l0)

    def _go(self, page: str) -> None:
        self._state.apply({"page": page})

    def _show(self, *_: param.parameterized.Event) -> None:
        state = self._state
        # The same L0s may be marked otherwise on another layer.
        self._widgets["l0"].relabel()
        any_canonical = any(sae.canonical for sae in state.saes)
        self._badge.html = render("badge", sae=state.sae, any_canonical=any_canonical)
        self._nav.html = render("nav", pages=PAGE_TITLES, page=state.page)

    def __panel__(self) -> pn.viewable.Viewable:
        return self._layout
