"""Writes a suite, completely or not at all: every table in the form of its contract, and the manifest."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from queries.conform import IngestError, conform, run_starts
from queries.file_layout import write_file
from queries.manifest import FORMAT_VERSION, MANIFEST, Manifest, SuiteError, TableEntry, check_ids
from queries.manifest_text import parse_manifest
from queries.saes_table import saes_table
from queries.schema import TABLES
from queries.staging import staged
from queries.suite import checksum, cosines_file, table_files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from queries.schema import Table


def write_suite(
    folder: Path,
    manifest: Manifest,
    tables: Mapping[str, pa.Table | Iterable[pa.Table]],
    *,
    files: Iterable[tuple[str, bytes]] = (),
    force: bool = False,
) -> Manifest:
    """Write a suite to `folder`, completely or not at all.

    Parameters
    ----------
    folder : Path
    manifest : Manifest
        Metadata of the suite, with its SAEs; `tables`, and which SAEs have cosines, are filled in here.
    tables : mapping of str to pyarrow.Table, or an iterable of them
        Rows by table name, without the table saes. If a table is given in pieces, they must be in the order of the key,
        and each piece of cosines must contain complete SAEs.
    files : iterable of (str, bytes)
        Further files of the suite: path within it, content.
    force : bool
        Replace an existing suite at `folder`.

    Returns
    -------
    Manifest
        The manifest as written.

    Raises
    ------
    IngestError
        If `folder` exists and `force` is false, or rows violate their contract.
    """
    with staged(folder, force=force) as suite:
        clear(suite)
        for path, content in files:
            (suite / path).parent.mkdir(parents=True, exist_ok=True)
            (suite / path).write_bytes(content)
        return write_tables(suite, manifest, tables)


def clear(suite: Path) -> None:
    """Remove the files that a killed writer left in the folder in which a suite is built."""
    for left in suite.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def write_tables(suite: Path, manifest: Manifest, tables: Mapping[str, pa.Table | Iterable[pa.Table]]) -> Manifest:
    """Write tables and manifest to the folder `suite`; cosine files that exist there already become part of it.

    Returns the manifest as written; parameters and errors are those of `write_suite`.
    """
    for name, pieces in {**tables, "saes": saes_table(manifest.saes)}.items():
        if name not in TABLES:
            message = f"table {name!r}: is not a table of a suite; give one of {', '.join(TABLES)}"
            raise IngestError(message)
        table = TABLES[name]
        ordered = _conformed_in_order(table, [pieces] if isinstance(pieces, pa.Table) else pieces, manifest)
        if table.partitioned:
            _write_partitions(suite, ordered, {sae.id for sae in manifest.saes})
        else:
            write_file(suite / f"{name}.parquet", table, ordered)
    saes = [sae.model_copy(update={"cosines": (suite / cosines_file(sae.id)).exists()}) for sae in manifest.saes]
    return write_manifest(suite, manifest.model_copy(update={"saes": saes}))


def write_manifest(suite: Path, manifest: Manifest) -> Manifest:
    """Write the manifest for the tables in the folder `suite`; return it."""
    every = {name: _entry(suite, table, []) for name, table in TABLES.items()}
    named = manifest.model_copy(update={"format_version": FORMAT_VERSION, "tables": every})
    entries = {
        name: _entry(suite, table, files)
        for name, table in TABLES.items()
        if (files := [file for file in table_files(named, table) if (suite / file).exists()])
    }
    return save_manifest(suite, named.model_copy(update={"tables": entries}))


def save_manifest(suite: Path, manifest: Manifest) -> Manifest:
    """Write a manifest, unchanged, to the folder `suite`; return it."""
    text = json.dumps(manifest.model_dump(mode="json", exclude={"saes"}), indent=1, ensure_ascii=False)
    try:
        parse_manifest(text, suite.name)
        check_ids(manifest.saes)
    except (SuiteError, ValueError) as error:
        raise IngestError(str(error)) from error
    growing = suite / f".{MANIFEST}"
    growing.write_text(f"{text}\n", encoding="utf-8")
    growing.replace(suite / MANIFEST)
    return manifest


def _entry(suite: Path, table: Table, files: list[str]) -> TableEntry:
    return TableEntry(
        rows=sum(pq.read_metadata(suite / file).num_rows for file in files),
        columns={column.name: column.type for column in table.columns},
        checksums={file: checksum(suite / file) for file in files},
    )


def _conformed_in_order(table: Table, pieces: Iterable[pa.Table], manifest: Manifest) -> Iterator[pa.Table]:
    """Yield each piece in the form of the contract; IngestError if a piece does not follow the previous one."""
    previous = None
    for piece in pieces:
        data = conform(with_metric(piece, table, manifest), table)
        if not data.num_rows:
            continue
        first, last = (tuple(data[name][row].as_py() for name in table.key) for row in (0, -1))
        if previous is not None and first <= previous:
            message = f"table {table.name!r}: {first} comes after {previous}; give the pieces in the order of the key"
            raise IngestError(message)
        previous = last
        yield data


def with_metric(data: pa.Table, table: Table, manifest: Manifest) -> pa.Table:
    """Fill in the manifest's metric in rows of a table of measurements that do not name a metric."""
    if "metric" not in {column.name for column in table.columns}:
        return data
    for name, value in (("metric", manifest.method.metric), ("metric_version", manifest.method.metric_version)):
        given = data[name] if name in data.column_names else pa.nulls(data.num_rows, pa.string())
        kept = data.select([column for column in data.column_names if column != name])
        data = kept.append_column(name, pc.fill_null(given, pa.scalar(value, pa.string())))
    return data


def _write_partitions(suite: Path, pieces: Iterable[pa.Table], saes: Collection[str]) -> None:
    """Write the cosines, one file per SAE; IngestError for SAEs that are not listed."""
    for piece in pieces:
        starts = run_starts(piece, ["sae"]).tolist()
        for start, end in zip(starts, [*starts[1:], piece.num_rows], strict=True):
            sae = piece["sae"][start].as_py()
            if sae not in saes:
                message = f"table 'cosines': {sae!r} is not an SAE of the manifest; list it there"
                raise IngestError(message)
            write_cosines(suite, sae, [piece.slice(start, end - start)])


def write_cosines(suite: Path, sae: str, pieces: Iterable[pa.Table]) -> Path:
    """Write the cosines of one SAE, complete concepts in the order of concept and latent; return the file."""
    return write_file(suite / cosines_file(sae), TABLES["cosines"], pieces)
