"""Work that takes seconds, off the event loop: this page and other sessions go on meanwhile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from threading import Lock, Thread
from typing import TYPE_CHECKING

import panel as pn

from explorer.views.act import one_act

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Tell = Callable[[Callable[[], None]], None]

#: Seconds for which a session, and with it all others of the process, waits for answers.
_SOON = 0.25
_QUESTIONS = ThreadPoolExecutor(32, "asking")
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


def patiently(ask: Callable[[], Any], take: Callable[[Any], None], say_so: Callable[[], None]) -> None:
    """Have answers taken over: at once where they come soon, else later, and this page and other sessions go on.

    Parameters
    ----------
    ask : callable
        Returns the answers; called in another thread.
    take : callable
        Takes them where the page may be changed.
    say_so : callable
        Called where they do not come soon.
    """
    document = pn.state.curdoc
    answering = _QUESTIONS.submit(ask)
    wait([answering], _SOON)
    if answering.done() or document is None:
        take(answering.result())
        return

    def take_late() -> None:
        with one_act():
            take(answering.result())

    def tell(_: object) -> None:
        context = document.session_context
        if context is not None and not context.destroyed:
            document.add_next_tick_callback(take_late)

    say_so()
    answering.add_done_callback(tell)
