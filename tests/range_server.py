"""A web server that supports range requests, as object stores do."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    requests: ClassVar[list[tuple[str, str]]] = []

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        try:
            with open(self.translate_path(self.path), "rb") as file:  # noqa: PTH123 - a name, as the base class has it
                content = file.read()
        except OSError:
            self.send_error(404)
            return
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, last = (int(wanted[1]), int(wanted[2] or len(content) - 1)) if wanted else (0, len(content) - 1)
        part = content[first : last + 1]
        self.requests.append((self.path, f"{len(part) if body else 0}"))
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Type", self.guess_type(self.translate_path(self.path)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(content)}")
        self.end_headers()
        if body:
            self.wfile.write(part)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@contextmanager
def range_server(folder: Path) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Serve `folder`; yield the URL, and a list of requests: path and number of bytes sent."""
    requests: list[tuple[str, str]] = []
    handler = type("Handler", (Handler,), {"requests": requests})
    with ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: handler(*args, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", requests
        server.shutdown()
