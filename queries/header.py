"""Checks the header of a suite's parquet file against the contract and the manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import duckdb

from queries.layout_1 import SAE_KEY
from queries.location import Location, file_problem, pattern
from queries.manifest import MANIFEST, Manifest
from queries.parquet import footer_problem, text_problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queries.schema import Table


class Header(NamedTuple):
    """The result of reading the header of a file.

    Attributes
    ----------
    columns : set of str
        The columns of the file.
    problems : list of tuple of str or None, and str
        Column, None for the whole file; the problem and its fix.
    """

    columns: set[str]
    problems: list[tuple[str | None, str]]


def read_header(
    connection: duckdb.DuckDBPyConnection, root: Location, file: Location, table: Table, manifest: Manifest
) -> Header:
    """Compare the header of `file` with the contract and with the manifest."""
    if isinstance(root, Path) and isinstance(file, Path):
        wrong = _unreadable(root, file, table)
        if wrong:
            return Header(set(), [wrong])
    # Without hive_partitioning = false, folders called a=b above the suite would become columns.
    describe = "DESCRIBE SELECT * FROM read_parquet($file, hive_partitioning = false)"
    try:
        rows = connection.execute(describe, {"file": pattern(file)}).fetchall()
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        return Header(set(), [(None, f"not a readable parquet file ({reason}); restore it or import the suite again")])
    types: dict[str, str] = {row[0]: row[1] for row in rows}
    # Columns from the names of folders.
    known = types | dict.fromkeys(columns_in_path(table), "INTEGER")
    return Header(set(types), list(_header_problems(connection, known, table, manifest)))


def cast_columns(table: Table, present: set[str]) -> str:
    """Return the select list of a table with the contract's types; NULL for columns that its file lacks."""
    return ", ".join(
        f"CAST({column.name if column.name in present else 'NULL'} AS {column.type}) AS {column.name}"
        for column in table.columns
    )


def columns_in_path(table: Table) -> tuple[str, ...]:
    """Return the columns of a table that are given by the names of its files' folders."""
    return SAE_KEY if table.partitioned and SAE_KEY[0] in table.key else ()


def _header_problems(
    connection: duckdb.DuckDBPyConnection, found: dict[str, str], table: Table, manifest: Manifest
) -> Iterator[tuple[str | None, str]]:
    """Compare the columns of a file, and their types, with the contract and with the manifest."""
    listed = manifest.tables[table.name].columns
    for name, type_ in listed.items():
        if found.get(name) != type_:
            has = f"has {found[name]}" if name in found else "has no such column"
            yield name, f"{MANIFEST} says column {name!r} is {type_}, the file {has}; import the suite again"
    for column in table.columns:
        if column.required and column.name not in found and column.name not in listed:
            yield column.name, f"column {column.name!r} ({column.type}) is missing; import the suite again"
        if column.name in found and not _can_cast(connection, found[column.name], column.type):
            message = f"column {column.name!r} is {found[column.name]}, but must be {column.type}; import again"
            yield column.name, message


def _unreadable(root: Path, file: Path, table: Table) -> tuple[str | None, str] | None:
    """Return why a file is not read at all: column, if any, and reason."""
    wrong = file_problem(root, file.relative_to(root).as_posix())
    if wrong:
        return None, f"{wrong}, but {MANIFEST} lists table {table.name!r}; restore it or import the suite again"
    wrong = footer_problem(file, table)
    if wrong:
        return None, wrong
    return text_problem(file, table) if table.resident else None


def _can_cast(connection: duckdb.DuckDBPyConnection, has: str, needed: str) -> bool:
    """Return whether values of type `has` can be cast to `needed` without parsing text."""
    if has == needed:
        return True
    if "VARCHAR" in (has, needed) or has.endswith("[]") != needed.endswith("[]"):
        return False
    try:
        connection.execute(f"SELECT CAST(NULL::{has} AS {needed})")
    except duckdb.Error:
        return False
    return True
