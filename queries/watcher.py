"""Ends questions that take too long or that nobody waits for: one thread looks after all that run."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from time import sleep
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Between two looks whether a question is still waited for.
_TICK_SECONDS = 0.05


class Watcher:
    """Interrupts questions; its thread lasts as long as there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: dict[int, tuple[duckdb.DuckDBPyConnection, Callable[[], bool]]] = {}
        self._is_awake = False

    @contextmanager
    def watching(self, cursor: duckdb.DuckDBPyConnection, is_over: Callable[[], bool]) -> Iterator[None]:
        """Interrupt what a cursor runs, as long as this context lasts, from when `is_over` says so."""
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
                # Again and again, for DuckDB forgets an interrupt that comes before a query has begun.
                with suppress(duckdb.ConnectionException):  # closed meanwhile
                    cursor.interrupt()
