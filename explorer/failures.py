"""What a server answers when it refuses a request or fails at it: a page of one sentence, and a line in the log."""

from __future__ import annotations

from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from tornado.web import HTTPError, RequestHandler

from explorer.log import log_failure

if TYPE_CHECKING:
    from types import TracebackType

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title></head><body><p>{sentence}</p></body></html>
"""
_FAILED = "This page could not be built. The log of the server says why."


def answer_errors() -> None:
    """Have all handlers of this process answer and log errors as this module does, in place of Tornado."""
    own: Any = RequestHandler
    own.write_error = _write_error
    own.log_exception = _log_exception


def fail(handler: RequestHandler) -> None:
    """Replace an answer that has not been sent yet by the page of an error."""
    handler.clear()
    handler.set_status(HTTPStatus.INTERNAL_SERVER_ERROR)
    handler.write(_page(handler))


def _write_error(handler: RequestHandler, _status: int, **_: Any) -> None:
    handler.finish(_page(handler))


def _page(handler: RequestHandler) -> str:
    status = handler.get_status()
    title = f"{status} {handler._reason}"  # noqa: SLF001 - Tornado has no other way to read it
    sentence = _FAILED if status == HTTPStatus.INTERNAL_SERVER_ERROR else f"{title}."
    return _PAGE.format(title=escape(title), sentence=escape(sentence))


def _log_exception(
    _handler: RequestHandler,
    _kind: type[BaseException] | None,
    error: BaseException | None,
    _trace: TracebackType | None,
) -> None:
    """Log a line; Tornado's own has the whole address and a traceback. What was refused is in the log of requests."""
    if error is not None and not isinstance(error, HTTPError):
        log_failure("A request failed", error)
