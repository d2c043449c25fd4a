"""The server behind ``absorption-explorer serve``: its processes, from start to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import panel as pn
from tornado.httpserver import HTTPServer

from explorer import api, health
from explorer.app import prepare_process, session
from explorer.connections import QueueingSocket
from explorer.handover import Handover
from explorer.inbound import MESSAGE_BYTES
from explorer.log import log_event, log_request, log_to_stderr
from explorer.session_limits import MAX_SESSIONS
from explorer.store import cancel_queries, close_stores, shared_store
from explorer.workers import fork_workers
from queries import SuiteError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Sequence

    from tornado.iostream import IOStream

    from explorer.served import Served

_CHECK_SESSIONS_SECONDS = 5
_SWITCH_SECONDS = 0.001


def serve(
    paths: Served,
    *,
    num_procs: int,
    session_seconds: int,
    max_sessions: int,
    open_browser: bool = False,
    **options: Any,
) -> None:
    """Serve the dashboard until SIGTERM or SIGINT, then exit with 0.

    Parameters
    ----------
    paths : sequence of str
        Suites; by default the embedded ones.
    num_procs : int
        Number of processes. A worker that dies is replaced; all end when the process that started them ends.
    session_seconds : int
        Seconds for which a session without a browser is kept.
    max_sessions : int
        Maximum number of sessions per process.
    open_browser : bool
        Open the page once the port is bound; has no effect without a browser.
    **options
        Options of Bokeh's server: port, address, prefix, use_xheaders.

    Raises
    ------
    OSError
        If the port cannot be used.
    """
    log_to_stderr()
    # While a thread writes an export, requests wait for it after each network operation.
    sys.setswitchinterval(_SWITCH_SECONDS)
    # For the first request; under `panel serve`, sessions do the same.
    os.environ[MAX_SESSIONS] = str(max_sessions)
    prepare_process()
    HTTPServer.configure(_HttpServer)
    first = os.getpid()
    page = _page(options["address"], options["port"], options["prefix"])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit())
    # With several processes, the first one remains in this call to replace workers.
    server = pn.serve(
        # A function, because Panel displays other callables as values.
        {"/dashboard": lambda: session(*paths, session_seconds=session_seconds, served=paths)},
        num_procs=num_procs,
        unused_session_lifetime_milliseconds=1000 * session_seconds,
        check_unused_sessions_milliseconds=1000 * _CHECK_SESSIONS_SECONDS,
        extra_patterns=[*health.routes(paths), *api.routes(paths)],
        log_function=log_request,
        http_server_kwargs={
            "max_body_size": MESSAGE_BYTES,
            "when_bound": partial(_open_browser, page) if open_browser else None,
        },
        location=False,
        start=False,
        show=False,
        verbose=False,
        **options,
    )
    _work(server, paths)
    if os.getpid() != first:
        # Like workers of multiprocessing: DuckDB was loaded before the fork, and a normal exit aborts in it.
        os._exit(0)


class _HttpServer(HTTPServer):
    """Tornado's server, with unlimited replacement of workers, and a pause if no connection can be accepted."""

    _handover: Handover | None = None
    _when_bound: Callable[[], None] | None

    def initialize(self, *arguments: Any, when_bound: Callable[[], None] | None = None, **options: Any) -> None:
        """Accept Tornado's options, and a function that the first process calls once when the port is bound."""
        super().initialize(*arguments, **options)
        self._when_bound = when_bound

    def start(self, num_processes: int | None = 1, max_restarts: int | None = None) -> None:
        """Start; with several processes, in each of them. `max_restarts`, Tornado's limit of restarts, is ignored."""
        # Bokeh's server has bound its port, and connections wait until a process accepts them.
        if self._when_bound:
            self._when_bound()
        if num_processes != 1:
            handover = Handover(num_processes or 1)
            handover.begin(fork_workers(num_processes or 1), super().handle_stream)
            self._handover = handover
        super().start(1, max_restarts)

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """Handle a connection, or pass it to the process to which it belongs."""
        if self._handover is None:
            super().handle_stream(stream, address)
        else:
            self._handover.dispatch(stream, address, super().handle_stream)

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """Accept connections at listening sockets."""
        super().add_sockets([QueueingSocket(fileno=each.detach()) for each in sockets])


def _page(address: str | None, port: int, prefix: str) -> str:
    """Return the address of the page for a browser on this machine."""
    # 0.0.0.0 and :: mean all addresses of the machine.
    host = address if address and address.strip("0.:") else "localhost"
    root = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return "/".join(filter(None, [root, prefix.strip("/"), "dashboard"]))


def _open_browser(page: str) -> None:
    """Open the page in another process, because a terminal browser would block this one and write into its log."""
    subprocess.Popen(  # noqa: S603 - a fixed command without a shell
        [sys.executable, "-I", "-m", "webbrowser", page],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C ends the server
    )


def _work(server: Any, paths: Sequence[str]) -> None:
    """Run the server of one process."""
    loop = server.io_loop

    def stop(*_: object) -> None:
        # A query may be blocking the loop.
        cancel_queries()
        loop.asyncio_loop.call_soon_threadsafe(loop.stop)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    log_event(
        "start",
        pid=os.getpid(),
        url=_page(server.address, server.port, server.prefix),
        max_sessions=int(os.environ[MAX_SESSIONS]),
    )
    # Before the first visitor arrives; the page shows errors.
    with suppress(SuiteError):
        shared_store(*paths)
    server.start()
    loop.start()
    server.stop()
    close_stores()
    log_event("stop", pid=os.getpid())
