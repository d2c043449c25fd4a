"""Frames as CSV, JSON and Parquet files, written in small pieces so that other threads can run in between."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pandas.api.types import is_numeric_dtype, is_object_dtype

from queries.conform import arrow_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Rows written or converted at a time, which takes some milliseconds and blocks other Python threads.
_ROWS = 500
_PIECE_BYTES = 2**18
#: Characters that spreadsheets interpret as a formula, also in the fullwidth forms of East Asian keyboards.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def as_csv(frame: pd.DataFrame, *, for_spreadsheets: bool = False) -> Iterator[bytes]:
    """Write a frame as CSV (UTF-8, with a header line); lists are written as JSON.

    Parameters
    ----------
    frame : pandas.DataFrame
    for_spreadsheets : bool
        Put an apostrophe in front of each text that a spreadsheet would interpret as a formula.
    """
    # Otherwise a carriage return in a text would begin a new line.
    quoting = csv.QUOTE_NONNUMERIC if for_spreadsheets else csv.QUOTE_MINIMAL
    piece = b""
    for start in range(0, max(len(frame), 1), _ROWS):
        rows = frame.iloc[start : start + _ROWS]
        written = {
            name: [_csv_cell(cell, for_spreadsheets) for cell in rows[name]]
            for name in rows
            if is_object_dtype(rows[name]) or (for_spreadsheets and not is_numeric_dtype(rows[name]))
        }
        piece += rows.assign(**written).to_csv(index=False, header=start == 0, quoting=quoting).encode("utf-8")
        if len(piece) > _PIECE_BYTES or start + _ROWS >= len(frame):
            yield piece
            piece = b""


def as_json(frame: pd.DataFrame, head: Mapping[str, Any]) -> Iterator[bytes]:
    """Write a frame as a JSON object: the items of `head`, then `rows` as objects; null for NULL and for NaN."""
    piece = f'{json.dumps(head, ensure_ascii=False, allow_nan=False)[:-1]}{", " if head else ""}"rows": ['.encode()
    for start in range(0, len(frame), _ROWS):
        rows = frame.iloc[start : start + _ROWS]
        columns = [[_json_value(cell) for cell in _numbers(rows[name])] for name in rows]
        written = (
            json.dumps(dict(zip(rows.columns, row, strict=True)), ensure_ascii=False, allow_nan=False)
            for row in zip(*columns, strict=True)
        )
        piece += (",\n" if start else "\n").encode() + ",\n".join(written).encode()
        if len(piece) > _PIECE_BYTES:
            yield piece
            piece = b""
    yield piece + b"\n]}\n"


def as_parquet(frame: pd.DataFrame, kinds: Mapping[str, str] | None = None) -> Iterator[bytes]:
    """Write a frame as Parquet; `kinds` are the DuckDB types of its columns, by default inferred from its rows."""
    if kinds:
        schema = pa.schema([(name, arrow_type(kind)) for name, kind in kinds.items()])
        maps = [name for name, kind in kinds.items() if kind.startswith("MAP")]
        frame = frame.assign(**{name: [cell and list(cell.items()) for cell in frame[name]] for name in maps})
    else:
        schema = pa.Schema.from_pandas(frame.iloc[_rows_with_types(frame)], preserve_index=False)
    parts = [
        pa.Table.from_pandas(frame.iloc[start : start + _ROWS], schema=schema, preserve_index=False)
        for start in range(0, max(len(frame), 1), _ROWS)
    ]
    file = io.BytesIO()
    pq.write_table(pa.concat_tables(parts).combine_chunks(), file)
    yield from in_pieces(file.getvalue())


def with_whole_numbers(frame: pd.DataFrame, kinds: Mapping[str, str]) -> pd.DataFrame:
    """Return a frame whose integer columns, by their DuckDB types, remain integers even with NULL."""
    return frame.astype({name: "Int64" for name, kind in kinds.items() if kind in ("INTEGER", "BIGINT")})


def in_pieces(content: bytes) -> Iterator[bytes]:
    """Yield content in pieces."""
    return (content[start : start + _PIECE_BYTES] for start in range(0, len(content), _PIECE_BYTES))


def _csv_cell(cell: Any, for_spreadsheets: bool) -> Any:  # noqa: FBT001
    """Convert a cell for CSV."""
    if isinstance(cell, np.ndarray | dict):
        return json.dumps(_json_value(cell), ensure_ascii=False)
    if for_spreadsheets and isinstance(cell, str) and cell.startswith(_FORMULA):
        return f"'{cell}"
    return cell


def _json_value(cell: Any) -> Any:
    """Convert a cell for JSON."""
    if isinstance(cell, np.ndarray):
        return [_json_value(part) for part in _numbers(cell)]
    if isinstance(cell, dict):
        return {name: _json_value(part) for name, part in cell.items()}
    return None if cell is pd.NA or (isinstance(cell, float) and not math.isfinite(cell)) else cell


def _numbers(values: pd.Series | np.ndarray) -> list[Any]:
    """Return values as Python objects; a 32-bit float gets its own shortest digits, not those of its 64-bit value."""
    if values.dtype == np.float32:
        return list(np.asarray(values).astype(str).astype(float).tolist())
    return list(values.tolist())


def _rows_with_types(frame: pd.DataFrame) -> list[int]:
    """Return rows from which all types can be inferred: for each object column, one that is neither NULL nor empty."""
    found = {
        next((row for row, cell in enumerate(frame[name]) if cell is not None and np.size(cell)), None)
        for name in frame
        if is_object_dtype(frame[name])
    }
    return sorted(row for row in found if row is not None)
