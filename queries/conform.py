"""Brings a table into the form of its contract: names, order and types of columns, order of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterable

    from queries.schema import Column, Table

_ARROW_TYPES = {
    "INTEGER": pa.int32(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "BOOLEAN": pa.bool_(),
    "MAP(VARCHAR, VARCHAR)": pa.map_(pa.string(), pa.string()),
}


class IngestError(Exception):
    """Results cannot be converted to a suite; the message is one line that names the location and the fix."""


def arrow_type(duckdb_type: str) -> pa.DataType:
    """Return the Arrow type that DuckDB reads as `duckdb_type`."""
    if duckdb_type.endswith("[]"):
        return pa.list_(arrow_type(duckdb_type.removesuffix("[]")))
    return _ARROW_TYPES[duckdb_type]


def arrow_schema(columns: Iterable[Column]) -> pa.Schema:
    """Return names and Arrow types of `columns`."""
    return pa.schema([(column.name, arrow_type(column.type)) for column in columns])


def with_all_columns(table: Table, *pieces: pa.Table | None) -> pa.Table:
    """Concatenate pieces of `table`, with NULL in columns that a piece lacks."""
    return pa.concat_tables(
        [arrow_schema(table.columns).empty_table(), *filter(None, pieces)], promote_options="permissive"
    )


def with_constants(table: Table, rows: pa.Table, **values: object) -> pa.Table:
    """Return `rows` of `table` with constant columns `values`, which replace existing ones."""
    columns = {name: rows[name] for name in rows.column_names}
    for name, value in values.items():
        scalar = pa.scalar(value, arrow_type(table.column(name).type))
        columns[name] = pa.chunked_array([pa.repeat(scalar, rows.num_rows)])
    return pa.table(columns)


def conform(data: pa.Table, table: Table) -> pa.Table:
    """Return `data` in the form of the contract of `table`.

    Columns that are not in the contract are omitted, absent optional ones are NULL, and NaN becomes NULL.

    Raises
    ------
    IngestError
        If a required column is missing, values do not fit their type, or a key occurs twice.
    """
    columns = {}
    for column in table.columns:
        if column.name in data.column_names:
            try:
                columns[column.name] = _without_nan(data[column.name]).cast(arrow_type(column.type))
            except pa.ArrowException as error:
                reason = str(error).splitlines()[0]
                message = (
                    f"table {table.name!r}: column {column.name!r} is not {column.type} ({reason}); fix the source"
                )
                raise IngestError(message) from error
        elif column.required:
            message = f"table {table.name!r}: column {column.name!r} is missing; the mapping must contain it"
            raise IngestError(message)
        else:
            columns[column.name] = pa.nulls(data.num_rows, arrow_type(column.type))
    conformed = pa.table(columns).sort_by([(name, "ascending") for name in table.key])
    twice = np.setdiff1d(np.arange(len(conformed)), run_starts(conformed, table.key))
    if twice.size:
        row = {name: conformed[name][int(twice[0])].as_py() for name in table.key}
        message = f"table {table.name!r}: {row} occurs twice, one row is allowed; fix the source"
        raise IngestError(message)
    return conformed


def run_starts(data: pa.Table, columns: Iterable[str]) -> np.ndarray:
    """Return the indices of the rows that differ from the previous row in any of `columns`; includes 0."""
    starts = np.zeros(data.num_rows, dtype=bool)
    starts[:1] = True
    for name in columns:
        differs = pc.not_equal(data[name].slice(1), data[name].slice(0, max(data.num_rows - 1, 0)))
        starts[1:] |= pc.fill_null(differs, fill_value=True).to_numpy()
    return np.flatnonzero(starts)


def _without_nan(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_floating(values.type):
        return values
    return pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
