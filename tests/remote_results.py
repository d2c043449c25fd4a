"""Servers in this process with results: a plain one that simulates faults, Hugging Face's, and an S3 bucket."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_secret"  # noqa: S105 - of the server below
ACCESS_KEY = "reader"
#: Components of a signature: key, day, region and service.
_SCOPE = rf"{ACCESS_KEY}/\d{{8}}/[\w-]+/s3/aws4_request"
#: Number of files per page of a listing.
_PAGE = 2


@dataclass
class Remote:
    """A running server.

    Attributes
    ----------
    url : str
    folder : Path
        What it serves.
    requests : list of (str, str, str)
        Path, range and credentials of each request, in the order in which they came.
    faults : dict of str to list
        By path, what is done in place of the next answers: a status, or
        the bytes, more than those, after which the connection is cut off, or below 0, after which nothing more comes.
    let_go : threading.Event
        Ends the wait of those for whom nothing more comes.
    has_ranges, has_validators : bool
        Whether it answers with the range that is asked for, and sends validators and lengths.
    """

    url: str
    folder: Path
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    faults: dict[str, list[int]] = field(default_factory=dict)
    has_ranges: bool = True
    has_validators: bool = True
    let_go: threading.Event = field(default_factory=threading.Event)

    def asked(self, path: str) -> list[str]:
        """Return the requested ranges of a file."""
        return [ranged for asked, ranged, _ in self.requests if asked == path]


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    remote: Remote

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        rights = self.headers.get("Authorization", "")
        self.remote.requests.append((path, self.headers.get("Range", ""), rights))
        status = 0
        if faults := self.remote.faults.get(path):
            status = faults.pop(0)
        if path.startswith("/moved/"):
            self._send(302, headers={"Location": path.removeprefix("/moved")})
        elif path.startswith("/round/"):
            self._send(302, headers={"Location": path})
        elif 400 <= status < 600:
            self._send(status)
        elif path.startswith(("/api/datasets/", "/datasets/")):
            self._answer_as_hub(path, rights)
        elif path.startswith("/bucket"):
            self._answer_as_store(path, rights)
        else:
            self._send_file(path, cut=status)

    def _send_file(self, path: str, *, cut: int) -> None:
        file = self.remote.folder / path.strip("/")
        if not file.is_file():
            self._send(404)
            return
        content = file.read_bytes()
        headers = {}
        if self.remote.has_validators:
            headers["ETag"] = f'"{hashlib.md5(content).hexdigest()}"'  # noqa: S324 - as S3 has it
            headers["Last-Modified"] = self.date_time_string(file.stat().st_mtime)
        if file.suffix == ".html":
            headers["Content-Type"] = "text/html; charset=utf-8"
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not wanted or not self.remote.has_ranges:
            self._send(200, content, headers, cut=cut)
            return
        first, last = int(wanted[1]), int(wanted[2] or len(content) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        self._send(206, content[first : last + 1], headers, cut=cut)

    def _answer_as_hub(self, path: str, rights: str) -> None:
        """Answer like Hugging Face, which redirects downloads to another host."""
        if rights != f"Bearer {TOKEN}":
            self._send(401)
            return
        kind = path.split("/")[5 if path.startswith("/api/") else 4]
        inside = "/".join(path.split("/")[7 if path.startswith("/api/") else 6 :])
        root = self.remote.folder / "hub"
        if kind == "revision":
            self._send_json({"sha": COMMIT})
        elif kind == "resolve":
            self._send(302, headers={"Location": self.remote.url.replace("127.0.0.1", "localhost") + f"/hub/{inside}"})
        else:
            query = parse_qs(urlsplit(self.path).query)
            every = (root / inside).rglob("*") if query["recursive"] == ["true"] else (root / inside).iterdir()
            pages = _pages(sorted(every))
            page = int(query.get("cursor", ["0"])[0])
            more = f"{self.remote.url}{path}?recursive={query['recursive'][0]}&cursor={page + 1}"
            self._send_json(
                [_as_hub_lists(root, file) for file in pages[page]],
                {"Link": f'<{more}>; rel="next"'} if page + 1 < len(pages) else {},
            )

    def _answer_as_store(self, path: str, rights: str) -> None:
        """Answer like S3 if a request is signed, in the header or the address; the signature is not verified."""
        query = parse_qs(urlsplit(self.path).query)
        signed = re.fullmatch(
            rf"AWS4-HMAC-SHA256 Credential={_SCOPE}, ?SignedHeaders=\S+, ?Signature=[0-9a-f]{{64}}", rights
        )
        presigned = re.fullmatch(_SCOPE, query.get("X-Amz-Credential", [""])[0]) and "X-Amz-Signature" in query
        if not signed and not presigned:
            self._send(403, b"<Error><Code>AccessDenied</Code></Error>")
        elif "list-type" in query:
            self._list_bucket(path.strip("/"), query)
        else:
            self._send_file(path, cut=0)

    def _list_bucket(self, bucket: str, query: dict[str, list[str]]) -> None:
        prefix = query.get("prefix", [""])[0]
        root = self.remote.folder / bucket
        names = sorted(file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file())
        pages = _pages([name for name in names if name.startswith(prefix)])
        page = int(query.get("continuation-token", ["0"])[0])
        more = page + 1 < len(pages)
        listed = "".join(
            f"<Contents><Key>{escape(name)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f'<ETag>"{hashlib.md5((root / name).read_bytes()).hexdigest()}"</ETag>'  # noqa: S324 - as S3 has it
            f"<Size>{(root / name).stat().st_size}</Size></Contents>"
            for name in pages[page]
        )
        token = f"<NextContinuationToken>{page + 1}</NextContinuationToken>" if more else ""
        body = f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}<KeyCount>{len(pages[page])}</KeyCount>{listed}"
        self._send(200, f"<ListBucketResult><Name>{bucket}</Name>{body}</ListBucketResult>".encode())

    def _send_json(self, content: object, headers: dict[str, str] | None = None) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"} | (headers or {}))

    def _send(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None, *, cut: int = 0) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if self.remote.has_validators:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.send_header("Transfer-Encoding", "chunked")
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        self.end_headers()
        if self.command == "HEAD":
            return
        try:
            self.wfile.write(body[: abs(cut)] if cut else body)
            if cut < 0:
                self.remote.let_go.wait()
        except ConnectionError:  # the client has closed the connection
            self.close_connection = True
        if cut:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """Log nothing about connections that clients have closed."""


def _pages(files: list[Any]) -> list[list[Any]]:
    return [files[start : start + _PAGE] for start in range(0, len(files), _PAGE)] or [[]]


def _as_hub_lists(root: Path, file: Path) -> dict[str, Any]:
    path = file.relative_to(root).as_posix()
    if file.is_dir():
        return {"type": "directory", "oid": "0", "size": 0, "path": path}
    content = file.read_bytes()
    stored = {"lfs": {"oid": hashlib.sha256(content).hexdigest(), "size": len(content)}}
    entry = {"type": "file", "oid": hashlib.sha1(content).hexdigest(), "size": len(content), "path": path}  # noqa: S324 - as git has it
    return entry | (stored if file.suffix != ".json" else {})


@contextmanager
def remote_results(folder: Path) -> Iterator[Remote]:
    """Serve `folder`: as files, its folder `hub` as a repository of Hugging Face's, and `bucket` as one of S3's."""
    handler = type("Handler", (_Handler,), {})
    with _Server(("127.0.0.1", 0), handler) as server:
        remote = handler.remote = Remote(f"http://127.0.0.1:{server.server_port}", folder)  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield remote
        finally:
            remote.let_go.set()
            server.shutdown()
