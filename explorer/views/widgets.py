"""Bokeh's slider for the page: named after its parameter, in the page's colours, and with an accessible label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import panel as pn

from explorer.text.glossary import GLOSSARY
from explorer.views.act import one_act
from explorer.views.markup import Markup, render

if TYPE_CHECKING:
    import param

_SLIDER_STYLE = """
:host { --slider-size: 4px; font: 12px var(--ax-font); color: var(--ax-muted); }
.noUi-target { background: var(--ax-rule); border: 0; box-shadow: none; }
.noUi-connect { background: var(--ax-muted) !important; }
.noUi-handle {
  background: var(--ax-paper) !important; border: 2px solid var(--ax-ink) !important; box-shadow: none !important;
}
@media (forced-colors: active) {
  .noUi-target { border: 1px solid !important; }
  .noUi-connect { forced-color-adjust: none; }
}
/* The suite's own value, if --own is set. */
.noUi-base::before {
  content: ""; position: absolute; left: calc(var(--own, -99) * 100% - 1px); top: -5px; width: 2px; height: 14px;
  background: var(--ax-muted);
}
.bk-slider-title { color: var(--ax-muted); font: 12px/20px var(--ax-font); margin-bottom: 8px; }
"""

_DIGITS = 6


class Slider(pn.widgets.FloatSlider):
    """A slider below its label, which also labels the handle (markup.js), because Bokeh does not.

    Its Bokeh model has the name of the parameter that it sets, and all changes after an event are sent in one message.
    """

    _drives: str = ""

    @classmethod
    def of(cls, parameter: param.Parameter, label: str, *, drives: str | None = None, **params: Any) -> pn.Column:
        """Create the widget for `parameter`, with its label; its model is named after the parameter or `drives`."""
        widget = cls.from_param(
            parameter, label="", margin=0, sizing_mode="stretch_width", stylesheets=[_SLIDER_STYLE], **params
        )
        widget._drives = drives if drives is not None else str(parameter.name)  # noqa: SLF001 - its own class
        words = Markup(
            "label", html=render("slider_label", label=label, of=parameter.name if parameter.name in GLOSSARY else "")
        )
        return pn.Column(words, widget, margin=(8, 0, 16, 0), max_width=420, sizing_mode="stretch_width")

    def _get_properties(self, doc: Any) -> dict[str, Any]:
        return super()._get_properties(doc) | {"name": self._drives or None}

    def _process_events(self, events: dict[str, Any]) -> None:
        # The browser adds up steps, so 0.14 arrives as 0.13999999999999999 and would appear like this in the URL. If
        # the value were rounded later, Panel would send it back to the slider, which may have moved meanwhile.
        taken = {name: round(value, _DIGITS) for name, value in events.items() if self._takes(name, value)}
        with one_act():
            super()._process_events(taken)

    def _takes(self, name: str, value: object) -> bool:
        """Return whether a visitor can choose that value; a browser may send any value of any property."""
        return (
            name in ("value", "value_throttled") and isinstance(value, int | float) and self.start <= value <= self.end
        )
