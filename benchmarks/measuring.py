"""Helpers of the benchmarks: summaries, a byte-counting proxy, and the time until a page is painted."""

from __future__ import annotations

import socket
import statistics
import threading
from contextlib import suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

#: Measures the time from an action until its effects are painted: every message to the server is answered
#: (explorer/views/browser.js), and every visible figure is drawn, also one frame later.
_WATCH = """() => {
  const models = () => Bokeh.documents.flatMap((doc) => [...doc._all_models.values()])
  const session = models().find((model) => model.pong !== undefined)
  const figures = () => [...Bokeh.index.query((view) => view.frame != null && view.el.checkVisibility())]
  const before = session?.pong
  let start = null
  const note = () => { start ??= performance.now() }
  for (const kind of ["pointerdown", "keydown", "benchmark"]) addEventListener(kind, note, {capture: true, once: true})
  window.painted = new Promise((done, fail) => {
    let calm = 0
    const look = () => {
      const answered = !session || (session.pong > before && !document.documentElement.classList.contains("ax-is-busy"))
      calm = start !== null && answered && figures().every((view) => view.has_finished()) ? calm + 1 : 0
      if (calm === 2) done(performance.now() - start)
      else if (start !== null && performance.now() - start > 60000) fail(new Error("not painted within 60 s"))
      else requestAnimationFrame(look)
    }
    look()
  })
}"""


_SET = """([name, value]) => {
  dispatchEvent(new CustomEvent("benchmark"))
  Bokeh.documents.map((doc) => doc.get_model_by_name(name)).find((model) => model).value = value
}"""


def summary(values: list[float], digits: int | None = None) -> dict[str, Any]:
    """Summarise repeated measurements."""
    ordered = sorted(values)
    return {
        "median": round(statistics.median(ordered), digits),
        "p95": round(ordered[-1 - len(ordered) // 20], digits),
        "min": round(ordered[0], digits),
        "max": round(ordered[-1], digits),
        "n": len(ordered),
    }


def to_painted(page: Page, act: Callable[[], object]) -> float:
    """Return the milliseconds from an action in a page until all its effects are painted."""
    page.evaluate(_WATCH)
    act()
    elapsed: float = page.evaluate("painted")
    return elapsed


def set_widget(page: Page, name: str, value: float) -> None:
    """Set the value of a parameter's widget, as dragging does."""
    page.evaluate(_SET, [name, value])


class Wire:
    """A proxy that counts the bytes received from a server; a context manager.

    Parameters
    ----------
    url : str
        The server's root.
    port : int
        Local port of the proxy.

    Attributes
    ----------
    url : str
        The server's root, through the proxy.
    received : int
        Number of bytes received from the server, including headers.
    """

    def __init__(self, url: str, port: int) -> None:
        self.url = f"http://localhost:{port}"
        self.received = 0
        wire, to = self, urlsplit(url)

        class Forwarder(BaseRequestHandler):
            def handle(self) -> None:
                with socket.create_connection((to.hostname, to.port)) as server:
                    threading.Thread(target=_pump, args=(self.request, server, lambda _: None), daemon=True).start()
                    _pump(server, self.request, wire._count)

        self._server = ThreadingTCPServer(("localhost", port), Forwarder)
        self._server.daemon_threads = True

    def _count(self, number: int) -> None:
        self.received += number

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _pump(source: socket.socket, drain: socket.socket, count: Callable[[int], None]) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            count(len(data))
            drain.sendall(data)
        drain.shutdown(socket.SHUT_WR)
