"""Frames as files, CSV and Parquet, in pieces: none takes long to write, so that other threads go on."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pandas.api.types import is_numeric_dtype, is_object_dtype

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

#: What a thread writes or converts at a time: some milliseconds, in which no other thread of Python runs.
_ROWS = 500
_PIECE_BYTES = 2**18
#: What spreadsheets take for the beginning of a formula, also in the wide characters of East Asian keyboards.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def as_csv(frame: pd.DataFrame, *, for_spreadsheets: bool = False) -> Iterator[bytes]:
    """Write a frame as CSV (UTF-8, a line of names first); lists are written as JSON.

    Parameters
    ----------
    frame : pandas.DataFrame
    for_spreadsheets : bool
        Put an apostrophe in front of each text that a spreadsheet would take for a formula.
    """
    # Else a text that holds a carriage return would end its line, and begin the next one with what follows.
    quoting = csv.QUOTE_NONNUMERIC if for_spreadsheets else csv.QUOTE_MINIMAL
    piece = b""
    for start in range(0, max(len(frame), 1), _ROWS):
        rows = frame.iloc[start : start + _ROWS]
        written = {
            name: [_written(cell, for_spreadsheets) for cell in rows[name]]
            for name in rows
            if is_object_dtype(rows[name]) or (for_spreadsheets and not is_numeric_dtype(rows[name]))
        }
        piece += rows.assign(**written).to_csv(index=False, header=start == 0, quoting=quoting).encode("utf-8")
        if len(piece) > _PIECE_BYTES or start + _ROWS >= len(frame):
            yield piece
            piece = b""


def as_parquet(frame: pd.DataFrame) -> Iterator[bytes]:
    """Write a frame as Parquet."""
    schema = pa.Schema.from_pandas(frame.iloc[_telling(frame)], preserve_index=False)
    parts = [
        pa.Table.from_pandas(frame.iloc[start : start + _ROWS], schema=schema, preserve_index=False)
        for start in range(0, max(len(frame), 1), _ROWS)
    ]
    file = io.BytesIO()
    pq.write_table(pa.concat_tables(parts).combine_chunks(), file)
    yield from in_pieces(file.getvalue())


def in_pieces(content: bytes) -> Iterator[bytes]:
    """Return content in pieces."""
    return (content[start : start + _PIECE_BYTES] for start in range(0, len(content), _PIECE_BYTES))


def _written(cell: Any, for_spreadsheets: bool) -> Any:  # noqa: FBT001
    """Return what is written of a cell."""
    if isinstance(cell, np.ndarray):
        return json.dumps(cell.tolist(), ensure_ascii=False)
    if for_spreadsheets and isinstance(cell, str) and cell.startswith(_FORMULA):
        return f"'{cell}"
    return cell


def _telling(frame: pd.DataFrame) -> list[int]:
    """Find rows that tell the types of all columns: of each column of objects, one that is neither NULL nor empty."""
    found = {
        next((row for row, cell in enumerate(frame[name]) if cell is not None and np.size(cell)), None)
        for name in frame
        if is_object_dtype(frame[name])
    }
    return sorted(row for row in found if row is not None)
