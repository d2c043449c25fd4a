"""A network between browser and server that can be cut; the browser's own offline mode keeps websockets open."""

from __future__ import annotations

import socket
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Proxy:
    """Forwards connections from a port of its own until it is cut.

    Parameters
    ----------
    port : int
        Where the server listens; may be set later.

    Attributes
    ----------
    port : int
        Where the proxy listens.
    refused : int
        Connections that came while it was cut.
    """

    def __init__(self, port: int | None = None) -> None:
        self.server_port = port
        self.refused = 0
        self._listening = socket.create_server(("localhost", 0))
        self.port: int = self._listening.getsockname()[1]
        self._is_cut = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def cut(self) -> None:
        """Close all connections, and reject new ones."""
        self._is_cut.set()
        for end in list(self._open):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def restore(self) -> None:
        """Accept connections again."""
        self._is_cut.clear()

    def close(self) -> None:
        """Close all connections and the port."""
        self.cut()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join()

    def _start(self, act: Callable[..., None], *ends: socket.socket) -> None:
        self._threads.append(threading.Thread(target=act, args=ends, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                browser, _ = self._listening.accept()
                if self._is_cut.is_set():
                    self.refused += 1
                    browser.close()
                    continue
                try:
                    server = socket.create_connection(("localhost", self.server_port))
                except OSError:
                    browser.close()
                    continue
                self._open |= {browser, server}
                for ends in ((browser, server), (server, browser)):
                    self._start(self._pass_on, *ends)

    def _pass_on(self, source: socket.socket, to: socket.socket) -> None:
        with suppress(OSError), closing(source):
            while part := source.recv(2**16):
                to.sendall(part)
        with suppress(OSError):
            to.shutdown(socket.SHUT_RDWR)
        self._open.discard(source)
