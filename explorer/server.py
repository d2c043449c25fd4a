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
        Suites; without any, the embedded ones.
    num_procs : int
        Processes. A worker that dies is replaced; all end with the process that started them, however that ends.
    session_seconds : int
        How long a session is kept that no browser is connected to.
    max_sessions : int
        How many sessions each process holds at most.
    open_browser : bool
        Open the page once the port is bound; where there is no browser, nothing happens.
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
    page = _page(options["address"], options["port"], options["prefix"])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit())
    # With several processes the first one stays in there, to replace workers, until it is ended.
    server = pn.serve(
        # A function proper: Panel shows any other callable as a value.
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
        # As the workers of multiprocessing end: DuckDB was loaded before the fork, and an orderly end aborts in it.
        os._exit(0)


class _HttpServer(HTTPServer):
    """Tornado's, but its workers are replaced without end, and it rests where it can take no connection."""

    _handover: Handover | None = None
    _when_bound: Callable[[], None] | None

    def initialize(self, *arguments: Any, when_bound: Callable[[], None] | None = None, **options: Any) -> None:
        """Take Tornado's options, and what is done once, by the first process, when connections can be made."""
        super().initialize(*arguments, **options)
        self._when_bound = when_bound

    def start(self, num_processes: int | None = 1, max_restarts: int | None = None) -> None:
        """Start; with several processes, in each of them. `max_restarts`, after which Tornado gives up, is ignored."""
        # Bokeh's server has its port by now, and whoever connects waits until a process takes the connection.
        if self._when_bound:
            self._when_bound()
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
        super().add_sockets([QueueingSocket(fileno=each.detach()) for each in sockets])


def _page(address: str | None, port: int, prefix: str) -> str:
    """Return where a browser on this machine finds the page of a server that listens at that address."""
    # An address of zeros stands for all that the machine has; visitors are expected at this one.
    host = address if address and address.strip("0.:") else "localhost"
    root = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return "/".join(filter(None, [root, prefix.strip("/"), "dashboard"]))


def _open_browser(page: str) -> None:
    """Have another process open the page: a browser of the terminal would hold this one up, and write into its log."""
    subprocess.Popen(  # noqa: S603 - nobody chooses the command, and a shell has no part in it
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
        # A question may be holding the loop up.
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
    # Before the first reader comes; what cannot be opened is told in the page.
    with suppress(SuiteError):
        shared_store(*paths)
    server.start()
    loop.start()
    server.stop()
    close_stores()
    log_event("stop", pid=os.getpid())
