"""A server in a thread of the tests' process, whose sessions a test can inspect and change."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import panel as pn

from explorer import app
from explorer.store import SWEEPS
from tests.browser import free_port

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from bokeh.server.contexts import ApplicationContext

SECONDS = 60


class InProcess:
    """The running server; `serving` starts one.

    Attributes
    ----------
    url : str
        Its root.
    port : int
    server : panel.io.server.Server
    """

    build: Callable[[], Any]
    url: str
    port: int
    server: Any
    _loop: asyncio.AbstractEventLoop
    _end: asyncio.Event

    @property
    def context(self) -> ApplicationContext:
        """The Bokeh application context, which has the sessions."""
        return self.server._tornado.applications["/dashboard"]

    def run(self, act: Awaitable[Any]) -> Any:
        """Run a coroutine in the server's thread."""

        async def awaited() -> Any:
            return await asyncio.wait_for(act, SECONDS)

        return asyncio.run_coroutine_threadsafe(awaited(), self._loop).result()

    async def _serve(self, ready: threading.Event, options: dict[str, Any]) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self.server = pn.serve(
            {"/dashboard": self.build},
            port=self.port,
            start=False,
            show=False,
            verbose=False,
            location=False,
            **options,
        )
        self.server.start()
        ready.set()
        await self._end.wait()
        self.server.stop()


@contextmanager
def serving(build: Callable[[], Any], **options: Any) -> Iterator[InProcess]:
    """Serve the result of a function per session; options are those of ``panel.serve``."""
    served = InProcess()
    served.build = build
    served.port = free_port()
    served.url = f"http://localhost:{served.port}"
    ready = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(served._serve(ready, options)), daemon=True)
    thread.start()
    assert ready.wait(SECONDS)
    try:
        yield served
    finally:
        served._loop.call_soon_threadsafe(served._end.set)
        thread.join(SECONDS)


@contextmanager
def serving_sweeps(**options: Any) -> Iterator[str]:
    """Serve the suite of layers and widths by ``panel.serve`` in a thread, at the address that is given."""
    port = free_port()
    pages = {"/dashboard": lambda: app.session(str(SWEEPS))}
    server = pn.serve(pages, port=port, threaded=True, show=False, verbose=False, location=False, **options)
    started = threading.Event()
    for _ in range(10 * SECONDS):
        with suppress(OSError), socket.create_connection(("localhost", port)):
            break
        started.wait(0.1)
    yield f"http://localhost:{port}"
    server.stop()


def empty_page() -> pn.Column:
    """Return an empty page with a nonce, without which the guard would not send it."""
    document: Any = pn.state.curdoc
    document.template_variables["nonce"] = "none"
    return pn.Column()
