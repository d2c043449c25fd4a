"""The command ``absorption-explorer`` with one query that never ends, named in a file: python slow_command.py FILE ...

When the query starts, a second file with the suffix .asked is created. Queries are cancelled after two seconds.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path
from time import sleep
from typing import Any

import duckdb

import queries.store
from explorer.cli import main
from queries import Query, Store, catalog

#: Waits instead of computing, so that tests in parallel are not slowed down.
FOR_EVER = "WITH RECURSIVE each(n) AS (SELECT 1::BIGINT UNION ALL SELECT wait(n) + 1 FROM each) SELECT max(n) FROM each"
SECONDS = float(os.environ.get("QUESTION_SECONDS", "2"))

named = Path(sys.argv.pop(1))


class Slowed(dict[str, Query]):
    """The catalogue of queries, in which the query that the file names is slow."""

    def __getitem__(self, name: str) -> Query:
        query = super().__getitem__(name)
        if not named.exists() or name != named.read_text():
            return query
        named.with_suffix(".asked").touch()
        return replace(query, sql=f"SELECT answer.* FROM ({query.sql}) AS answer WHERE ({FOR_EVER}) > 0")  # noqa: S608


def wait(number: int) -> int:
    """Return the argument after a delay."""
    sleep(0.05)
    return number


def connect(*args: Any, **kwargs: Any) -> duckdb.DuckDBPyConnection:
    """Open a database that can wait."""
    connection = open_database(*args, **kwargs)
    connection.create_function("wait", wait, ["BIGINT"], "BIGINT", side_effects=True)
    return connection


open_database, duckdb.connect = duckdb.connect, connect
vars(queries.store)["catalog"] = lambda: Slowed(catalog())
(Store.__init__.__kwdefaults__ or {})["timeout"] = SECONDS
main()
