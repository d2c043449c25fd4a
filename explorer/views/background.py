"""Work that takes seconds, off the event loop: this page and other sessions go on meanwhile."""

from __future__ import annotations

from contextlib import suppress
from threading import Lock, Thread
from typing import TYPE_CHECKING

import panel as pn

if TYPE_CHECKING:
    from collections.abc import Callable

    Tell = Callable[[Callable[[], None]], None]

#: One piece of work at a time: side by side they would only take turns, and slow every session down.
_TURN = Lock()


class _SessionGoneError(Exception):
    """Nobody is there to be told."""


def in_background(work: Callable[[Tell], object]) -> None:
    """Do `work` in a thread of its own, one after the other for all sessions of the process.

    Parameters
    ----------
    work : callable
        Takes `tell`, which has a function run where the page may be changed. Once the session has ended, `tell` ends
        the work.
    """
    document = pn.state.curdoc
    if document is None or document.session_context is None:
        # A notebook: its own thread is where everything runs.
        work(lambda act: act())
        return

    def tell(act: Callable[[], None]) -> None:
        context = document.session_context
        if context is None or context.destroyed:
            raise _SessionGoneError
        document.add_next_tick_callback(act)

    def take_turn() -> None:
        with _TURN, suppress(_SessionGoneError):
            work(tell)

    Thread(target=take_turn, name="absorption-explorer", daemon=True).start()
