"""The layout of a table's parquet file: row groups, encodings, compression.

Two reads have to be fast: one latent of a per-latent table, and one concept of one SAE's cosines. Both are found by
the smallest and largest keys of row groups, so a group contains few rows, all of one SAE (cosines: of one concept).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from queries.conform import arrow_schema, run_starts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa

    from queries.schema import Column, Table

# Higher levels take ten times as long and save 5%, because cosines are noise below their peaks.
_ZSTD_LEVEL = 6
_ROWS = 2048
#: Row groups of tables with long rows: token_activations may list the vocabulary, a dashboard is a page of 100 kB.
_ROWS_OF = {"token_activations": 128, "logits": 512, "dashboards": 16}


def _open(path: Path, table: Table) -> pq.ParquetWriter:
    """Open `path` for rows of `table`."""
    # Byte-stream-split for floats only: DuckDB before 2.0 cannot read integers encoded with it.
    encodings = {_leaf(column): encoding for column in table.columns if (encoding := _encoding(column))}
    return pq.ParquetWriter(
        path,
        arrow_schema(table.columns),
        compression="zstd",
        compression_level=_ZSTD_LEVEL,
        column_encoding=encodings,
        use_dictionary=[_leaf(column) for column in table.columns if _leaf(column) not in encodings],
        write_statistics=list(table.key),
        store_schema=False,
    )


def write_file(path: Path, table: Table, pieces: Iterable[pa.Table]) -> Path:
    """Write conformed `pieces`, in the order of the key, to `path`; return it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = [column.name for column in table.columns]
    with _open(path, table) as file:
        for piece in pieces:
            for group in _row_groups(piece, table):
                file.write_table(group.select(names), row_group_size=group.num_rows)
    return path


def _row_groups(data: pa.Table, table: Table) -> Iterator[pa.Table]:
    """Cut the rows `data` of one file, at least one, into row groups."""
    if table.partitioned:
        boundaries, rows = ["concept"], data.num_rows
    elif table.resident:  # read whole, once: one group compresses best
        boundaries, rows = [], data.num_rows
    else:
        boundaries, rows = [name for name in table.key if name == "sae"], _ROWS_OF.get(table.name, _ROWS)
    starts = run_starts(data, boundaries).tolist()
    for start, end in zip(starts, [*starts[1:], data.num_rows], strict=True):
        for offset in range(start, end, rows):
            yield data.slice(offset, min(rows, end - offset))


def _encoding(column: Column) -> str | None:
    """Return the encoding of a column that dictionary encoding would not compress; None for the dictionary."""
    if column.type.startswith(("FLOAT", "DOUBLE")):
        return "BYTE_STREAM_SPLIT"
    if column.name == "latent" or column.type == "INTEGER[]":
        return "DELTA_BINARY_PACKED"
    return None


def _leaf(column: Column) -> str:
    """Return the path of the values of `column` in the parquet schema."""
    if column.type.startswith("MAP"):
        return f"{column.name}.key_value.value"
    return f"{column.name}.list.element" if column.type.endswith("[]") else column.name
