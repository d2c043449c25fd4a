"""Questions about what was read; the joins are ``.sql`` files of this folder, their tables given by name."""

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
    """Open a cursor on the one database of this process; what is registered with it is seen by it alone.

    A database takes 12 ms to open, a cursor 0.04 (DuckDB 1.5); a source has very many tables.
    """
    return _database().cursor()


def join(name: str, **tables: pa.Table) -> pa.Table:
    """Answer ``NAME.sql`` over `tables`."""
    with cursor() as connection:
        for table, rows in tables.items():
            connection.register(table, rows)
        return connection.sql(files("ingest").joinpath(f"{name}.sql").read_text("utf-8")).to_arrow_table()
