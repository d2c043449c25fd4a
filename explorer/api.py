"""``/api``: all queries as JSON, CSV or Parquet; also a plugin for ``panel serve --plugins explorer.api``."""

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
from explorer.named_questions import QuestionError, collect_values, fetch, question, read
from explorer.openapi import KINDS, PAGING, openapi
from explorer.store import acquire_store, shared_store, suites_of_panel_serve, without_folders
from explorer.upstream.tornado import headers_sent, reason
from queries import CancelToken, QueryError, SuiteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pandas as pd

#: Maximum simultaneous queries: per address of a visitor, and in this process; more are rejected.
PER_VISITOR, AT_ONCE = 8, 64
#: Maximum duration of a response, and seconds until a rejected request may be retried.
ANSWER_SECONDS, AGAIN_SECONDS = 300, 1
#: Few threads, so that pages, whose queries have other threads, remain fast.
_THREADS = ThreadPoolExecutor(4, "api")
_OPEN_QUERIES: Counter[str] = Counter()
_DESCRIPTION = "openapi.json"
_FAILED = "The question could not be answered. See the log of the server for the reason."


class RefusedQuestionError(HTTPError):
    """A rejected query; the response is one line of JSON with the reason and the parameter concerned."""

    def __init__(self, status: int, why: str, parameter: str | None = None) -> None:
        super().__init__(status)
        self.why, self.parameter = why, parameter


class _Page(NamedTuple):
    """A page of a result: its file in pieces, the number of rows of the result, the URL query of the next page."""

    pieces: Iterator[bytes]
    total: int
    following: str | None


class Api(RequestHandler):
    """Responds with query results, one page of rows at a time; queries run outside of the event loop."""

    def initialize(self, paths: Sequence[str]) -> None:
        """Store the paths of the served suites."""
        self._paths = paths
        self._token = CancelToken()
        guard()  # under `panel serve`, this may be the first thing that runs

    def prepare(self) -> None:
        """Reject addresses that are too long."""
        super().prepare()
        refuse_too_much(self.request)

    def set_default_headers(self) -> None:
        """Disable caching, because a suite may be replaced."""
        self.set_header("Cache-Control", "no-store")

    async def get(self, path: str) -> None:
        """Respond to the query named by the path."""
        name, _, form = path.rpartition(".")
        with _slot_for(str(self.request.remote_ip)):
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
        described = await _in_thread(lambda: json.dumps(openapi(shared_store(*self._paths), prefix)))
        self.set_header("Content-Type", KINDS["json"])
        self.write(described)

    async def _answer(self, name: str, form: str) -> None:
        page = await _in_thread(partial(self._page, name, form))
        self.set_header("Content-Type", KINDS[form])
        self.set_header("X-Total-Count", str(page.total))
        if page.following:
            self.set_header("Link", f'<{name}.{form}?{page.following}>; rel="next"')
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while piece := await _in_thread(partial(next, page.pieces, b"")):
                    self.write(piece)
                    await self.flush()
        except BaseException:
            if headers_sent(self):  # otherwise an incomplete file would look complete
                self.detach().close()
                return
            raise

    def _page(self, name: str, form: str) -> _Page:
        """Run the query; called in another thread."""
        pairs = [(key, value.decode()) for key, values in self.request.query_arguments.items() for value in values]
        given = collect_values(name, pairs)
        limit, offset = (_paging(key, given) for key in PAGING)
        store, leave = acquire_store(*self._paths)
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
        """Cancel the query when the visitor disconnects."""
        self._token.is_cancelled = True

    def write_error(self, status_code: int, **options: Any) -> None:
        """Respond with the error as one line of JSON."""
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


async def _in_thread(work: Callable[[], Any]) -> Any:
    """Run `work` in another thread."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, work)


@contextmanager
def _slot_for(visitor: str) -> Iterator[None]:
    """Count a query as running in this context, or reject it if there are too many."""
    if _OPEN_QUERIES[visitor] >= PER_VISITOR:
        raise RefusedQuestionError(
            429, f"more than {PER_VISITOR} questions from this address are running; send fewer at a time"
        )
    if _OPEN_QUERIES.total() >= AT_ONCE:
        raise RefusedQuestionError(503, "too many questions are running on this server; retry later")
    _OPEN_QUERIES[visitor] += 1
    try:
        yield
    finally:
        _OPEN_QUERIES[visitor] -= 1
        if not _OPEN_QUERIES[visitor]:
            del _OPEN_QUERIES[visitor]


def _paging(key: str, given: dict[str, Any]) -> int:
    """Remove a paging parameter from the given ones, and return its value."""
    _, default, low, high = PAGING[key]
    try:
        return int(within(key, number_of(key, given.pop(key, default), int), (low, high)))
    except ValueError as error:
        raise QuestionError(str(error), key) from error


def _writer(name: str, form: str) -> Callable[[pd.DataFrame, dict[str, Any]], Iterator[bytes]]:
    """Return the function that writes rows in a format, with metadata if the format has a place for them."""
    if form == "json":
        return as_json
    if form == "csv":
        return lambda rows, _: as_csv(rows)
    return lambda rows, _: as_parquet(rows, question(name).columns)


def routes(paths: Sequence[str]) -> list[tuple[str, type[RequestHandler], dict[str, Sequence[str]]]]:
    """Return the routes for Bokeh's server."""
    return [("/api/(.*)", Api, {"paths": paths})]


#: For `panel serve`.
ROUTES = routes(suites_of_panel_serve())
