"""The one way to web servers: what is asked, what a file there is, and why there is no answer."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests

from ingest.files import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: How long a server may take to accept a connection, and to send anything at all.
CONNECT_SECONDS, READ_SECONDS = 15, 30
MOST_REDIRECTS = 10
#: Bytes that are read at a time; what has come of a piece when its connection is cut off is lost.
PIECE = 2**16

#: What has happened, by what requests raises; those that are kinds of others come first.
_WHY: dict[type[Exception], str] = {
    requests.Timeout: f"no answer within {READ_SECONDS} s",
    requests.exceptions.SSLError: "no secure connection can be made",
    requests.exceptions.ProxyError: "its proxy does not let it through",
    requests.TooManyRedirects: f"redirects more than {MOST_REDIRECTS} times",
    requests.exceptions.ChunkedEncodingError: "the connection was cut off",
    requests.ConnectionError: "no connection to its server",
    requests.exceptions.InvalidURL: "is not an address that can be downloaded",
    requests.exceptions.InvalidSchema: "redirects to something that is not a web address",
}
#: Of each thread: its connections, which are kept open from one file to the next.
_OF_THREAD = threading.local()


class RemoteError(Exception):
    """What lies at an address cannot be had; the message is the reason, to follow the address."""


class UnreachableError(RemoteError):
    """There is no answer, which says nothing about what lies there."""


@dataclass(frozen=True)
class RemoteFile:
    """A file at an address.

    Attributes
    ----------
    path : str
        Where it lies below the address.
    where : callable
        Returns the URL and the headers by which it is fetched; some hold for a while only.
    size : int or None
        Bytes, None where that is not told before it is fetched.
    identity : str or None
        Differs as soon as the content does; None where the server tells none.
    is_served : bool
        Whether each answer tells the identity, so that a change in the midst of a download is noticed.
    checksum : str
        SHA-256 of its content, empty where it is not known.
    """

    path: str
    where: Callable[[], tuple[str, Mapping[str, str]]]
    size: int | None
    identity: str | None
    is_served: bool = True
    checksum: str = ""

    def open(self, start: int = 0) -> requests.Response:
        """Ask for its content from byte `start` on."""
        url, headers = self.where()
        return get(url, {**headers, **({"Range": f"bytes={start}-"} if start else {})})

    def content(self, most: int) -> bytes:
        """Return its first `most` bytes."""
        with self.open() as response:
            return first_bytes(response, most)


def get(url: str, headers: Mapping[str, str] | None = None) -> requests.Response:
    """Send a request; whatever status is answered is for the caller, the content is not read yet.

    Raises
    ------
    UnreachableError
        Where there is no answer.
    RemoteError
        Where the address is none, or leads round in circles.
    """
    client = getattr(_OF_THREAD, "client", None)
    if client is None:
        client = _OF_THREAD.client = requests.Session()
        client.max_redirects = MOST_REDIRECTS
        # Compressed on its way, a file has neither the size nor the ranges that are told of it.
        client.headers.update(
            {"User-Agent": f"absorption-explorer/{version('absorption-explorer')}", "Accept-Encoding": "identity"}
        )
    try:
        response: requests.Response = client.get(
            url, headers=dict(headers or {}), stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS)
        )
    except (requests.ConnectionError, requests.Timeout) as error:
        raise UnreachableError(why(error)) from error
    except (requests.RequestException, ValueError) as error:
        raise RemoteError(why(error)) from error
    if response.headers.get("Content-Encoding", "identity") != "identity":
        response.close()
        raise RemoteError("is sent compressed although this was not requested; download it yourself")
    return response


def first_bytes(response: requests.Response, most: int) -> bytes:
    """Return the first `most` bytes of an answer."""
    content = b""
    try:
        for piece in response.iter_content(PIECE):
            content += piece
            if len(content) >= most:
                break
    except requests.RequestException as error:
        raise UnreachableError(why(error)) from error
    return content[:most]


def identity(response: requests.Response) -> str | None:
    """Return what changes when the file does."""
    return response.headers.get("ETag") or response.headers.get("Last-Modified")


def status_line(response: requests.Response) -> str:
    """Say what a server answered, as in "404 Not Found"."""
    return f"{response.status_code} {response.reason or ''}".strip()


def check_address(url: str) -> None:
    """Refuse what cannot be taken apart as an address."""
    try:
        urlsplit(url)
    except ValueError as error:
        raise RemoteError(f"is no address ({error})") from error


def without_secrets(url: str) -> str:
    """Write an address without user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def why(error: Exception) -> str:
    """Say why there is no answer; what requests says holds whole addresses, with all that is secret in them."""
    if "Read timed out" in str(error):  # in the midst of an answer, which requests has no error of its own for
        return _WHY[requests.Timeout]
    return next((text for kind, text in _WHY.items() if isinstance(error, kind)), reason(error))
