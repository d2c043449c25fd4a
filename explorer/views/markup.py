"""HTML on the page: Jinja templates with escaping, shown by a component that reports the visitor's actions."""

from __future__ import annotations

import base64
from contextlib import suppress
from functools import cache, partial
from importlib.resources import files
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any, ClassVar

import param
from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from markupsafe import Markup as Safe
from markupsafe import escape
from panel.custom import JSComponent
from panel.models.esm import ReactiveESM
from param.parameterized import no_instance_params

from explorer.format import (
    count,
    in_brackets,
    l0_label,
    metric_labels,
    number,
    percent,
    plain,
    rate_term,
    span_label,
    visible,
    width_label,
)
from explorer.text.glossary import definition
from explorer.upstream.bokeh import declare_missing
from explorer.views.act import take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from jinja2.runtime import Context

    from explorer.views.background import Caller

#: Maximum unacknowledged chunks of a file sent to the browser.
_UNDER_WAY = 2
STATIC: Path = files("explorer") / "static"  # type: ignore[assignment]


def chip(token: str) -> Safe:
    """Render a token as a monospaced chip with visible spaces."""
    return Safe('<code class="token">{}</code>').format(visible(token))


#: A button and the definition that it opens by mouse, touch or keyboard, without a script. The browser looks up the id
#: in the button's shadow root or, in a snapshot or site, in the whole document.
_TERM = Safe(
    '<button type="button" class="term{look}" data-key="{name}-term" popovertarget="{name}">{text}</button>'
    '<span class="definition" id="{name}" role="note" popover>{definition}</span>'
)


@pass_context
def term(context: Context, name: str, text: str = "", caller: Callable[[], str] | None = None) -> Safe:
    """Render a term of the glossary, as `text` or as the contents of a ``call`` block; a click opens its definition."""
    shown = caller() if caller else text
    return _TERM.format(look="", name=_id(context, name), text=shown, definition=definition(name))


@pass_context
def column_terms(context: Context, names: Mapping[str, str]) -> Safe:
    """Render a button that opens the definitions of a table's columns, given as terms by title; "" has none."""
    rows = [Safe("<b>{}</b> {}<br>").format(title, definition(name)) for title, name in names.items() if name]
    return _TERM.format(
        look=" plain", name=_id(context, "columns"), text="About the columns", definition=Safe().join(rows)
    )


def _id(context: Context, name: str) -> str:
    """Return a unique element id."""
    return f"{(context.name or '').removesuffix('.html')}-{name}".replace("_", "-")


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("explorer", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,  # otherwise each rendering checks the file's modification time
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"chip": chip, "visible": visible}
    environment.filters |= {"num": number, "percent": percent, "count": count, "width": width_label, "l0": l0_label}
    environment.filters |= {"plain": plain, "in_brackets": in_brackets, "metrics": metric_labels, "span": span_label}
    environment.filters |= {"rate_term": rate_term}
    environment.globals |= {"term": term, "column_terms": column_terms}
    return environment


def render(template: str, **values: object) -> str:
    """Render ``templates/<template>.html``; every value is escaped."""
    return _templates().get_template(f"{template}.html").render(values)


def render_part(template: str, part: str, *values: object) -> str:
    """Render a macro of ``templates/<template>.html``; see `render`."""
    return str(getattr(_templates().get_template(f"{template}.html").module, part)(*values))


@cache
def styles() -> str:
    """Return the style sheet of page and components."""
    return (STATIC / "explorer.css").read_text(encoding="utf-8")


@cache
def math_font() -> str:
    """Return the CSS rule with the font for formulas, which has the MATH table that MathML needs for its layout.

    The rule belongs in the document's style sheet, because style sheets of components cannot declare fonts. It
    contains the font file, so nothing is fetched.
    """
    font = base64.b64encode((STATIC / "math.woff2").read_bytes()).decode("ascii")
    return f'@font-face {{ font-family: "Noto Sans Math"; src: url(data:font/woff2;base64,{font}) format("woff2"); }}'


declare_missing(ReactiveESM, "html")


# Panel reads each parameter through the instance, which would copy it: 26 parameters for each of 36 components.
@no_instance_params
class Markup(JSComponent):
    """Shows server-rendered HTML in place and reports actions.

    An element with ``data-action`` reports its ``data-value`` when it is clicked, submitted or changed; the report
    calls the handler of that name. Focus, scroll positions and opened details survive a re-render.

    Parameters
    ----------
    css_name : str
        CSS class of the content, and the name of the Bokeh model.
    html : str or a reference to one
    on : mapping of str to callable
        Handlers by action; each takes the reported value, validated against the type of its annotation.
    """

    html = param.String(doc="The HTML shown; text in it must be escaped already.")
    css_name = param.String(doc="CSS class of the content.")

    _bundle: ClassVar[str] = "markup.js"

    def __init__(self, css_name: str, on: Mapping[str, Callable[[Any], object]] | None = None, **params: Any) -> None:
        self._handlers = {"taken": self._note_taken, **(on or {})}
        self._under_way = BoundedSemaphore(_UNDER_WAY)
        super().__init__(css_name=css_name, **{"sizing_mode": "stretch_width", "margin": 0} | params)

    def _get_properties(self, doc: Any) -> dict[str, Any]:
        # The Bokeh model has the name of its content, by which scripts and tests find it in the browser.
        return super()._get_properties(doc) | {"name": self.css_name}

    def send_file(self, name: str, pieces: Iterable[bytes], kind: str, caller: Caller) -> None:
        """Make the browser save a file of that name and media type; called from background work.

        A chunk is created and sent when the browser has received earlier ones, so both sides keep only a few.
        """
        self._under_way = BoundedSemaphore(_UNDER_WAY)
        for nth, piece in enumerate(pieces):
            message = {"nth": nth, "content": base64.b64encode(piece).decode("ascii")}
            caller.run_in_session(partial(self._send_msg, message), after=self._under_way)
        caller.run_in_session(partial(self._send_msg, {"save": name, "kind": kind}))

    def _note_taken(self, _: object) -> None:
        with suppress(ValueError):  # a notebook, or a browser that acknowledges more than was sent
            self._under_way.release()

    def _send_event(self, Event: Any, **values: Any) -> None:  # noqa: N803 - Panel's name for it
        """Send a message to the browser, also in a notebook, where Panel does not find the models' document."""
        super()._send_event(Event, **values)
        for model, _ in self._models.values():
            if model.document is not None and model.document.session_context is None:
                model.document.callbacks.send_event(Event(model=model, **values))

    def _handle_msg(self, data: Any) -> None:
        take(self._handlers, data)


__all__ = ["STATIC", "Markup", "chip", "escape", "number", "percent", "render", "render_part", "styles", "visible"]
