"""Cancels queries that take too long or whose result is no longer needed; one thread watches all running queries."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from time import sleep
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Seconds between two checks.
_TICK_SECONDS = 0.05


class Watcher:
    """Interrupts queries; its thread runs as long as there are any running queries."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: dict[int, tuple[duckdb.DuckDBPyConnection, Callable[[], bool]]] = {}
        self._is_awake = False

    @contextmanager
    def watching(self, cursor: duckdb.DuckDBPyConnection, is_over: Callable[[], bool]) -> Iterator[None]:
        """Within this context, interrupt the cursor's query as soon as `is_over` returns true."""
        with self._lock:
            self._watched[id(cursor)] = cursor, is_over
            if not self._is_awake:
                self._is_awake = True
                threading.Thread(target=self._watch, name="questions", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                del self._watched[id(cursor)]

    def _watch(self) -> None:
        while True:
            sleep(_TICK_SECONDS)
            with self._lock:
                if not self._watched:
                    self._is_awake = False
                    return
                over = [cursor for cursor, is_over in self._watched.values() if is_over()]
            for cursor in over:
                # Repeatedly, because DuckDB ignores an interrupt that arrives before a query has begun.
                with suppress(duckdb.ConnectionException):  # closed meanwhile
                    cursor.interrupt()
