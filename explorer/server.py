"""The server behind ``absorption-explorer serve``: its processes, from start to end."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import panel as pn
from tornado.httpserver import HTTPServer

from explorer import api, health
from explorer.app import prepare_process, session
from explorer.connections import PatientSocket
from explorer.handover import Handover
from explorer.inbound import MESSAGE_BYTES
from explorer.log import log_event, log_request, log_to_stderr
from explorer.session_limits import MAX_SESSIONS
from explorer.store import close_stores, give_up_questions, shared_store
from explorer.workers import fork_workers
from queries import SuiteError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Sequence

    from tornado.iostream import IOStream

_CHECK_SESSIONS_SECONDS = 5
_SWITCH_SECONDS = 0.001


def serve(paths: Sequence[str], *, num_procs: int, session_seconds: int, max_sessions: int, **options: Any) -> None:
    """Serve the dashboard until SIGTERM or SIGINT, then exit with 0.

    Parameters
    ----------
    paths : sequence of str
        Suites; without any, the embedded ones.
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
    # While a thread writes an export, requests wait for it each time that they were at the network.
    sys.setswitchinterval(_SWITCH_SECONDS)
    # From the first request on; a session does the same for `panel serve`.
    os.environ[MAX_SESSIONS] = str(max_sessions)
    prepare_process()
    HTTPServer.configure(_HttpServer)
    first = os.getpid()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit())
    # With several processes the first one stays in there, to replace workers, until it is ended.
    server = pn.serve(
        # A function proper: Panel shows any other callable as a value.
        {"/dashboard": lambda: session(*paths, session_seconds=session_seconds)},
        num_procs=num_procs,
        unused_session_lifetime_milliseconds=1000 * session_seconds,
        check_unused_sessions_milliseconds=1000 * _CHECK_SESSIONS_SECONDS,
        extra_patterns=[*health.routes(paths), *api.routes(paths)],
        log_function=log_request,
        http_server_kwargs={"max_body_size": MESSAGE_BYTES},
        location=False,
        start=False,
        show=False,
        verbose=False,
        **options,
    )
    _work(server, paths)
    if os.getpid() != first:
        # As the workers of multiprocessing end: DuckDB was loaded before the fork, and an orderly end aborts in it.
        os._exit(0)


class _HttpServer(HTTPServer):
    """Tornado's, but its workers are replaced without end, and it rests where it can take no connection."""

    _handover: Handover | None = None

    def start(self, num_processes: int | None = 1, max_restarts: int | None = None) -> None:
        """Start; with several processes, in each of them. `max_restarts`, after which Tornado gives up, is ignored."""
        if num_processes != 1:
            handover = Handover(num_processes or 1)
            handover.begin(fork_workers(num_processes or 1), super().handle_stream)
            self._handover = handover
        super().start(1, max_restarts)

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """Take a connection, or pass it on to the process that it belongs to."""
        if self._handover is None:
            super().handle_stream(stream, address)
        else:
            self._handover.sort(stream, address, super().handle_stream)

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """Accept connections at listening sockets."""
        super().add_sockets([PatientSocket(fileno=each.detach()) for each in sockets])


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
