"""What is looked at of a parquet file, and held to limits, before DuckDB reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from queries.schema import Table

#: Columns of a file, those within lists and structs counted one by one; the widest table has 31.
MAX_COLUMNS = 500
#: Bytes that a value takes in memory at least: a number's, or those by which a text is found.
_BYTES = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8}
_BYTES_OF_OTHERS = 16
_MB = 2**20


def footer_problem(file: Path, table: Table) -> str | None:
    """Say why `file` must not be read as `table`; None where it may be.

    DuckDB believes a footer that announces a thousand million columns, and sets memory aside for them; Arrow's reader
    has limits. What the data takes in memory is estimated from below: equal values, which take next to no room in the
    file, count each.
    """
    try:
        with pq.ParquetFile(file) as opened:
            footer = opened.metadata
    except (OSError, ValueError, pa.ArrowException) as error:
        return f"not a readable parquet file ({_first_line(error)}); restore it or import the suite again"
    if footer.num_columns > MAX_COLUMNS:
        return f"has {footer.num_columns:,} columns, {MAX_COLUMNS:,} at most; omit those that are not the table's"
    groups = list(_groups(footer))
    rows = max(footer.num_rows, sum(group.rows for group in groups))
    if rows > table.max_rows:
        return f"has {rows:,} rows, {table.max_rows:,} at most in table {table.name!r}; leave rows out"
    sizes = [group.size for group in groups]
    size = sum(sizes) if table.resident else max(sizes, default=0)
    if size > table.max_bytes:
        what, fix = ("takes", "leave rows out") if table.resident else ("has a row group of", "write smaller ones")
        return f"{what} {size // _MB:,} MB in memory, {table.max_bytes // _MB:,} MB at most; {fix}"
    return None


class _Group(NamedTuple):
    rows: int
    size: int


def _groups(footer: pq.FileMetaData) -> Iterator[_Group]:
    """Count the rows of each row group, and estimate the bytes that it takes in memory."""
    columns = [footer.schema.column(index) for index in range(footer.num_columns)]
    widths = [_BYTES.get(column.physical_type, _BYTES_OF_OTHERS) for column in columns]
    lists = {index: width for index, width in enumerate(widths) if columns[index].max_repetition_level}
    flat = sum(widths) - sum(lists.values())
    for index in range(footer.num_row_groups):
        group = footer.row_group(index)
        listed = sum(group.column(column).num_values * width for column, width in lists.items())
        yield _Group(group.num_rows, max(group.num_rows * flat + listed, group.total_byte_size))


def text_problem(file: Path, table: Table) -> tuple[str | None, str] | None:
    """Name a column of which a text is too long, and say so; None where none is.

    Of equal texts a file holds one. DuckDB makes 2,048 of it at a time, outside of its memory limit.
    """
    texts = {column.name for column in table.columns if column.type == "VARCHAR"}
    try:
        with pq.ParquetFile(file) as opened:
            paths = [opened.schema.column(index).path for index in range(opened.metadata.num_columns)]
        names = [path for path in paths if path in texts]  # not those that are structs, which other checks find
        # As dictionaries, equal texts are one here, too.
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
