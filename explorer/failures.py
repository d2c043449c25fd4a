"""Responses to rejected and failed requests: a page with one sentence, and a line in the log."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from tornado.web import HTTPError, RequestHandler

from explorer.log import log_failure
from explorer.theme import DARK, FONT, LIGHT, css_variables
from explorer.upstream.hooks import wrap_method
from explorer.upstream.tornado import reason
from explorer.views.markup import render

if TYPE_CHECKING:
    from types import TracebackType

_LOOK = {"font": FONT, "light": css_variables(LIGHT), "dark": css_variables(DARK)}
_FAILED = "This page could not be built. See the log of the server for the reason."


class RefusedRequestError(HTTPError):
    """A rejected request; the response has the given title and sentence.

    Parameters
    ----------
    status : int
    title, sentence : str
    headers : dict of str to str
        Additional headers of the response.
    """

    def __init__(self, status: int, title: str, sentence: str, headers: dict[str, str]) -> None:
        super().__init__(status)
        self.title, self.sentence, self.headers = title, sentence, headers


def handle_errors() -> None:
    """Make all handlers of this process respond to errors and log them as defined in this module."""
    wrap_method(RequestHandler, "write_error", lambda _: _write_error)
    wrap_method(RequestHandler, "log_exception", lambda _: _log_exception)


def fail(handler: RequestHandler) -> None:
    """Replace a response that has not been sent by an error page."""
    handler.clear()
    handler.set_status(HTTPStatus.INTERNAL_SERVER_ERROR)
    handler.write(_page(handler))


def _write_error(handler: RequestHandler, _status: int, **options: Any) -> None:
    _, error, _ = options.get("exc_info") or (None, None, None)
    if not isinstance(error, RefusedRequestError):
        handler.finish(_page(handler))
        return
    for name, value in error.headers.items():
        handler.set_header(name, value)
    handler.finish(_bare(error.title, error.sentence))


def _page(handler: RequestHandler) -> str:
    status = handler.get_status()
    title = f"{status} {reason(handler)}"
    return _bare(title, _FAILED if status == HTTPStatus.INTERNAL_SERVER_ERROR else "")


def _bare(title: str, sentence: str) -> str:
    look = {name: Markup(value) for name, value in _LOOK.items()}  # noqa: S704 - the project's own
    return render("bare", title=title, sentence=sentence, **look)


def _log_exception(
    _handler: RequestHandler,
    _kind: type[BaseException] | None,
    error: BaseException | None,
    _trace: TracebackType | None,
) -> None:
    """Log one line, because Tornado would log the address and a traceback. Rejections are in the log of requests."""
    if error is not None and not isinstance(error, HTTPError):
        log_failure("A request failed", error)
