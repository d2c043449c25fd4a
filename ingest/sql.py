"""Run the ``.sql`` files of this folder on Arrow tables."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from queries.connection import connect

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


@cache
def _database() -> duckdb.DuckDBPyConnection:
    return connect()


def cursor() -> duckdb.DuckDBPyConnection:
    """Open a cursor on a database that the whole process shares; tables registered with it are private to it.

    A source has very many tables, and a database takes 12 ms to open, a cursor 0.04 ms (DuckDB 1.5).
    """
    return _database().cursor()


def join(name: str, **tables: pa.Table) -> pa.Table:
    """Run the query ``NAME.sql`` on `tables`, whose names are those in the query."""
    with cursor() as connection:
        for table, rows in tables.items():
            connection.register(table, rows)
        return connection.sql(files("ingest").joinpath(f"{name}.sql").read_text("utf-8")).to_arrow_table()
