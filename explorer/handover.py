"""A browser's connections go to the process that built its page, whichever process took them.

Any of the processes that share a port may take a connection. A page's websocket would often reach one that does not
have its session and has to build it again. So a page leaves a cookie with the number of its process; a connection whose
first request has the number of another is passed on over a socket between the processes, with all its bytes unread.
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
#: Of a request's head, so many bytes are looked at; of one that comes in parts, so often, after each pause.
_HEAD_BYTES, _LOOKS, _PAUSE_SECONDS = 65_536, 50, 0.01
_ADDRESS_BYTES = 1_024


class Handover:
    """Passes connections on between processes; made by the process that starts them.

    Parameters
    ----------
    number : int
        How many processes there are.
    """

    def __init__(self, number: int) -> None:
        self._own = 0
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(number)]
        for each in (end for pair in pairs for end in pair):
            each.settimeout(0)
        self._inboxes, self._outboxes = zip(*pairs, strict=True)

    def begin(self, own: int, handle: Handle) -> None:
        """Take what others pass on to this process, the `own`-th, and have its pages say which one it is."""
        self._own = own
        IOLoop.current().add_handler(self._inboxes[own], partial(self._take, handle), IOLoop.READ)
        call_before(DocHandler, "flush", self._leave_cookie)

    def _leave_cookie(self, handler: DocHandler) -> None:
        """Name this process in a page that it built; a browser that it has no room for shall try another one."""
        if headers_sent(handler):
            return
        named = handler.get_cookie(COOKIE)
        if handler.get_status() != HTTPStatus.OK:
            if named is not None:
                handler.clear_cookie(COOKIE)
        elif named != str(self._own):
            handler.set_cookie(COOKIE, str(self._own), httponly=True, samesite="Lax")

    def sort(self, stream: IOStream, address: Any, handle: Handle) -> None:
        """Have a connection handled here, or by the process that its first request names.

        Parameters
        ----------
        stream : IOStream
            Of which nothing has been read.
        address : tuple
            Of the browser.
        handle : callable
            Takes both.
        """
        if has_room(stream):
            self._await(stream, address, handle, _LOOKS)
        else:
            handle(stream, address)

    def _await(self, stream: IOStream, address: Any, handle: Handle, looks: int) -> None:
        """Look at a connection as soon as there is something to be seen."""
        loop = IOLoop.current()
        late = loop.call_later(HEAD_SECONDS, _drop, stream)

        def look(*_: object) -> None:
            loop.remove_timeout(late)
            loop.remove_handler(stream.socket)
            self._look(stream, address, handle, looks)

        loop.add_handler(stream.socket, look, IOLoop.READ)

    def _look(self, stream: IOStream, address: Any, handle: Handle, looks: int) -> None:
        head = b""
        with suppress(OSError):  # the browser has gone, which whoever reads next will find
            head = stream.socket.recv(_HEAD_BYTES, socket.MSG_PEEK)
        named = _COOKIE.search(head)
        if head and named is None and looks and _END_OF_HEAD not in head:
            IOLoop.current().call_later(_PAUSE_SECONDS, self._await, stream, address, handle, looks - 1)
            return
        number = int(named[1]) if named else self._own
        if number == self._own or number >= len(self._outboxes) or not self._pass_on(stream, address, number):
            handle(stream, address)

    def _pass_on(self, stream: IOStream, address: Any, number: int) -> bool:
        """Pass a connection on; return whether the other process will see it."""
        try:
            socket.send_fds(self._outboxes[number], [json.dumps(address).encode()], [stream.socket.fileno()])
        except OSError:  # it takes no more
            return False
        stream.close()
        return True

    def _take(self, handle: Handle, inbox: socket.socket, _: object) -> None:
        with suppress(BlockingIOError):
            while True:
                told, descriptors, *_ = socket.recv_fds(inbox, _ADDRESS_BYTES, 1)
                for descriptor in descriptors:
                    connection = socket.socket(fileno=descriptor)
                    connection.settimeout(0)
                    handle(IOStream(connection), tuple(json.loads(told)))


def _drop(stream: IOStream) -> None:
    """Close a connection that says nothing."""
    IOLoop.current().remove_handler(stream.socket)
    stream.close()
