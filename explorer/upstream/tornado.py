"""Access to private parts of Tornado's responses; `explorer.upstream.parts` states the reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tornado.web import GZipContentEncoding

if TYPE_CHECKING:
    from tornado.web import RequestHandler


def headers_sent(handler: RequestHandler) -> bool:
    """Return whether the headers of a response have been sent."""
    return handler._headers_written  # noqa: SLF001


def reason(handler: RequestHandler) -> str:
    """Return the reason phrase of a response."""
    return handler._reason  # noqa: SLF001


def content_length(handler: RequestHandler) -> int | None:
    """Return the Content-Length of a response, None if it is chunked."""
    length = handler._headers.get("Content-Length")  # noqa: SLF001
    return None if length is None else int(length)


def compress_response(handler: RequestHandler) -> None:
    """Compress a response with gzip while it is written."""
    transforms: list[Any] = handler._transforms  # noqa: SLF001
    transforms.append(GZipContentEncoding(handler.request))
