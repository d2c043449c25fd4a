"""Opens a suite: its manifest and its files, checked against the contracts of `queries.schema`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from queries import layout_1, schema
from queries.connection import connect
from queries.header import columns_in_path, read_header
from queries.layout_1 import SAE_KEY
from queries.location import Location, file_problem, is_url, locate, place
from queries.manifest import FORMAT_VERSION, MANIFEST, MAX_MANIFEST_BYTES, Manifest, SuiteError
from queries.manifest_1 import former_key
from queries.manifest_text import parse_manifest
from queries.saes_table import read_saes

if TYPE_CHECKING:
    from queries.schema import Table

#: Inode, bytes and time of the last change of a file; any replacement, damage or import changes them.
Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class Suite:
    """A checked suite.

    Attributes
    ----------
    root : Path or str
        Its folder, absolute, or its URL.
    manifest : Manifest
    columns : dict of str to set of str
        By table, the columns that its files have.
    stamps : dict of str to Stamp
        By file, its stamp when opened; empty for a suite at a URL, where each check would take a request.
    checksum : str
        SHA-256 of its manifest, which contains those of its files.
    """

    root: Location
    manifest: Manifest
    columns: dict[str, set[str]]
    stamps: dict[str, Stamp | None]
    checksum: str

    @property
    def name(self) -> str:
        """The suite's name, the value of the column `suite`."""
        return self.manifest.name

    def replaced(self) -> bool:
        """Return whether the whole suite was replaced, that is, whether its manifest has changed."""
        return bool(self.stamps) and _stamp(self.root, MANIFEST) != self.stamps[MANIFEST]

    def changed(self) -> str | None:
        """Return a file that has changed since the suite was opened, or None."""
        return next((name for name, stamp in self.stamps.items() if _stamp(self.root, name) != stamp), None)

    def files(self, table: Table) -> list[Location]:
        """Return the parquet files of `table`; none if the suite lacks it."""
        return [place(self.root, name) for name in table_files(self.manifest, table)]


def _stamp(root: Location, name: str) -> Stamp | None:
    """Return the stamp of a file of the suite at `root`; None if it is missing."""
    try:
        found = Path(root, name).stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def contracts(manifest: Manifest) -> dict[str, Table]:
    """Return the tables that a suite may have, in its layout."""
    return layout_1.TABLES if manifest.format_version == 1 else schema.TABLES


def cosines_file(sae: str, *, format_version: int = FORMAT_VERSION) -> str:
    """Return the file of the cosines of an SAE, relative to the suite."""
    if format_version == 1:
        layer, width, l0 = former_key(sae)
        return f"cosines/layer={layer}/width={width}/l0={l0}/cosines.parquet"
    return f"cosines/{sae}.parquet"


def table_files(manifest: Manifest, table: Table) -> list[str]:
    """Return the parquet files of `table`, relative to the suite, in the order of the manifest's SAEs."""
    if table.name not in manifest.tables:
        return []
    if table.partitioned:
        has = [sae.id for sae in manifest.saes if sae.cosines]
        return [cosines_file(sae, format_version=manifest.format_version) for sae in has]
    return [f"{table.name}.parquet"]


def checksum(file: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, as in the manifest."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _checksum_of_manifest(root: Location) -> str:
    if isinstance(root, Path):
        return checksum(root / MANIFEST)
    return hashlib.sha256(_manifest_text(root).encode()).hexdigest()


def read_manifest(path: Path | str) -> Manifest:
    """Read and check the manifest of the suite at `path`, with its SAEs; SuiteError if that fails."""
    root = locate(path)
    manifest = parse_manifest(_manifest_text(root), place(root, MANIFEST))
    if manifest.format_version == 1:
        return manifest
    return manifest.model_copy(update={"saes": read_saes(root, manifest)})


def _manifest_text(root: Location) -> str:
    """Return the text of the manifest at `root`, reading no more than the maximum size."""
    if isinstance(root, Path) and not root.is_dir():
        message = f"{root}: no such folder; give the folder of a suite (it holds {MANIFEST})"
        raise SuiteError(message)
    try:
        if isinstance(root, Path):
            content = _first_bytes(root, MAX_MANIFEST_BYTES + 1)
            size, text = len(content), content.decode("utf-8-sig")
        else:
            size, text = _fetched(root)
    except (OSError, UnicodeDecodeError, duckdb.Error) as error:
        reason = next(iter(str(error).splitlines()), "")
        message = (
            f"{place(root, MANIFEST)}: cannot be read ({reason}); a suite is a folder with {MANIFEST} and parquet files"
        )
        raise SuiteError(message) from error
    if size > MAX_MANIFEST_BYTES:
        message = f"{place(root, MANIFEST)}: has more than {MAX_MANIFEST_BYTES:,} bytes; import the suite again"
        raise SuiteError(message)
    return text


def _first_bytes(root: Path, number: int) -> bytes:
    problem = file_problem(root, MANIFEST)
    if problem:
        raise OSError(problem)
    with (root / MANIFEST).open("rb") as file:
        return file.read(number)


def _fetched(root: str) -> tuple[int, str]:
    """Return the number of bytes of the manifest at a URL, and its text, which is not fetched if it is too large."""
    file = {"file": place(root, MANIFEST)}
    with connect([root]) as connection:
        (size,) = connection.execute("SELECT size FROM read_text($file)", file).fetchone() or (0,)
        if size > MAX_MANIFEST_BYTES:
            return size, ""
        (text,) = connection.execute("SELECT content FROM read_text($file)", file).fetchone() or ("",)
    return size, text


def read_suite(path: Path | str) -> Suite:
    """Open the suite at `path` and check every file's header against manifest and contract.

    For a table at a URL with one file per SAE, only the first file is checked, because each would take a request.

    Raises
    ------
    SuiteError
        At the first file that is missing, damaged, or differs from the manifest.
    """
    root = locate(path)
    stamps = {} if is_url(root) else {MANIFEST: _stamp(root, MANIFEST)}  # before it is read
    manifest = read_manifest(root)
    if stamps:
        names = (name for table in contracts(manifest).values() for name in table_files(manifest, table))
        stamps |= {name: _stamp(root, name) for name in names}
    tables = contracts(manifest)
    unknown = sorted(set(manifest.tables) - set(tables))
    if unknown:
        message = (
            f"{place(root, MANIFEST)}: tables: {unknown[0]!r} is not a table of a suite; remove it from the manifest"
        )
        raise SuiteError(message)
    misleading = [part for part in str(root).split("/") if part.partition("=")[0] in SAE_KEY and "=" in part]
    if manifest.format_version == 1 and misleading and table_files(manifest, tables["cosines"]):
        message = f"{root}: is in a folder called {misleading[0]!r}, which DuckDB reads as a column; move the suite"
        raise SuiteError(message)
    columns: dict[str, set[str]] = {}
    with connect([root]) as connection:
        for table in tables.values():
            files = [place(root, name) for name in table_files(manifest, table)]
            if table.required and not files:
                message = f"{place(root, MANIFEST)}: tables: {table.name!r} is missing; every suite needs it"
                raise SuiteError(message)
            for file in files if isinstance(root, Path) else files[:1]:
                header = read_header(connection, root, file, table, manifest)
                if header.problems:
                    message = f"{file}: {header.problems[0][1]}"
                    raise SuiteError(message)
                columns[table.name] = header.columns | set(columns_in_path(table))
    return Suite(root, manifest, columns, stamps, _checksum_of_manifest(root))
