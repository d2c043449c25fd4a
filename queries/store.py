"""The store: all open suites, read-only, locked, and safe to query from many threads."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

import duckdb
import numpy as np
import pandas as pd
from cachetools import LRUCache

from queries.catalog import Query, catalog
from queries.connection import connect
from queries.definitions import Definition, definitions
from queries.location import pattern
from queries.manifest import SuiteError
from queries.script import script
from queries.suite import Suite, read_suite
from queries.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

#: Bytes of results kept for all sessions together.
CACHE_BYTES = 256 * 2**20
#: Maximum size of a result for all concepts, and the number of queries remembered that ran for one.
_TOGETHER_BYTES, _REMEMBERED = CACHE_BYTES // 8, 1_000
#: Marks queries that are no longer run for all concepts.
_SEPARATELY = object()
#: Maximum rows of a query: many times the latents of one SAE.
ROW_CAP = 2_000_000
_TIMEOUT_SECONDS = 30.0
#: Types of columns without NULL.
_WITHOUT_NULL = {"BOOLEAN": "bool", "INTEGER": "int32", "BIGINT": "int64"}


class QueryError(Exception):
    """A query failed; the message can be shown on the page."""


class CancelToken:
    """Cancels the queries of one thread.

    Attributes
    ----------
    is_cancelled : bool
        Whether the results are no longer needed; any thread may set it.
    """

    is_cancelled = False


@dataclass(frozen=True)
class _Result:
    """A cached result.

    Attributes
    ----------
    frame : DataFrame
    size : int
        Bytes.
    by : str
        Column by which rows of one value are selected; empty if none.
    """

    frame: pd.DataFrame
    size: int
    by: str = ""

    @cached_property
    def columns(self) -> dict[str, Any]:
        """Its arrays."""
        return {name: column.array if _is_text(column) else column.to_numpy() for name, column in self.frame.items()}

    @cached_property
    def places(self) -> dict[object, np.ndarray]:
        """The rows of each value."""
        return self.frame.groupby(self.by).indices


class Store:
    """Runs the queries of `queries.catalog` on one or several suites.

    Parameters
    ----------
    *paths : Path or str
        Folders of suites, or URLs (https://, s3://, hf://) as text.
    timeout : float
        Seconds after which a query is cancelled.

    Attributes
    ----------
    suites : dict of str to Suite
        The opened suites by name, in the order given.

    Raises
    ------
    SuiteError
        If a suite cannot be opened; one line that names file and fix.
    """

    def __init__(self, *paths: Path | str, timeout: float = _TIMEOUT_SECONDS) -> None:
        if not paths:
            message = "no suite given; name the folder of at least one suite"
            raise SuiteError(message)
        self.suites: dict[str, Suite] = {}
        for path in paths:
            suite = read_suite(path)
            if suite.name in self.suites:
                message = f"{suite.root}: a suite called {suite.name!r} is open already; give one of them another name"
                raise SuiteError(message)
            self.suites[suite.name] = suite
        self._timeout = timeout
        self._cache: LRUCache[tuple[Any, ...], _Result] = LRUCache(CACHE_BYTES, getsizeof=lambda r: r.size)
        #: Queries that can run for all concepts, with the first requested value, or `_SEPARATELY`.
        self._first: LRUCache[tuple[Any, ...], object] = LRUCache(_REMEMBERED)
        self._cache_lock = threading.Lock()
        self._is_cancelled = False
        self._watcher = Watcher()
        self._thread = threading.local()
        self._connection = self._open()

    def _open(self) -> duckdb.DuckDBPyConnection:
        """Connect, build tables and views."""
        connection = connect([suite.root for suite in self.suites.values()])
        try:
            for definition in definitions(self.suites.values()):
                _define(connection, definition)
        except duckdb.Error as error:
            connection.close()
            roots = ", ".join(str(suite.root) for suite in self.suites.values())
            message = f"{roots}: cannot be opened ({_first_line(error)}); run absorption-explorer check to find out why"
            raise SuiteError(message) from error
        except SuiteError:
            connection.close()
            raise
        return connection

    def fetch(self, name: str, /, **params: Any) -> pd.DataFrame:
        """Run the query `name`.

        Parameters
        ----------
        name : str
            Name of a query of the catalogue.
        **params
            A value for each of its parameters.

        Returns
        -------
        pandas.DataFrame
            The query's columns. The frame belongs to the caller; its arrays are shared and read-only.

        Raises
        ------
        QueryError
            If the query takes too long, returns too much, or a file can no longer be read.
        """
        return self._answer(_checked(name, params), params).frame.copy(deep=False)

    def is_cached(self, name: str, /, **params: Any) -> bool:
        """Return whether the cache contains the result of `fetch`, alone or as part of the result for all concepts."""
        query = _checked(name, params)
        together = query.together
        with self._cache_lock:
            if self._key(query, params) in self._cache or not together or not together.fits(params):
                return self._key(query, params) in self._cache
            of_all = self._key(query, params | {together.param: None})
            return of_all in self._cache and self._first.get(of_all) is not _SEPARATELY

    def _answer(self, query: Query, params: dict[str, Any]) -> _Result:
        """Return the shared result."""
        key = self._key(query, params)
        with self._cache_lock:
            answer = self._cache.get(key)
        if answer is None:
            answer = self._query_or_select(query, params)
            if answer.size <= CACHE_BYTES:
                with self._cache_lock:
                    self._cache[key] = answer
        return answer

    @staticmethod
    def _key(query: Query, params: dict[str, Any]) -> tuple[Any, ...]:
        return query.name, *(_hashable(params[param]) for param in query.params)

    def _query_or_select(self, query: Query, params: dict[str, Any]) -> _Result:
        """Query the database; when a second value is requested, query all values and select the rows of one.

        Most of a query's time is planning, so all concepts of an SAE take little longer than one.
        """
        together = query.together
        if together and together.fits(params):
            of_all, value = params | {together.param: None}, params[together.param]
            key = self._key(query, of_all)
            with self._cache_lock:
                first = self._first.setdefault(key, value)
            if first not in (value, _SEPARATELY):
                try:
                    answer = self._answer(query, of_all)
                except QueryError:
                    if self._is_cancelled or self._token.is_cancelled:
                        raise
                else:
                    if answer.size <= _TOGETHER_BYTES:
                        return _rows_of_value(answer, query, value)
                # The result for all is too large, or would displace too many others.
                with self._cache_lock:
                    self._first[key] = _SEPARATELY
        frame = self._run(query, params)
        return _Result(frame, _size(frame), together.column if together else "")

    def script(self, name: str, /, *, shared: bool = False, **params: Any) -> str:
        """Write the query `name` as standalone SQL for any DuckDB; takes the arguments of `fetch`.

        If it is `shared` with others, paths start with the suite's name instead of naming folders of this machine.
        """
        needed = list(self.suites.values())
        if "suite" in params and params.get("scope") != "all":
            needed = [suite for suite in needed if suite.name == params["suite"]]
        return script(needed, _checked(name, params), params, shared=shared)

    @contextmanager
    def cancellable(self, token: CancelToken) -> Iterator[None]:
        """Let another thread cancel the queries of this thread in this context."""
        outer = self._token
        self._thread.token = token
        try:
            yield
        finally:
            self._thread.token = outer

    @property
    def _token(self) -> CancelToken:
        found: CancelToken = getattr(self._thread, "token", None) or CancelToken()
        return found

    def cancel(self) -> None:
        """Cancel all running queries and reject further ones; a signal handler may call it."""
        self._is_cancelled = True

    def changed(self) -> str | None:
        """Return a file that was changed since it was opened, or None."""
        found = ((suite.name, suite.changed()) for suite in self.suites.values())
        return next((f"{file} of the suite {name}" for name, file in found if file), None)

    def _run(self, query: Query, params: dict[str, Any]) -> pd.DataFrame:
        if self._is_cancelled or self._token.is_cancelled:
            raise QueryError(f"The question {query.name!r} was cancelled.")
        if any(suite.replaced() for suite in self.suites.values()):
            raise QueryError(self._failure(query, "the suite was replaced"))
        try:
            cursor = self._connection.cursor()
        except duckdb.ConnectionException as error:
            message = f"The question {query.name!r} cannot be run: the store is closed."
            raise QueryError(message) from error
        token, deadline = self._token, monotonic() + self._timeout
        capped = f"SELECT * FROM ({query.sql}) LIMIT {ROW_CAP + 1}"  # noqa: S608 - the catalogue's own statements
        try:
            with self._watcher.watching(
                cursor, lambda: self._is_cancelled or token.is_cancelled or monotonic() > deadline
            ):
                frame = cursor.execute(capped, params).df()
        except duckdb.InterruptException as error:
            late = f"took longer than {self._timeout:g} s and was cancelled"
            message = f"The question {query.name!r} {late if monotonic() > deadline else 'was cancelled'}."
            raise QueryError(message) from error
        except duckdb.Error as error:
            raise QueryError(self._failure(query, self._without_folders(_first_line(error)))) from error
        finally:
            cursor.close()
        if len(frame) > ROW_CAP:
            message = f"The question {query.name!r} returns more than {ROW_CAP:,} rows; narrow it."
            raise QueryError(message)
        return _read_only(frame)

    def _failure(self, query: Query, reason: str) -> str:
        """Return the message for a failed query; if a file has changed since it was opened, that is the reason."""
        changed = self.changed()
        if changed:
            reason = (
                f"{changed} was changed or removed after it was opened. Reload the page to see the suite as it is now."
            )
        return f"The question {query.name!r} failed: {reason}"

    def _without_folders(self, message: str) -> str:
        """Name files relative to their suite, because visitors must not see its path."""
        for suite in self.suites.values():
            for written in (str(suite.root), pattern(suite.root)):
                message = message.replace(f"{written}/", f"{suite.name}/")
        return message

    def close(self) -> None:
        """Release the database; the store cannot be used afterwards."""
        with self._cache_lock:
            self._cache.clear()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _checked(name: str, params: dict[str, Any]) -> Query:
    """Return the query called `name`, if `params` are its parameters."""
    query = catalog()[name]
    if params.keys() != query.params.keys():
        message = f"{name} takes {', '.join(query.params) or 'no parameters'}, not {', '.join(params)}"
        raise TypeError(message)
    return query


def _define(connection: duckdb.DuckDBPyConnection, definition: Definition) -> None:
    """Run one of the statements that create tables, views and macros."""
    try:
        connection.execute(definition.sql)
    except duckdb.Error as error:
        if not definition.reads:
            raise
        if isinstance(error, duckdb.OutOfMemoryException):
            message = f"{definition.reads}: too large for memory with the open suites; omit rows or open fewer suites"
            raise SuiteError(message) from error
        message = f"{definition.reads}: cannot be read ({_first_line(error)}); restore it or import the suite again"
        raise SuiteError(message) from error


def _hashable(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _read_only(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame that several sessions can share: its arrays, and the lists in its cells, cannot be written.

    Columns of integers or truth values with NULL, for which DuckDB's versions give different types, hold NaN or None.
    Columns of text hold None for NULL, where pandas 3 has NaN, which a template would show as "nan".
    """
    columns: dict[str, Any] = {}
    for name, column in frame.items():
        if isinstance(column.dtype, np.dtype):
            values = column.to_numpy(copy=False)
        elif pd.api.types.is_bool_dtype(column.dtype) or (_is_text(column) and column.hasnans):
            values = column.to_numpy(object, na_value=None)
        elif pd.api.types.is_numeric_dtype(column.dtype):
            values = column.to_numpy(float, na_value=np.nan)
        else:
            columns[name] = column.array  # text, which pandas keeps unwritable itself
            continue
        if values.dtype == object:
            for cell in values:
                if isinstance(cell, np.ndarray):
                    cell.flags.writeable = False
        columns[name] = values
    return _frame_of(columns, len(frame))


def _frame_of(columns: dict[str, Any], num_rows: int) -> pd.DataFrame:
    """Make a frame of arrays and make these read-only."""
    index = pd.RangeIndex(num_rows)
    parts: dict[str, Any] = {}
    for name, values in columns.items():
        if isinstance(values, np.ndarray):
            values.flags.writeable = False
        # Of objects, a frame would make text again.
        parts[name] = pd.Series(values, index, object, copy=False) if values.dtype == object else values
    return pd.DataFrame(parts, index=index, copy=False)


def _rows_of_value(together: _Result, query: Query, value: object) -> _Result:
    """Select the rows of one value as a query for it alone would return them; frames would be ten times slower."""
    places = together.places.get(value, np.empty(0, int))
    columns = {}
    for name, values in together.columns.items():
        picked = values[places]
        kind = _WITHOUT_NULL.get(query.columns[name])
        # A column that holds NULL in another row is of a type that has room for it.
        if kind and picked.dtype != kind and not pd.isna(picked).any():
            picked = picked.astype(kind)
        columns[name] = picked
    share = len(places) / max(1, len(together.frame))
    return _Result(_frame_of(columns, len(places)), int(together.size * share) + 1)


def _is_text(column: pd.Series) -> bool:
    return isinstance(column.dtype, pd.StringDtype)


def _size(frame: pd.DataFrame) -> int:
    """Count the bytes of a frame, those of texts in lists included; never 0."""
    texts = sum(
        sys.getsizeof(text)
        for _, column in frame.items()
        if column.dtype == object
        for cell in column
        if isinstance(cell, np.ndarray) and cell.dtype == object
        for text in cell
    )
    return int(frame.memory_usage(deep=True).sum()) + texts + 1


def _first_line(error: Exception) -> str:
    """Return the first part of a DuckDB error, without its explanations."""
    return next(iter(str(error).splitlines()), type(error).__name__)
