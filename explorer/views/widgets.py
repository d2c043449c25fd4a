"""Bokeh's widgets the way the page needs them: named after what they drive, in the page's colours, labelled for all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import panel as pn
from bokeh.document.events import ModelChangedEvent

from explorer.saes import TITLES, value_labels
from explorer.views.act import one_act
from explorer.views.markup import Markup, render

if TYPE_CHECKING:
    import param

    from explorer.state import ExplorerState

_CHOICE_STYLE = """
.bk-input-group { display: grid; grid-template-columns: repeat(auto-fit, minmax(44px, 1fr)); gap: 3px; }
label {
  position: relative; padding: 3px 4px; text-align: center; cursor: pointer;
  border: 1px solid var(--ax-rule); border-radius: 6px; background: var(--ax-paper); color: var(--ax-ink);
  font: 13px/20px var(--ax-font); font-variant-numeric: tabular-nums;
}
label:hover { border-color: var(--ax-muted); }
label:has(:checked) { background: var(--ax-ink); color: var(--ax-paper); border-color: var(--ax-ink); }
label:has(:focus-visible) { outline: 2px solid var(--ax-split); outline-offset: 2px; }
label > span { position: static !important; margin: 0 !important; }
input { position: absolute; inset: 0; margin: 0; opacity: 0; pointer-events: none; }
@media (max-width: 720px) { label { padding: 6px; } }
"""
#: Texts take more room than numbers.
_TEXT_STYLE = """
.bk-input-group { grid-template-columns: repeat(auto-fit, minmax(100px, 1fr)); }
label > span { overflow-wrap: anywhere; }
"""
_SLIDER_STYLE = """
:host { --slider-size: 4px; font: 12px var(--ax-font); color: var(--ax-muted); }
.noUi-target { background: var(--ax-rule); border: 0; box-shadow: none; }
.noUi-connect { background: var(--ax-muted) !important; }
.noUi-handle {
  background: var(--ax-paper) !important; border: 2px solid var(--ax-ink) !important; box-shadow: none !important;
}
/* The suite's own value, where the owner tells it. */
.noUi-base::before {
  content: ""; position: absolute; left: calc(var(--own, -99) * 100% - 1px); top: -5px; width: 2px; height: 14px;
  background: var(--ax-muted);
}
.bk-slider-title { color: var(--ax-muted); font: 12px/20px var(--ax-font); margin-bottom: 8px; }
"""

_DIGITS = 6


class _Driving(pn.widgets.Widget):
    """A widget whose Bokeh model has the name of the parameter it drives, and whose changes are sent as one message."""

    _drives: str = ""

    __abstract = True

    def _get_properties(self, doc: Any) -> dict[str, Any]:
        return super()._get_properties(doc) | {"name": self._drives or None}

    def _process_events(self, events: dict[str, Any]) -> None:
        with one_act():
            super()._process_events({name: value for name, value in events.items() if self._takes(name, value)})

    def _takes(self, name: str, value: object) -> bool:
        """Tell whether a reader can have chosen that value: a browser may send any, of any property."""
        raise NotImplementedError


class Choice(_Driving, pn.widgets.RadioBoxGroup):
    """A row of radio buttons that chooses among the values that an attribute of SAEs has, each under its label.

    Not linked by `from_param`: that hands on new options and new value one after the other, and where the former value
    is no option any more, Panel 1.9 sets the widget's value to None and writes that back into the state.
    """

    _state: ExplorerState
    _title: str = ""

    @classmethod
    def of(cls, state: ExplorerState, name: str) -> Choice:
        """Make the widget that chooses the value of the attribute `name`."""
        styles = [_CHOICE_STYLE, *([_TEXT_STYLE] if name in ("hook", "architecture") else [])]
        widget = cls(margin=0, sizing_mode="stretch_width", stylesheets=styles)
        widget._state, widget._drives, widget._title = state, name, TITLES[name]
        state.param.watch(widget.follow, ["suite", "sae"])
        widget.follow()
        return widget

    def follow(self, *_: param.parameterized.Event) -> None:
        """Take over options and value as one change; the canonical SAE's L0 has a mark."""
        state, name = self._state, self._drives
        values = state.options[name]
        marked = {sae.l0 for sae in state.alike if sae.canonical} if name == "l0" else set()
        options = {label + "*" * (value in marked): value for value, label in value_labels(name, values).items()}
        self.param.update(options=options, value=getattr(state.chosen_sae, name, None))

    def _process_param_change(self, params: dict[str, Any]) -> dict[str, Any]:
        props = super()._process_param_change(params)
        if "labels" in props:
            # The same value may stand at another place among new options; Panel tells the browser of a new value only.
            props["active"] = self._active
        return props

    @property
    def _active(self) -> int | None:
        """The place of the value among the options; None where there are none."""
        return self.values.index(self.value) if self.value in self.values else None

    def _takes(self, name: str, value: object) -> bool:
        return name == "active" and type(value) is int and value in range(len(self.values))

    def _process_events(self, events: dict[str, Any]) -> None:
        with one_act():
            for name, value in events.items():
                if self._takes(name, value):
                    self._state.narrow(self._drives, self.values[value])
            # The reader's change and one of the session's (of the options, say) may have crossed on their way, and each
            # end would be left with the other's: the browser is told how it ended.
            for model, _ in self._models.values():
                model.active = self._active
                told = ModelChangedEvent(model.document, model, "active", model.active)
                model.document.callbacks.trigger_on_change(told)

    def _get_properties(self, doc: Any) -> dict[str, Any]:
        group = {"role": "radiogroup", "aria-label": self._title}
        return super()._get_properties(doc) | {"html_attributes": group}


class Slider(_Driving, pn.widgets.FloatSlider):
    """A slider below its label, which names its handle (markup.js), too: Bokeh leaves that without a name."""

    def _takes(self, name: str, value: object) -> bool:
        return (
            name in ("value", "value_throttled") and isinstance(value, int | float) and self.start <= value <= self.end
        )

    @classmethod
    def of(cls, parameter: param.Parameter, label: str, *, drives: str | None = None, **params: Any) -> pn.Column:
        """Make the widget that drives `parameter`, and its label; its model is called by the parameter or `drives`."""
        widget = cls.from_param(
            parameter, label="", margin=0, sizing_mode="stretch_width", stylesheets=[_SLIDER_STYLE], **params
        )
        widget._drives = drives if drives is not None else str(parameter.name)  # noqa: SLF001 - its own class
        words = Markup("label", html=render("slider_label", label=label))
        return pn.Column(words, widget, margin=(8, 0, 16, 0), max_width=420, sizing_mode="stretch_width")

    def _process_property_change(self, props: dict[str, Any]) -> dict[str, Any]:
        # The browser adds up steps: 0.14 comes as 0.13999999999999999, and would stand so in the URL.
        rounded = {name: round(value, _DIGITS) if isinstance(value, float) else value for name, value in props.items()}
        return super()._process_property_change(rounded)
