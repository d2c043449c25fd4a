"""Work that takes seconds, outside of the event loop, so that this page and other sessions are not blocked."""

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

#: Maximum seconds for which a session waits for results and thus blocks all other sessions of the process.
_SOON = 0.25
_QUESTIONS = ThreadPoolExecutor(32, "asking")
#: One job at a time: in parallel, jobs would only slow each other and every session down.
_TURN = Lock()
#: Maximum seconds for a browser to accept a chunk of a file, and a whole file, while other jobs wait.
PIECE_SECONDS, FILE_SECONDS = 30, 300
_TICK_SECONDS = 0.25


class SlowBrowserError(Exception):
    """The browser does not accept the data, or takes too long."""


class _SessionGoneError(Exception):
    """The session has ended."""


class Caller:
    """The session that runs work in the background, or the notebook if there is no document.

    Attributes
    ----------
    token : CancelToken
        For the work's queries; cancelled when the session ends.
    """

    def __init__(self, document: Document | None) -> None:
        self._document = document
        self._begun: float | None = None
        self.token = CancelToken()
        if document is not None:
            document.on_session_destroyed(self._leave)

    def run_in_session(self, act: Callable[[], None], *, after: Semaphore | None = None) -> None:
        """Run `act` in the session's event loop, where the page may be changed; end the work if the session has ended.

        Parameters
        ----------
        act : callable
        after : Semaphore, optional
            Limits the chunks that the browser has not yet acknowledged; acquired before `act` runs. Not used in a
            notebook, where `act` runs at once.

        Raises
        ------
        SlowBrowserError
            If acquiring `after` takes too long.
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
        return self.token.is_cancelled or context is None or context.destroyed

    def _leave(self, _: object) -> None:
        self.token.is_cancelled = True


def in_background(work: Callable[[Caller], object], turn: Lock = _TURN) -> None:
    """Run `work` in a separate thread, one job at a time for all sessions of the process.

    Parameters
    ----------
    work : callable
        Receives the caller, through which it reports results to the page.
    turn : Lock
        Lock for jobs that must not run in parallel.
    """
    document = pn.state.curdoc
    if document is None or document.session_context is None:
        # In a notebook, everything runs in one thread.
        work(Caller(None))
        return
    caller = Caller(document)

    def take_turn() -> None:
        with turn, suppress(_SessionGoneError, SlowBrowserError):
            work(caller)

    Thread(target=take_turn, name="absorption-explorer", daemon=True).start()


def in_thread(ask: Callable[[], Any], take: Callable[[Any], None], on_delay: Callable[[], None]) -> None:
    """Pass on results, at once if they arrive soon, otherwise later without blocking any session.

    Parameters
    ----------
    ask : callable
        Returns the results; called in another thread.
    take : callable
        Receives the results in the session's event loop, where the page may be changed.
    on_delay : callable
        Called if they do not arrive soon.
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

    def schedule(_: object) -> None:
        context = document.session_context
        if context is not None and not context.destroyed:
            document.add_next_tick_callback(take_late)

    on_delay()
    answering.add_done_callback(schedule)
