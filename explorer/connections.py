"""Limits the connections of a process: their number, and how long it waits for their data."""

from __future__ import annotations

import errno
import logging
import resource
import socket
from functools import cache
from typing import TYPE_CHECKING, Any

from panel.io.server import WSHandler
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop

from explorer.upstream.hooks import call_before, wrap_method

if TYPE_CHECKING:
    from tornado.iostream import IOStream

_LOG = logging.getLogger("explorer.server")
#: Timeouts for the headers of a request, counted from the connection or the previous request, and for its body.
HEAD_SECONDS, BODY_SECONDS = 30, 30
#: Timeout for sent data to be acknowledged, if a browser stops reading or the network fails.
UNREAD_SECONDS = 60
#: Maximum file descriptors reserved for files, and maximum number of connections.
_RESERVE, _MOST = 256, 4096
#: Delay between attempts to accept a connection if no descriptor is free.
_AGAIN_SECONDS = 1
_NONE_FREE = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class QueueingSocket(socket.socket):
    """A listening socket that pauses if the process has no free descriptor.

    Tornado 6.6 would retry at once, endlessly, and log each failure.
    """

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection; if none can be accepted now, report that none is pending, and retry later."""
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in _NONE_FREE:
                raise
            _LOG.warning("no connection can be accepted: %s", error.strerror)
            loop = IOLoop.current()
            loop.update_handler(self, 0)
            loop.call_later(_AGAIN_SECONDS, self._resume, loop)
            raise BlockingIOError from error

    def _resume(self, loop: IOLoop) -> None:
        if self.fileno() >= 0:
            loop.update_handler(self, IOLoop.READ)


@cache
def limit_connections() -> None:
    """Limit the connections of this process, also for a server that is already running, as under ``panel serve``.

    Websocket messages are sent without delay.
    """
    _max_connections()
    wrap_method(HTTPServer, "handle_stream", _within_limit)
    # Bokeh sends a message in three frames or more; the second would wait until the browser has acknowledged the first.
    call_before(WSHandler, "open", lambda handler: handler.set_nodelay(True))


def has_room(stream: IOStream) -> bool:
    """Return whether enough descriptors for files remain free with this connection."""
    # The system assigns the lowest free number, so all lower ones are in use.
    return stream.socket.fileno() < _max_connections()


def _within_limit(own: Any) -> Any:
    """Make a server accept a connection only while there is room, and with timeouts."""

    def handle_stream(server: HTTPServer, stream: IOStream, address: tuple[Any, ...]) -> None:
        if not has_room(stream):
            _LOG.warning("too many connections: one was closed")
            stream.close()
            return
        if stream.socket.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):
            stream.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * UNREAD_SECONDS)
        server.conn_params.header_timeout, server.conn_params.body_timeout = HEAD_SECONDS, BODY_SECONDS
        own(server, stream, address)

    return handle_stream


@cache
def _max_connections() -> int:
    """Raise the limit of descriptors as far as allowed; return the maximum number of connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(hard - min(_RESERVE, hard // 4), _MOST) if hard > 0 else _MOST
