"""Requests to web servers, files at addresses, and messages for failed requests."""

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

#: Timeouts for connecting to a server and for receiving data.
CONNECT_SECONDS, READ_SECONDS = 15, 30
MOST_REDIRECTS = 10
#: Bytes that are read at a time; an incomplete piece is lost when the connection is interrupted.
PIECE = 2**16

#: Messages by exception of `requests`; subclasses come before their base classes.
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
#: Per thread, a session whose connections are reused.
_OF_THREAD = threading.local()


class RemoteError(Exception):
    """The contents of an address cannot be read; the message is the reason, to be shown after the address."""


class UnreachableError(RemoteError):
    """There is no answer, so it is unknown whether there is anything at the address."""


@dataclass(frozen=True)
class RemoteFile:
    """A file at an address.

    Attributes
    ----------
    path : str
        Path below the address.
    where : callable
        Returns the URL and the headers for downloading it, which may expire.
    size : int or None
        Size in bytes; None if it is unknown before the download.
    identity : str or None
        A value that changes with the content (ETag, date or hash); None if the server sends none.
    is_served : bool
        Whether each response contains the identity, so that a change during a download is noticed.
    checksum : str
        SHA-256 of its content; empty if unknown.
    """

    path: str
    where: Callable[[], tuple[str, Mapping[str, str]]]
    size: int | None
    identity: str | None
    is_served: bool = True
    checksum: str = ""

    def open(self, start: int = 0) -> requests.Response:
        """Request its content from byte `start` on."""
        url, headers = self.where()
        return get(url, {**headers, **({"Range": f"bytes={start}-"} if start else {})})

    def content(self, most: int) -> bytes:
        """Return its first `most` bytes."""
        with self.open() as response:
            return first_bytes(response, most)


def get(url: str, headers: Mapping[str, str] | None = None) -> requests.Response:
    """Send a GET request; the status is not checked, and the content is not read yet.

    Raises
    ------
    UnreachableError
        If there is no answer.
    RemoteError
        If the address is invalid, or has too many redirects.
    """
    client = getattr(_OF_THREAD, "client", None)
    if client is None:
        client = _OF_THREAD.client = requests.Session()
        client.max_redirects = MOST_REDIRECTS
        # With compression, the stated sizes and ranges would not be those of the file.
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
    """Return the first `most` bytes of a response."""
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
    """Return a value that changes with the file: its ETag or modification date."""
    return response.headers.get("ETag") or response.headers.get("Last-Modified")


def status_line(response: requests.Response) -> str:
    """Return the status of a response as text, such as "404 Not Found"."""
    return f"{response.status_code} {response.reason or ''}".strip()


def check_address(url: str) -> None:
    """Reject an address that cannot be parsed."""
    try:
        urlsplit(url)
    except ValueError as error:
        raise RemoteError(f"is no address ({error})") from error


def without_secrets(url: str) -> str:
    """Return an address without user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def why(error: Exception) -> str:
    """Return a message for a failed request; those of `requests` contain addresses with secrets."""
    if "Read timed out" in str(error):  # while reading a response, for which requests has no exception of its own
        return _WHY[requests.Timeout]
    return next((text for kind, text in _WHY.items() if isinstance(error, kind)), reason(error))
