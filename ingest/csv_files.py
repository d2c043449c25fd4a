"""Read CSV files of a source: the columns of a contract, converted to its types."""

from __future__ import annotations

import csv
import io
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ingest import limits
from ingest.files import UnreadableError
from queries.conform import arrow_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ingest.source import Source
    from queries.schema import Column, Table

_WHAT = "CSV file"
_SHOWN_ROWS = 3
#: Maximum number of characters of a value in messages.
_SHOWN = 40
#: Number of rows that are in memory as Python objects.
_BATCH = 16_384
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
#: Descriptions of types, for "no ..." in messages.
_KINDS = {
    "INTEGER": "integer such as 17",
    "BIGINT": "integer such as 17",
    "FLOAT": "number such as -1.25",
    "DOUBLE": "number such as -1.25",
    "BOOLEAN": "true or false",
    "MAP(VARCHAR, VARCHAR)": 'JSON object such as {"d_in": "2304"}',
    "INTEGER[]": "JSON list such as [3, 14]",
    "FLOAT[]": "JSON list such as [0.5, 1.25]",
}
_BITS = {"INTEGER": 31, "BIGINT": 63}


def header(source: Source, file: Path) -> list[str]:
    """Return the column names of a CSV file; if there are none, report that and return an empty list."""
    try:
        with _opened(source, file) as rows:
            names: list[str] = next(rows, [])
    except UnreadableError as error:
        source.reject(file, str(error))
        return []
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        source.reject(file, f"column {repeated[0]!r} occurs twice; remove one of them")
        return []
    if not names:
        source.reject(file, "is empty; write a header and rows")
    return names


def read_csv(source: Source, file: Path, table: Table) -> pa.Table | None:
    """Read the columns of `table` that a CSV file has.

    Lists and maps are JSON; an empty field is NULL. Values that cannot be converted become NULL, and rows of another
    length than the header are omitted; both are reported.

    Returns
    -------
    pyarrow.Table or None
        Rows that conform to the contract; None if the file was rejected.
    """
    names = header(source, file)
    if not names:
        return None
    known = {column.name for column in table.columns}
    columns = [_Column(table.column(name), place) for place, name in enumerate(names) if name in known]
    wrong_length: list[int] = []
    try:
        with _opened(source, file) as rows:
            next(rows)
            for row, fields in enumerate(filter(None, rows)):
                if len(fields) != len(names):
                    wrong_length.append(row)
                    continue
                for column in columns:
                    column.add(row, fields[column.place])
                if row % _BATCH == _BATCH - 1:
                    _check_size(row, columns)
    except UnreadableError as error:
        source.reject(file, str(error))
        return None
    if wrong_length:
        fix = f"not {len(names):,} fields as the header has; put fields that hold commas into quotes"
        source.report.reject(file, f"{_rows(wrong_length)} {fix}; omitted")
    for column in columns:
        if column.faults:
            row, text = next(iter(column.faults.items()))
            what = f"no {_KINDS[column.type]}, as in row {row}: {text[:_SHOWN]!r}"
            source.report.reject(file, f"{column.name}: {_rows([*column.faults])} {what}; left empty")
    return source.conform(file, table, {column.name: column.values() for column in columns})


class _Column:
    """A column while it is read; values are converted to Arrow in batches, which need a tenth of the memory."""

    def __init__(self, column: Column, place: int) -> None:
        self.name, self.type, self.place = column.name, column.type, place
        self.faults: dict[int, str] = {}
        self.size = 0
        self._parse = _parser(column.type)
        self._chunks: list[pa.Array] = []
        self._values: list[Any] = []

    def add(self, row: int, text: str) -> None:
        value = None
        try:
            value = self._parse(text) if text else None
        except (ValueError, TypeError, OverflowError, RecursionError):
            self.faults[row] = text
        self._values.append(value)

    def flush(self) -> None:
        chunk = pa.array(self._values, arrow_type(self.type))
        self.size += chunk.nbytes
        self._chunks.append(chunk)
        self._values = []

    def values(self) -> pa.ChunkedArray:
        self.flush()
        return pa.chunked_array(self._chunks)


def _check_size(row: int, columns: list[_Column]) -> None:
    """Check the rows read so far against the limits of a table."""
    for column in columns:
        column.flush()
    if row >= limits.ROWS or sum(column.size for column in columns) > limits.TABLE:
        message = f"has more than {limits.ROWS:,} rows or {limits.TABLE / limits.MB:,.0f} MB; cut it into several"
        raise UnreadableError(message)


@contextmanager
def _opened(source: Source, file: Path) -> Iterator[Iterator[list[str]]]:
    """Yield the rows of a CSV file as lists of strings, header first."""
    with source.opened(file, _WHAT, limits.CSV) as stream:
        text = io.TextIOWrapper(stream, "utf-8-sig", "replace", newline="")
        try:
            yield csv.reader(text, strict=True)
        finally:
            text.detach()  # otherwise it would close the stream


def _rows(rows: list[int]) -> str:
    shown = ", ".join(map(str, rows[:_SHOWN_ROWS])) + (", ..." if len(rows) > _SHOWN_ROWS else "")
    return f"{len(rows):,} {'row has' if len(rows) == 1 else 'rows have'} (row {shown})"


def _parser(duckdb_type: str) -> Callable[[str], Any]:
    """Return a function that parses text into a value of a type."""
    if duckdb_type.endswith("[]"):
        item = duckdb_type.removesuffix("[]")
        return lambda text: [_item(value, item) for value in _list(json.loads(text))]
    parsers: dict[str, Callable[[str], Any]] = {
        "VARCHAR": str,
        "INTEGER": lambda text: _item(_number(text), "INTEGER"),
        "BIGINT": lambda text: _item(_number(text), "BIGINT"),
        "FLOAT": float,
        "DOUBLE": float,
        "BOOLEAN": _boolean,
        "MAP(VARCHAR, VARCHAR)": _pairs,
    }
    return parsers[duckdb_type]


def _number(text: str) -> float:
    return int(text) if text.strip().lstrip("+-").isdecimal() else float(text)


def _boolean(text: str) -> bool:
    try:
        return _BOOLEANS[text.strip().lower()]
    except KeyError as error:
        raise ValueError(text) from error


def _pairs(text: str) -> list[tuple[str, str]]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise TypeError(type(value))
    pairs = [(str(name), str(of)) for name, of in value.items()]
    # A lone surrogate, which JSON may contain, cannot be stored; encoding it raises an error.
    "".join(part for pair in pairs for part in pair).encode()
    return pairs


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(type(value))
    return value


def _item(value: Any, duckdb_type: str) -> Any:
    """Convert a number to a type; ValueError or TypeError if that is impossible."""
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        raise TypeError(type(value))
    if value is None or duckdb_type not in _BITS:
        return value
    whole = int(value) if float(value).is_integer() else None
    if whole is None or whole.bit_length() > _BITS[duckdb_type]:
        raise ValueError(value)
    return whole
