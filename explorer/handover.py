"""Passes a browser's connections to the process that built its page.

Any of the processes that share a port may accept a connection. A page's websocket would often reach a process that does
not have its session and has to build it again. So a page sets a cookie with the number of its process. A connection
whose first request has the number of another process is passed on over a socket between the processes, unread.
"""

from __future__ import annotations

import json
import re
import socket
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from panel.io.server import DocHandler
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream

from explorer.connections import HEAD_SECONDS, has_room
from explorer.upstream.hooks import call_before
from explorer.upstream.tornado import headers_sent

if TYPE_CHECKING:
    from collections.abc import Callable

    Handle = Callable[[IOStream, Any], object]

#: The cookie with the number of the process.
COOKIE = "ax_process"
_COOKIE = re.compile(rf"^cookie:[^\r\n]*\b{COOKIE}=(\d{{1,4}})(?=[;\r])".encode(), re.IGNORECASE | re.MULTILINE)
_END_OF_HEAD = b"\r\n\r\n"
#: Maximum bytes inspected of a request's headers; for headers that arrive in parts, number of attempts and pause.
_HEAD_BYTES, _LOOKS, _PAUSE_SECONDS = 65_536, 50, 0.01
_ADDRESS_BYTES = 1_024


class Handover:
    """Passes connections between processes; created by the process that starts them.

    Parameters
    ----------
    number : int
        Number of processes.
    """

    def __init__(self, number: int) -> None:
        self._own = 0
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(number)]
        for each in (end for pair in pairs for end in pair):
            each.settimeout(0)
        self._inboxes, self._outboxes = zip(*pairs, strict=True)

    def begin(self, own: int, handle: Handle) -> None:
        """Accept connections passed to this process, which has the number `own`, and set the cookie on its pages."""
        self._own = own
        IOLoop.current().add_handler(self._inboxes[own], partial(self._take, handle), IOLoop.READ)
        call_before(DocHandler, "flush", self._set_cookie)

    def _set_cookie(self, handler: DocHandler) -> None:
        """Set the cookie on a page; clear it if the page was rejected, so that the browser can try another process."""
        if headers_sent(handler):
            return
        named = handler.get_cookie(COOKIE)
        if handler.get_status() != HTTPStatus.OK:
            if named is not None:
                handler.clear_cookie(COOKIE)
        elif named != str(self._own):
            handler.set_cookie(COOKIE, str(self._own), httponly=True, samesite="Lax")

    def dispatch(self, stream: IOStream, address: Any, handle: Handle) -> None:
        """Handle a connection here, or pass it to the process that its first request names.

        Parameters
        ----------
        stream : IOStream
            Unread.
        address : tuple
            Address of the browser.
        handle : callable
            Takes both.
        """
        if has_room(stream):
            self._wait(stream, address, handle, _LOOKS)
        else:
            handle(stream, address)

    def _wait(self, stream: IOStream, address: Any, handle: Handle, looks: int) -> None:
        """Inspect a connection as soon as data has arrived."""
        loop = IOLoop.current()
        late = loop.call_later(HEAD_SECONDS, _drop, stream)

        def look(*_: object) -> None:
            loop.remove_timeout(late)
            loop.remove_handler(stream.socket)
            self._inspect(stream, address, handle, looks)

        loop.add_handler(stream.socket, look, IOLoop.READ)

    def _inspect(self, stream: IOStream, address: Any, handle: Handle, looks: int) -> None:
        head = b""
        with suppress(OSError):  # the browser has disconnected, which the next read will notice
            head = stream.socket.recv(_HEAD_BYTES, socket.MSG_PEEK)
        named = _COOKIE.search(head)
        if head and named is None and looks and _END_OF_HEAD not in head:
            IOLoop.current().call_later(_PAUSE_SECONDS, self._wait, stream, address, handle, looks - 1)
            return
        number = int(named[1]) if named else self._own
        if number == self._own or number >= len(self._outboxes) or not self._pass_on(stream, address, number):
            handle(stream, address)

    def _pass_on(self, stream: IOStream, address: Any, number: int) -> bool:
        """Pass a connection to another process; return whether that succeeded."""
        try:
            socket.send_fds(self._outboxes[number], [json.dumps(address).encode()], [stream.socket.fileno()])
        except OSError:  # the socket is full
            return False
        stream.close()
        return True

    def _take(self, handle: Handle, inbox: socket.socket, _: object) -> None:
        with suppress(BlockingIOError):
            while True:
                sender, descriptors, *_ = socket.recv_fds(inbox, _ADDRESS_BYTES, 1)
                for descriptor in descriptors:
                    connection = socket.socket(fileno=descriptor)
                    connection.settimeout(0)
                    handle(IOStream(connection), tuple(json.loads(sender)))


def _drop(stream: IOStream) -> None:
    """Close a connection that sends nothing."""
    IOLoop.current().remove_handler(stream.socket)
    stream.close()
