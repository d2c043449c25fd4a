"""Work that takes seconds, off the event loop: this page and other sessions go on meanwhile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from threading import Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING

import panel as pn

from explorer.views.act import one_act
from queries import CancelToken

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Semaphore
    from typing import Any

    from bokeh.document import Document

#: Seconds for which a session, and with it all others of the process, waits for answers.
_SOON = 0.25
_QUESTIONS = ThreadPoolExecutor(32, "asking")
#: One piece of work at a time: side by side they would only take turns, and slow every session down.
_TURN = Lock()
#: How long a browser may take for a piece of a file, and for a whole one, while others wait for their turn.
PIECE_SECONDS, FILE_SECONDS = 30, 300
_TICK_SECONDS = 0.25


class SlowBrowserError(Exception):
    """The browser does not take what it is sent, or takes too long for it."""


class _SessionGoneError(Exception):
    """Nobody is there to be told."""


class Caller:
    """The session that has work done in the background, or the notebook, where there is no document.

    Attributes
    ----------
    token : CancelToken
        For what the work asks of a store: it is given up when the session ends.
    """

    def __init__(self, document: Document | None) -> None:
        self._document = document
        self._begun: float | None = None
        self.token = CancelToken()
        if document is not None:
            document.on_session_destroyed(self._leave)

    def tell(self, act: Callable[[], None], *, after: Semaphore | None = None) -> None:
        """Have `act` run where the page may be changed; once the session has ended, this ends the work.

        Parameters
        ----------
        act : callable
        after : Semaphore, optional
            Of what the browser has still to take: acquired before `act` runs. A notebook, which is told at once, does
            without.

        Raises
        ------
        SlowBrowserError
            Where that takes too long.
        """
        if self._document is None:
            act()
            return
        if after is not None:
            self._begun = self._begun or monotonic()
            late = min(self._begun + FILE_SECONDS, monotonic() + PIECE_SECONDS)
            while not self._has_left() and not after.acquire(timeout=_TICK_SECONDS):
                if monotonic() > late:
                    raise SlowBrowserError
        if self._has_left():
            raise _SessionGoneError
        self._document.add_next_tick_callback(act)

    def _has_left(self) -> bool:
        context = self._document.session_context if self._document else None
        return self.token.given_up or context is None or context.destroyed

    def _leave(self, _: object) -> None:
        self.token.given_up = True


def in_background(work: Callable[[Caller], object], turn: Lock = _TURN) -> None:
    """Do `work` in a thread of its own, one after the other for all sessions of the process.

    Parameters
    ----------
    work : callable
        Takes the caller, whose page it tells what came of it.
    turn : Lock
        Held by what is done one after the other.
    """
    document = pn.state.curdoc
    if document is None or document.session_context is None:
        # A notebook: its own thread is where everything runs.
        work(Caller(None))
        return
    caller = Caller(document)

    def take_turn() -> None:
        with turn, suppress(_SessionGoneError, SlowBrowserError):
            work(caller)

    Thread(target=take_turn, name="absorption-explorer", daemon=True).start()


def in_thread(ask: Callable[[], Any], take: Callable[[Any], None], say_so: Callable[[], None]) -> None:
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
