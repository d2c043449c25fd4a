"""``/api``: every question of the catalogue as JSON, CSV or Parquet; ``panel serve --plugins explorer.api``, too."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler

from explorer.files import as_csv, as_json, as_parquet
from explorer.given_values import number_of, shortened, within
from explorer.guard import guard, refuse_too_much
from explorer.named_questions import QuestionError, fetch, once, question, read
from explorer.openapi import KINDS, PAGING, openapi
from explorer.store import shared_store, suites_of_panel_serve, use, without_folders
from explorer.upstream.tornado import is_under_way, reason
from queries import CancelToken, QueryError, SuiteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pandas as pd

#: Questions that are open at once: of one visitor's address, and of all in this process; more are refused.
PER_VISITOR, AT_ONCE = 8, 64
#: How long a visitor may take for an answer, and when one that was refused may ask again.
ANSWER_SECONDS, AGAIN_SECONDS = 300, 1
#: Few threads, so that pages, whose questions have threads of their own, stay quick.
_ASIDE = ThreadPoolExecutor(4, "api")
_OPEN: Counter[str] = Counter()
_DESCRIPTION = "openapi.json"
_FAILED = "The question could not be answered. The log of the server says why."


class RefusedQuestionError(HTTPError):
    """A question that is answered with one line of JSON: what is wrong, and the parameter to blame."""

    def __init__(self, status: int, why: str, parameter: str | None = None) -> None:
        super().__init__(status)
        self.why, self.parameter = why, parameter


class _Page(NamedTuple):
    """A part of an answer: its pieces as a file, the rows of the whole, the query of the next page's address."""

    pieces: Iterator[bytes]
    total: int
    following: str | None


class Api(RequestHandler):
    """Answers questions, a page of rows at a time, in other threads than the event loop's."""

    def initialize(self, paths: Sequence[str]) -> None:
        """Take the suites that are served."""
        self._paths = paths
        self._token = CancelToken()
        guard()  # under `panel serve`, this may be the first thing that runs

    def prepare(self) -> None:
        """Refuse addresses that are too long."""
        super().prepare()
        refuse_too_much(self.request)

    def set_default_headers(self) -> None:
        """Have no answer kept: a suite may be replaced."""
        self.set_header("Cache-Control", "no-store")

    async def get(self, path: str) -> None:
        """Answer the question that the path names."""
        name, _, form = path.rpartition(".")
        with _place_of(str(self.request.remote_ip)):
            try:
                if path == _DESCRIPTION:
                    await self._describe()
                elif form in KINDS:
                    await self._answer(question(name).name, form)
                else:
                    raise RefusedQuestionError(404, f"{shortened(path)} ends with none of .{', .'.join(KINDS)}")
            except SuiteError as error:
                raise RefusedQuestionError(503, without_folders(str(error), self._paths)) from error
            except QueryError as error:
                raise RefusedQuestionError(503, str(error)) from error
            except QuestionError as error:
                status = HTTPStatus.NOT_FOUND if error.parameter is None else HTTPStatus.BAD_REQUEST
                raise RefusedQuestionError(status, str(error), error.parameter) from error
            except StreamClosedError:  # the visitor has gone
                return

    head = get

    async def _describe(self) -> None:
        prefix = self.request.path.removesuffix(f"/api/{_DESCRIPTION}")
        described = await _aside(lambda: json.dumps(openapi(shared_store(*self._paths), prefix)))
        self.set_header("Content-Type", KINDS["json"])
        self.write(described)

    async def _answer(self, name: str, form: str) -> None:
        page = await _aside(partial(self._page, name, form))
        self.set_header("Content-Type", KINDS[form])
        self.set_header("X-Total-Count", str(page.total))
        if page.following:
            self.set_header("Link", f'<{name}.{form}?{page.following}>; rel="next"')
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while piece := await _aside(partial(next, page.pieces, b"")):
                    self.write(piece)
                    await self.flush()
        except BaseException:
            if is_under_way(self):  # no visitor shall take a part for the whole
                self.detach().close()
                return
            raise

    def _page(self, name: str, form: str) -> _Page:
        """Ask, in a thread of its own."""
        pairs = [(key, value.decode()) for key, values in self.request.query_arguments.items() for value in values]
        given = once(name, pairs)
        limit, offset = (_paging(key, given) for key in PAGING)
        store, leave = use(*self._paths)
        with ExitStack() as stack:
            stack.callback(leave)
            values = read(store, name, given)
            with store.cancellable(self._token):
                answer = fetch(store, name, values)
        end = offset + limit
        following = None
        if end < len(answer):
            kept = [(key, text) for key, text in pairs if key != "offset"]
            following = urlencode([*kept, ("offset", str(end))])
        head = {
            "question": name,
            "parameters": values,
            "total": len(answer),
            "offset": offset,
            "next": following,
        }
        return _Page(_writer(name, form)(answer.iloc[offset:end], head), len(answer), following)

    def on_connection_close(self) -> None:
        """Give up what a visitor asked who has gone."""
        self._token.is_cancelled = True

    def write_error(self, status_code: int, **options: Any) -> None:
        """Say in one line of JSON what is wrong."""
        _, error, _ = options.get("exc_info") or (None, None, None)
        parameter = None
        if isinstance(error, RefusedQuestionError):
            why, parameter = error.why, error.parameter
        else:
            why = _FAILED if status_code == HTTPStatus.INTERNAL_SERVER_ERROR else reason(self)
        if status_code in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            self.set_header("Retry-After", str(AGAIN_SECONDS))
        self.set_header("Content-Type", KINDS["json"])
        self.finish(json.dumps({"error": why, "parameter": parameter}, ensure_ascii=False) + "\n")


async def _aside(work: Callable[[], Any]) -> Any:
    """Do work in another thread."""
    return await asyncio.get_running_loop().run_in_executor(_ASIDE, work)


@contextmanager
def _place_of(visitor: str) -> Iterator[None]:
    """Hold one of the places for open questions."""
    if _OPEN[visitor] >= PER_VISITOR:
        raise RefusedQuestionError(
            429, f"more than {PER_VISITOR} questions are open from this address; ask fewer at a time"
        )
    if _OPEN.total() >= AT_ONCE:
        raise RefusedQuestionError(503, "too many questions are open on this server; ask again later")
    _OPEN[visitor] += 1
    try:
        yield
    finally:
        _OPEN[visitor] -= 1
        if not _OPEN[visitor]:
            del _OPEN[visitor]


def _paging(key: str, given: dict[str, Any]) -> int:
    """Take what says which page of an answer is meant out of what was given."""
    _, default, low, high = PAGING[key]
    try:
        return int(within(key, number_of(key, given.pop(key, default), int), (low, high)))
    except ValueError as error:
        raise QuestionError(str(error), key) from error


def _writer(name: str, form: str) -> Callable[[pd.DataFrame, dict[str, Any]], Iterator[bytes]]:
    """Return what writes rows of an answer, and what is said of them where the format has a place for that."""
    if form == "json":
        return as_json
    if form == "csv":
        return lambda rows, _: as_csv(rows)
    return lambda rows, _: as_parquet(rows, question(name).columns)


def routes(paths: Sequence[str]) -> list[tuple[str, type[RequestHandler], dict[str, Sequence[str]]]]:
    """Return what Bokeh's server takes as further addresses."""
    return [("/api/(.*)", Api, {"paths": paths})]


#: For `panel serve`.
ROUTES = routes(suites_of_panel_serve())
