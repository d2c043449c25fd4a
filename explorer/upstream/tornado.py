"""What Tornado keeps of an answer to itself; `explorer.upstream.parts` says why it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tornado.web import GZipContentEncoding

if TYPE_CHECKING:
    from tornado.web import RequestHandler


def is_under_way(handler: RequestHandler) -> bool:
    """Tell whether the head of an answer has been sent."""
    return handler._headers_written  # noqa: SLF001


def reason(handler: RequestHandler) -> str:
    """Return the words beside the status of an answer."""
    return handler._reason  # noqa: SLF001


def content_length(handler: RequestHandler) -> int | None:
    """Return the bytes of an answer as its head has them, None where it has none: one that is sent in pieces."""
    length = handler._headers.get("Content-Length")  # noqa: SLF001
    return None if length is None else int(length)


def pack(handler: RequestHandler) -> None:
    """Have an answer packed as it is written."""
    transforms: list[Any] = handler._transforms  # noqa: SLF001
    transforms.append(GZipContentEncoding(handler.request))
