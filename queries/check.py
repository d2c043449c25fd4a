"""Checks a suite against its contracts; lists every problem with file, table, column and row."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import duckdb

from queries.connection import connect
from queries.definitions import create_and_fill
from queries.header import read_header
from queries.layout_1 import SAE_KEY
from queries.literal import literal
from queries.location import pattern
from queries.manifest import MANIFEST, SuiteError
from queries.manifest_1 import former_key
from queries.parquet import text_problem
from queries.rules import Condition
from queries.rules import conditions as table_conditions
from queries.suite import checksum, contracts, read_manifest, table_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from queries.manifest import Manifest
    from queries.schema import Table

#: Maximum rows listed for each kind of problem; the others are counted.
LISTED_ROWS = 100


@dataclass(frozen=True)
class Problem:
    """One problem of a suite.

    Attributes
    ----------
    file : str
        Relative to the suite's folder.
    table, column : str or None
        None if it concerns the whole file or the whole row.
    row : int or None
        Index in the file, from 0.
    message : str
        The problem, and what is required.
    """

    file: str
    table: str | None
    column: str | None
    row: int | None
    message: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as `absorption-explorer check --json` prints it."""
        return asdict(self)

    def __str__(self) -> str:
        place = [self.file, *([self.column] if self.column else []), *([] if self.row is None else [f"row {self.row}"])]
        return f"{', '.join(place)}: {self.message}"


def check_suite(folder: Path) -> list[Problem]:
    """Check manifest, files, headers and every value of the suite in `folder`.

    Returns
    -------
    list of Problem
        Empty if the suite conforms to its contracts.
    """
    root = folder.resolve()
    try:
        manifest = read_manifest(root)
    except SuiteError as error:
        return [Problem(MANIFEST, None, None, None, str(error))]
    tables = contracts(manifest)
    problems = [
        Problem(MANIFEST, name, None, None, f"{name!r} is not a table of a suite; remove it from the manifest")
        for name in sorted(set(manifest.tables) - set(tables))
    ]
    listed = set()
    with connect([root]) as connection:
        _create_saes(connection, manifest)
        _create_concepts(connection, root)
        for table in tables.values():
            files = [root / name for name in table_files(manifest, table)]
            listed |= set(files)
            if table.required and not files:
                problems.append(Problem(MANIFEST, table.name, None, None, "the table is missing; every suite needs it"))
            rows = 0
            for file in files:
                columns, wrong = read_header(connection, root, file, table, manifest)
                # Texts of resident tables are checked with the header.
                if not wrong and not table.resident and (too_long := text_problem(file, table)):
                    wrong = [too_long]
                name = file.relative_to(root).as_posix()
                found = [Problem(name, table.name, column, None, message) for column, message in wrong]
                if not found:
                    found, number = _value_problems(connection, root, file, table, columns)
                    rows += number
                found = found or _content_problems(root, manifest, file, table)
                problems += found
            if files and not any(problem.table == table.name for problem in problems):
                problems += _count_problems(manifest, table, rows)
    for file in sorted(set(root.rglob("*.parquet")) - listed):
        name = file.relative_to(root).as_posix()
        problems.append(Problem(name, None, None, None, f"is in the suite, but {MANIFEST} does not list it"))
    return problems


def _create_saes(connection: duckdb.DuckDBPyConnection, manifest: Manifest) -> None:
    """Create the table of SAEs with their keys in the suite's layout."""
    key = "layer INTEGER, width INTEGER, l0 INTEGER" if manifest.format_version == 1 else "sae VARCHAR"
    rows = [
        (*(former_key(sae.id) if manifest.format_version == 1 else (sae.id,)), sae.n_latents) for sae in manifest.saes
    ]
    for definition in create_and_fill("saes", f"{key}, n_latents INTEGER", rows):
        connection.execute(definition.sql)


def _create_concepts(connection: duckdb.DuckDBPyConnection, root: Path) -> None:
    """Create the table of concepts; if their file cannot be read, a separate problem, any concept is accepted."""
    file = literal(pattern(root / "concepts.parquet"))
    concepts = f"SELECT concept FROM read_parquet({file}) WHERE strlen(concept) > 0"  # noqa: S608 - a path
    try:
        connection.execute(f"CREATE TABLE concepts AS {concepts}")
    except duckdb.Error:
        connection.execute("CREATE TABLE concepts AS SELECT NULL::VARCHAR AS concept")


def _count_problems(manifest: Manifest, table: Table, rows: int) -> Iterator[Problem]:
    listed = manifest.tables[table.name].rows
    if rows != listed:
        yield Problem(MANIFEST, table.name, None, None, f"says {listed:,} rows, the files have {rows:,}; import again")


def _content_problems(root: Path, manifest: Manifest, file: Path, table: Table) -> list[Problem]:
    """Compare the checksum of a file without other problems with the manifest."""
    name = file.relative_to(root).as_posix()
    written = manifest.tables[table.name].checksums.get(name)
    if written is None or checksum(file) == written:
        return []
    message = f"its checksum is not the one in {MANIFEST}: it was damaged or replaced; restore it or import again"
    return [Problem(name, table.name, None, None, message)]


def _value_problems(
    connection: duckdb.DuckDBPyConnection, root: Path, file: Path, table: Table, present: set[str]
) -> tuple[list[Problem], int]:
    """Check every row of a file whose header is valid; return the problems and the number of rows.

    Two passes over the file count all kinds of problems, and further passes list the rows of those found. The file is
    not kept in memory, because it may be larger than memory.
    """
    name = file.relative_to(root).as_posix()
    contents = _contents(root, file, table, present)
    rows = _with_sae(contents, table)
    conditions = [*table_conditions(table), *_suite_conditions(file, table)]
    counts = ", ".join(f"count_if({condition})" for _, condition, _ in conditions)
    problems: list[Problem] = []
    try:
        number, *wrong = connection.execute(f"SELECT count(*), {counts} FROM ({rows})").fetchone() or ()  # noqa: S608 - contract's
        found: list[tuple[str | None, str, str]] = [
            (None, *found) for found in _key_problems(connection, contents, table)
        ]
        found += [
            (column, f"SELECT file_row_number FROM ({rows}) WHERE {condition}", message)  # noqa: S608 - contract's
            for (column, condition, message), count in zip(conditions, wrong, strict=True)
            if count
        ]
        for column, query, message in found:
            problems += _listed(connection, query, Problem(name, table.name, column, None, message))
    except duckdb.OutOfMemoryException:
        return [Problem(name, table.name, None, None, "does not fit into memory; write smaller row groups")], 0
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        return [Problem(name, table.name, None, None, f"damaged ({reason}); restore it or import the suite again")], 0
    return problems, number


def _suite_conditions(file: Path, table: Table) -> Iterator[Condition]:
    """Yield the conditions that no row may meet because of other tables of the suite."""
    names = {column.name for column in table.columns}
    if "concept" in names and table.name != "concepts":
        yield Condition(
            "concept", "concept NOT IN (FROM concepts)", "belongs to a concept that the suite does not list"
        )
    if table.name == "concepts":
        unlisted = "parent IS NOT NULL AND parent NOT IN (SELECT concept FROM concepts)"
        yield Condition("parent", unlisted, "is a concept that the suite does not list")
    if "other_sae" in names:
        other = "(SELECT any_value(saes.n_latents) FROM saes WHERE saes.sae = other_sae)"
        yield Condition(
            "other_sae", "other_sae NOT IN (SELECT saes.sae FROM saes)", "is an SAE that the suite does not list"
        )
        yield Condition("other_latent", f"other_latent >= {other}", "is not a latent of the other SAE")
    if "sae" in names and table.partitioned:
        yield Condition("sae", f"sae <> {literal(file.stem)}", "is not the SAE of its file")


def _listed(connection: duckdb.DuckDBPyConnection, query: str, problem: Problem) -> Iterator[Problem]:
    """Yield the problem for the first rows that `query` finds, and once with the number of the others."""
    rows = connection.execute(f"FROM ({query}) ORDER BY file_row_number LIMIT {LISTED_ROWS}").fetchall()
    yield from (replace(problem, row=row) for (row,) in rows)
    if len(rows) < LISTED_ROWS:
        return
    (number,) = connection.execute(f"SELECT count(*) FROM ({query})").fetchone() or (0,)  # noqa: S608 - contract's
    if number > LISTED_ROWS:
        yield replace(problem, message=f"{problem.message} ({number - LISTED_ROWS:,} more rows like this)")


def _contents(root: Path, file: Path, table: Table, present: set[str]) -> str:
    """Return the SELECT of a file's rows: the contract's columns and the row's number."""
    in_path = dict(part.split("=") for part in file.relative_to(root).parts if "=" in part)
    columns = ", ".join(
        f"CAST({value} AS {column.type}) AS {column.name}"
        for column in table.columns
        for value in [
            column.name
            if column.name in present
            else f"'{int(in_path[column.name])}'"
            if column.name in in_path
            else "NULL"
        ]
    )
    source = f"read_parquet({literal(pattern(file))}, hive_partitioning = false, file_row_number = true)"
    return f"SELECT {columns}, file_row_number FROM {source}"  # noqa: S608 - names of the contract


def _with_sae(contents: str, table: Table) -> str:
    """Return the same SELECT with the number of latents of each row's SAE."""
    names = {column.name for column in table.columns}
    key = next((key for key in (("sae",), SAE_KEY) if set(key) <= names), None)
    if key is None or table.name == "saes":
        return f"SELECT *, NULL AS n_latents, false AS no_sae FROM ({contents})"  # noqa: S608 - names of the contract
    saes = "(SELECT *, true AS is_listed FROM saes) AS saes"
    return f"SELECT *, is_listed IS NULL AS no_sae FROM ({contents}) LEFT JOIN {saes} USING ({', '.join(key)})"  # noqa: S608


def _key_problems(connection: duckdb.DuckDBPyConnection, contents: str, table: Table) -> list[tuple[str, str]]:
    """Return queries for the rows whose key is not larger than that of the previous row, with the messages."""
    # In a partition the SAE is the same in every row.
    names = [name for name in table.key if not (table.partitioned and name in SAE_KEY)]
    key = ", ".join(names)
    # The rows are in the order of the file; an ORDER BY would sort them again, which takes memory.
    before = ", ".join(f"lag({name}) OVER ()" for name in names)
    falling = (
        f"SELECT file_row_number FROM (SELECT file_row_number, row({before}) >= row({key}) AS falls FROM ({contents}))"  # noqa: S608 - names of the contract
        " WHERE falls AND file_row_number > 0"
    )
    late = f"is out of order: rows must be sorted by {', '.join(table.key)}"
    if not connection.execute(f"{falling} LIMIT 1").fetchall():
        return []  # the usual case, and fast
    repeated = (
        "SELECT file_row_number FROM (SELECT file_row_number, row_number() OVER"  # noqa: S608 - names of the contract
        f" (PARTITION BY {key} ORDER BY file_row_number) AS nth FROM ({contents})) WHERE nth > 1"
    )
    try:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE repeated AS {repeated}")
    except duckdb.OutOfMemoryException:
        return [(falling, late)]
    return [
        ("FROM repeated", f"has the same {', '.join(table.key)} as an earlier row; keys must be unique"),
        (f"{falling} AND file_row_number NOT IN (FROM repeated)", late),
    ]
