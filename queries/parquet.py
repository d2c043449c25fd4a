"""Checks the size of a parquet file before DuckDB reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from queries.schema import Table

#: Maximum columns of a file, including those within lists and structs; the widest table has 31.
MAX_COLUMNS = 500
#: Minimum bytes of a value in memory; for a text, those of its pointer.
_BYTES = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8}
_BYTES_OF_OTHERS = 16
_MB = 2**20


def footer_problem(file: Path, table: Table) -> str | None:
    """Return why `file` must not be read as `table`; None if it may be.

    DuckDB trusts a footer that announces a thousand million columns, and allocates memory for them; Arrow's reader has
    limits. The size of the data in memory is a lower bound in which repeated values, which are tiny in the file, count
    individually.
    """
    try:
        with pq.ParquetFile(file) as opened:
            footer = opened.metadata
    except (OSError, ValueError, pa.ArrowException) as error:
        return f"not a readable parquet file ({_first_line(error)}); restore it or import the suite again"
    if footer.num_columns > MAX_COLUMNS:
        return (
            f"has {footer.num_columns:,} columns, {MAX_COLUMNS:,} at most; omit columns that are not part of the table"
        )
    groups = list(_groups(footer))
    rows = max(footer.num_rows, sum(group.rows for group in groups))
    if rows > table.max_rows:
        return f"has {rows:,} rows, {table.max_rows:,} at most in table {table.name!r}; omit rows"
    sizes = [group.size for group in groups]
    size = sum(sizes) if table.resident else max(sizes, default=0)
    if size > table.max_bytes:
        what, fix = ("takes", "omit rows") if table.resident else ("has a row group of", "write smaller ones")
        return f"{what} {size // _MB:,} MB in memory, {table.max_bytes // _MB:,} MB at most; {fix}"
    return None


class _Group(NamedTuple):
    rows: int
    size: int


def _groups(footer: pq.FileMetaData) -> Iterator[_Group]:
    """Return the number of rows of each row group, and an estimate of its bytes in memory."""
    columns = [footer.schema.column(index) for index in range(footer.num_columns)]
    widths = [_BYTES.get(column.physical_type, _BYTES_OF_OTHERS) for column in columns]
    lists = {index: width for index, width in enumerate(widths) if columns[index].max_repetition_level}
    flat = sum(widths) - sum(lists.values())
    for index in range(footer.num_row_groups):
        group = footer.row_group(index)
        listed = sum(group.column(column).num_values * width for column, width in lists.items())
        yield _Group(group.num_rows, max(group.num_rows * flat + listed, group.total_byte_size))


def text_problem(file: Path, table: Table) -> tuple[str | None, str] | None:
    """Return the first column with a text that is too long, with a message; None if there is none.

    A file stores equal texts once, but DuckDB creates 2,048 copies at a time, outside of its memory limit.
    """
    texts = {column.name for column in table.columns if column.type == "VARCHAR"}
    try:
        with pq.ParquetFile(file) as opened:
            paths = [opened.schema.column(index).path for index in range(opened.metadata.num_columns)]
        names = [path for path in paths if path in texts]  # not structs, which are found by other checks
        # Read as dictionaries, so that equal texts are not copied here either.
        with pq.ParquetFile(file, read_dictionary=names) as opened:
            for batch in opened.iter_batches(columns=names):
                for name, values in zip(batch.schema.names, batch.columns, strict=True):
                    length = pc.max(pc.binary_length(_distinct(values))).as_py() or 0
                    if length > table.max_text:
                        return name, f"has a text of {length:,} bytes, {table.max_text:,} at most; shorten it"
    except (OSError, ValueError, pa.ArrowException) as error:
        return None, f"cannot be read ({_first_line(error)}); restore it or import the suite again"
    return None


def _distinct(values: pa.Array) -> pa.Array:
    return values.dictionary if pa.types.is_dictionary(values.type) else values


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
