"""Joins over what was read: each a ``.sql`` file of this folder, its tables given by name."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from queries.connection import connect

if TYPE_CHECKING:
    import pyarrow as pa


def join(name: str, **tables: pa.Table) -> pa.Table:
    """Answer ``NAME.sql`` over `tables`."""
    with connect() as connection:
        for table, rows in tables.items():
            connection.register(table, rows)
        return connection.sql(files("ingest").joinpath(f"{name}.sql").read_text("utf-8")).to_arrow_table()
