"""What a process takes of connections: how many, and how long it waits for what they send."""

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

from explorer.upstream.hooks import around, before

if TYPE_CHECKING:
    from tornado.iostream import IOStream

_LOG = logging.getLogger("explorer.server")
#: For a request's head, from the connection or the request before on, and for its body.
HEAD_SECONDS, BODY_SECONDS = 30, 30
#: For what was sent to be taken: of a browser that reads no more, or a line that was cut.
UNREAD_SECONDS = 60
#: Descriptors that connections leave free for files, at most, and the most that they take.
_RESERVE, _MOST = 256, 4096
#: Without free descriptors, between two looks for one.
_AGAIN_SECONDS = 1
_NONE_FREE = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class QueueingSocket(socket.socket):
    """A listening socket that rests a while where the process has no descriptor free.

    Tornado 6.6 tries again at once, without end, and logs each failure.
    """

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection; where none can be taken now, say so as if there were none, and look again later."""
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in _NONE_FREE:
                raise
            _LOG.warning("no connection can be taken: %s", error.strerror)
            loop = IOLoop.current()
            loop.update_handler(self, 0)
            loop.call_later(_AGAIN_SECONDS, self._go_on, loop)
            raise BlockingIOError from error

    def _go_on(self, loop: IOLoop) -> None:
        if self.fileno() >= 0:
            loop.update_handler(self, IOLoop.READ)


@cache
def limit_connections() -> None:
    """Limit the connections of this process, also of a server that stands already, as under ``panel serve``.

    What a websocket sends goes out at once.
    """
    _most_descriptors()
    around(HTTPServer, "handle_stream", _within_limit)
    # Bokeh sends a message in three frames or more; the second would wait until the browser has acknowledged the first.
    before(WSHandler, "open", lambda handler: handler.set_nodelay(True))


def has_room(stream: IOStream) -> bool:
    """Tell whether a connection leaves descriptors free for files."""
    # The system gives the lowest number that is free: one this high means that all below are in use.
    return stream.socket.fileno() < _most_descriptors()


def _within_limit(own: Any) -> Any:
    """Have a server take a connection only while there is room, and wait only so long for it."""

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
def _most_descriptors() -> int:
    """Raise the limit of descriptors as far as this process may; return how many connections may use."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(hard - min(_RESERVE, hard // 4), _MOST) if hard > 0 else _MOST
