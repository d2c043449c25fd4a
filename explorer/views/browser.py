"""The browser's state in the session: URL and history, keys, theme, cookies, busy line."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote, urlencode

import panel as pn
import param
from panel.custom import JSComponent
from panel.models.esm import ReactiveESM

from explorer.embed_address import parse_address
from explorer.upstream.bokeh import declare_missing
from explorer.views.act import one_act, take

if TYPE_CHECKING:
    from collections.abc import Callable

    from explorer.model import ExplorerModel
    from explorer.views.act import Handlers


def remembered(name: str) -> str | None:
    """Return the value of the explorer's cookie `name`, None if there is none."""
    value = (pn.state.cookies or {}).get(f"ax_{name}")
    return None if value is None else unquote(value)


def requested_query() -> str:
    """Return the query of the URL with which this session was requested.

    Panel's Location component fails to parse numbers with thousands of digits, so pages are served without it.
    """
    arguments = pn.state.session_args or {}
    return urlencode([(name, value.decode("utf-8", "replace")) for name, (*_, value) in arguments.items()])


#: HoloViews (1.23) reports taps and selections after 10 ms, and a ping follows them.
_PLOT_MILLISECONDS = 50

declare_missing(ReactiveESM, "query", "present", "title", "pong", "waiting", "alone")


class Browser(JSComponent):
    """Synchronizes URL, history, theme and cookies of the browser with the state.

    Parameters
    ----------
    model : ExplorerModel
    on_refused : callable
        Receives the messages about rejected values of a URL.
    reconnect_seconds : int
        Seconds for which the page tries to reconnect after a disconnection.
    alone : str
        The part of the address that requests an embedded view; empty on the whole page.
    """

    query = param.String(doc="The URL's query that stands for the state.")
    dark = param.Boolean(doc="Whether the page is dark.")
    present = param.Boolean(doc="Whether the page is in presentation mode.")
    title = param.String(doc="Title of the tab.")
    memory = param.Dict(default={}, doc="Cookies to set: name to value.")
    waiting = param.Boolean(doc="Whether the results shown are older than the current choice.")
    reconnect_seconds = param.Integer(doc="Seconds for which the page tries to reconnect after a disconnection.")
    alone = param.String(doc="The part of the address that requests an embedded view; empty on the whole page.")
    pong = param.Integer(doc="The last ping answered: everything before it is done.")

    _bundle: ClassVar[str] = "browser.js"

    def __init__(
        self,
        model: ExplorerModel,
        on_refused: Callable[[list[str]], None],
        reconnect_seconds: int = 0,
        alone: str = "",
    ) -> None:
        super().__init__(width=0, height=0, margin=0, reconnect_seconds=reconnect_seconds, alone=alone)
        self._model = model
        self._state = state = model.state
        self._on_refused = on_refused
        self._handlers: Handlers = {
            **state.setters("page", "dark", "touch", "present"),
            "history": self._go_in_history,
            "step": self._step,
            "ping": self._note_ping,
        }
        self._ping = 0
        model.param.watch(self._answer, "waiting")
        state.param.watch(self._follow, [*state.URL_KEYS, "dark"])
        self._follow()

    def _follow(self, *_: param.parameterized.Event) -> None:
        state = self._state
        where = f"{state.label}, {state.chosen_sae.label} · " if state.chosen_sae else ""
        query = "&".join(filter(None, (state.to_query(), self.alone)))
        self.param.update(
            query=query, dark=state.dark, present=state.present, title=f"{where}{state.page} · Absorption Explorer"
        )

    def _note_ping(self, ping: tuple[int, bool]) -> None:
        number, is_of_plot = ping
        document = pn.state.curdoc
        if is_of_plot and document is not None and document.session_context is not None:
            document.add_timeout_callback(partial(self._answer_ping, number), _PLOT_MILLISECONDS)
        else:
            self._answer_ping(number)

    def _answer_ping(self, number: int) -> None:
        self._ping = max(self._ping, number)  # a ping from a plot is answered later, possibly after the next
        with one_act():
            self._answer()

    def _answer(self, *_: param.parameterized.Event) -> None:
        self.waiting = self._model.waiting
        if not self.waiting:
            self.pong = self._ping

    def remember(self, name: str, value: str) -> None:
        """Store `value` in the cookie `name` for later visits."""
        self.memory = self.memory | {name: value}

    def _handle_msg(self, data: Any) -> None:
        take(self._handlers, data)

    def _go_in_history(self, query: str) -> None:
        self._on_refused(self._state.from_query(parse_address(query).query))

    def _step(self, step: tuple[str, int]) -> None:
        """Move to the next concept, L0 or SAE with data, as requested by an arrow key; stops at the ends."""
        name, by = step
        state, concepts = self._state, self._model.concepts
        if name not in ("concept", "l0", "sae") or state.chosen_sae is None:
            return
        if name == "concept":
            options = [one.id for one in state.concepts.values() if one.family == state.family]
            passed = set() if concepts is None else set(concepts.loc[~concepts["measured"], "concept"])
            now = state.concept
        elif name == "sae":
            options, passed, now = [sae.id for sae in state.saes], set(), state.sae
        else:
            options, passed, now = state.options["l0"], set(), state.chosen_sae.l0
        if now not in options:
            return
        place = options.index(now)
        ahead = options[place + 1 :] if by > 0 else options[:place][::-1]
        wanted = next((option for option in ahead if option is not None and option not in passed), None)
        if wanted is None:
            return
        if name in ("concept", "sae"):
            state.apply({name: wanted})
        else:
            state.narrow(name, wanted)
