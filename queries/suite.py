"""One suite on disk: its manifest, its files, and whether they keep the contracts of `queries.schema`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb

from queries.manifest import MANIFEST, Manifest, Sae, SuiteError, read_manifest
from queries.schema import SAE_KEY, TABLES, Table

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Suite:
    """A checked suite.

    Attributes
    ----------
    root : Path
        Its folder, absolute.
    manifest : Manifest
    columns : dict of str to set of str
        By table, the columns that its files really have.
    """

    root: Path
    manifest: Manifest
    columns: dict[str, set[str]]

    @property
    def name(self) -> str:
        """The suite's name, the value of the column `suite`."""
        return self.manifest.name

    def files(self, table: Table) -> list[Path]:
        """Return the parquet files of `table`; none where the suite lacks it."""
        return table_files(self.root, self.manifest, table)


def cosines_file(root: Path, sae: Sae) -> Path:
    """Return where the cosines of `sae` lie in the suite at `root`."""
    return root / "cosines" / f"layer={sae.layer}" / f"width={sae.width}" / f"l0={sae.l0}" / "cosines.parquet"


def table_files(root: Path, manifest: Manifest, table: Table) -> list[Path]:
    """Return the parquet files that hold `table`, in the order of the manifest's SAEs."""
    if table.name not in manifest.tables:
        return []
    if table.partitioned:
        return [cosines_file(root, sae) for sae in manifest.saes if sae.cosines]
    return [root / f"{table.name}.parquet"]


def read_suite(folder: Path) -> Suite:
    """Open the suite in `folder` and check every file's header against manifest and contract.

    Raises
    ------
    SuiteError
        At the first file that is missing, damaged, or not what the manifest says.
    """
    root = folder.resolve()
    manifest = read_manifest(root)
    unknown = sorted(set(manifest.tables) - set(TABLES))
    if unknown:
        message = f"{root / MANIFEST}: tables: {unknown[0]!r} is no table of a suite; take it out of the manifest"
        raise SuiteError(message)
    misleading = [part for part in root.parts if part.partition("=")[0] in SAE_KEY and "=" in part]
    if misleading and any(table_files(root, manifest, table) for table in TABLES.values() if table.partitioned):
        message = f"{root}: lies in a folder called {misleading[0]!r}, that reads as a column; move the suite"
        raise SuiteError(message)
    columns: dict[str, set[str]] = {}
    with duckdb.connect() as connection:
        for table in TABLES.values():
            files = table_files(root, manifest, table)
            if table.required and not files:
                message = f"{root / MANIFEST}: tables: {table.name!r} is missing; every suite needs it"
                raise SuiteError(message)
            for file in files:
                columns[table.name] = _check_file(connection, file, table, manifest)
    return Suite(root, manifest, columns)


def _check_file(connection: duckdb.DuckDBPyConnection, file: Path, table: Table, manifest: Manifest) -> set[str]:
    """Compare the header of `file` with the contract and with what the manifest says; return its columns."""
    if not file.is_file():
        message = f"{file}: missing, but {MANIFEST} lists table {table.name!r}; restore it or import the suite again"
        raise SuiteError(message)
    try:
        # Folders above the suite may be called a=b; they are no columns.
        describe = "DESCRIBE SELECT * FROM read_parquet($file, hive_partitioning = false)"
        described = connection.execute(describe, {"file": str(file)}).fetchall()
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        message = f"{file}: not a readable parquet file ({reason}); restore it or import the suite again"
        raise SuiteError(message) from error
    found = {row[0]: row[1] for row in described}
    if table.partitioned:
        found |= dict.fromkeys(SAE_KEY, "INTEGER")
    for name, type_ in manifest.tables[table.name].columns.items():
        if found.get(name) != type_:
            has = f"has {found[name]}" if name in found else "has no such column"
            message = f"{file}: {MANIFEST} says column {name!r} is {type_}, the file {has}; import the suite again"
            raise SuiteError(message)
    for column in table.columns:
        if column.required and column.name not in found:
            message = f"{file}: column {column.name!r} ({column.type}) is missing; import the suite again"
            raise SuiteError(message)
        if column.name in found and not _casts(connection, found[column.name], column.type):
            message = f"{file}: column {column.name!r} is {found[column.name]}, needed is {column.type}; import again"
            raise SuiteError(message)
    return set(found)


def _casts(connection: duckdb.DuckDBPyConnection, has: str, needed: str) -> bool:
    """Tell whether values of type `has` can stand for `needed` without being parsed from text."""
    if has == needed:
        return True
    if "VARCHAR" in (has, needed) or has.endswith("[]") != needed.endswith("[]"):
        return False
    try:
        connection.execute(f"SELECT CAST(NULL::{has} AS {needed})")
    except duckdb.Error:
        return False
    return True
