"""What a server answers when it refuses a request or fails at it: a page of one sentence, and a line in the log."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from tornado.web import HTTPError, RequestHandler

from explorer.log import log_failure
from explorer.theme import DARK, FONT, LIGHT, css_variables
from explorer.upstream.hooks import around
from explorer.upstream.tornado import reason
from explorer.views.markup import render

if TYPE_CHECKING:
    from types import TracebackType

_LOOK = {"font": FONT, "light": css_variables(LIGHT), "dark": css_variables(DARK)}
_FAILED = "This page could not be built. The log of the server says why."


class RefusedRequestError(HTTPError):
    """A request that is answered with a title and a sentence of its own.

    Parameters
    ----------
    status : int
    title, sentence : str
    headers : dict of str to str
        Of the answer, besides those of every answer.
    """

    def __init__(self, status: int, title: str, sentence: str, headers: dict[str, str]) -> None:
        super().__init__(status)
        self.title, self.sentence, self.headers = title, sentence, headers


def answer_errors() -> None:
    """Have all handlers of this process answer and log errors as this module does, in place of Tornado."""
    around(RequestHandler, "write_error", lambda _: _write_error)
    around(RequestHandler, "log_exception", lambda _: _log_exception)


def fail(handler: RequestHandler) -> None:
    """Replace an answer that has not been sent yet by the page of an error."""
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
    """Log a line; Tornado's own has the whole address and a traceback. What was refused is in the log of requests."""
    if error is not None and not isinstance(error, HTTPError):
        log_failure("A request failed", error)
