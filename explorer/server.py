"""The server behind ``absorption-explorer serve``: its processes, from start to end."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Any

import panel as pn

from explorer import health
from explorer.app import session
from explorer.capacity import MAX_SESSIONS, limit_sessions
from explorer.compression import compress
from explorer.guard import guard
from explorer.log import log_event, log_request, log_to_stderr
from explorer.reconnect import guard_reconnects
from explorer.store import close_stores, give_up_questions, shared_store
from queries import SuiteError

if TYPE_CHECKING:
    from collections.abc import Sequence

_CHECK_SESSIONS_SECONDS = 5


def serve(paths: Sequence[str], *, num_procs: int, session_seconds: int, max_sessions: int, **options: Any) -> None:
    """Serve the dashboard until SIGTERM or SIGINT, then exit with 0.

    Parameters
    ----------
    paths : sequence of str
        Suites; without any, the embedded one.
    num_procs : int
        Processes. A worker that dies is replaced; all end with the process that started them, however that ends.
    session_seconds : int
        How long a session is kept that no browser is connected to.
    max_sessions : int
        How many sessions each process holds at most.
    **options
        Of Bokeh's server: port, address, prefix, use_xheaders.

    Raises
    ------
    OSError
        Where the port cannot be had.
    """
    log_to_stderr()
    # From the first request on; a session does the same for `panel serve`.
    compress()
    guard()
    guard_reconnects()
    os.environ[MAX_SESSIONS] = str(max_sessions)
    limit_sessions()
    first = os.getpid()
    # Workers hear the end of this pipe when the first process is gone, be it killed.
    heard, held = os.pipe()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit())
    try:
        server = pn.serve(
            # A function proper: Panel shows any other callable as a value.
            {"/dashboard": lambda: session(*paths, session_seconds=session_seconds)},
            num_procs=num_procs,
            unused_session_lifetime_milliseconds=1000 * session_seconds,
            check_unused_sessions_milliseconds=1000 * _CHECK_SESSIONS_SECONDS,
            extra_patterns=health.routes(paths),
            log_function=log_request,
            title="Absorption Explorer",
            location=False,
            start=False,
            show=False,
            verbose=False,
            **options,
        )
    except BaseException:
        # With several processes the first one stays in there, to replace workers, until it is ended.
        if os.getpid() == first:
            os.close(held)
            with suppress(ChildProcessError):
                while True:
                    os.wait()
        raise
    if os.getpid() == first:
        _work(server, paths)
        return
    os.close(held)
    Thread(target=_follow, args=[heard], daemon=True).start()
    _work(server, paths)
    # As the workers of multiprocessing end: DuckDB was loaded before the fork, and an orderly end aborts in it.
    os._exit(0)


def _follow(heard: int) -> None:
    """End this process once nobody holds the other end of the pipe."""
    os.read(heard, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _work(server: Any, paths: Sequence[str]) -> None:
    """Run the server of one process."""
    loop = server.io_loop

    def stop(*_: object) -> None:
        # A question may be holding the loop up.
        give_up_questions()
        loop.asyncio_loop.call_soon_threadsafe(loop.stop)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    log_event(
        "start",
        pid=os.getpid(),
        url=f"http://{server.address or 'localhost'}:{server.port}{server.prefix}/dashboard",
        max_sessions=int(os.environ[MAX_SESSIONS]),
    )
    # Before the first reader comes; what cannot be opened is told in the page.
    with suppress(SuiteError):
        shared_store(*paths)
    server.start()
    loop.start()
    server.stop()
    close_stores()
    log_event("stop", pid=os.getpid())
