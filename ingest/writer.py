"""Write a suite: every table as its contract says, a manifest that counts them, and all of it or nothing."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pyarrow as pa

from ingest.conform import IngestError, conform, run_starts
from ingest.layout import open_file, row_groups, stored_columns
from queries.manifest import MANIFEST, Manifest, TableEntry
from queries.schema import SAE_KEY, TABLES, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_Key = tuple[int, int, int]


def write_suite(
    folder: Path,
    manifest: Manifest,
    tables: Mapping[str, pa.Table | Iterable[pa.Table]],
    *,
    files: Iterable[tuple[str, bytes]] = (),
    force: bool = False,
) -> Manifest:
    """Write a suite to `folder`.

    It is built in a temporary folder beside `folder` and moved there at the end, so a failure leaves nothing behind
    and a suite that was there before stays whole until its successor is.

    Parameters
    ----------
    folder : Path
    manifest : Manifest
        What the suite says of itself; `tables`, and which SAEs have cosines, are filled in here.
    tables : mapping of str to pyarrow.Table, or an iterable of them
        Rows by table name. Where a table comes in pieces, each holds whole SAEs, in the order of the key.
    files : iterable of (str, bytes)
        Anything else to lie in the suite: path within it, content.
    force : bool
        Replace what is at `folder`.

    Returns
    -------
    Manifest
        As written.

    Raises
    ------
    IngestError
        Where `folder` exists and `force` is not given, or rows do not meet their contract.
    """
    if folder.exists() and not force:
        message = f"{folder}: exists already; give another folder, or --force to replace it"
        raise IngestError(message)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        suite = Path(scratch) / "suite"
        suite.mkdir()
        entries, with_cosines = {}, set[_Key]()
        for name, pieces in tables.items():
            table = TABLES[name]
            ordered = _in_order(table, [pieces] if isinstance(pieces, pa.Table) else pieces)
            if table.partitioned:
                rows, with_cosines = _write_partitions(suite, table, ordered)
            else:
                rows = _write_file(suite / f"{name}.parquet", table, ordered)
            entries[name] = TableEntry(rows=rows, columns={column.name: column.type for column in table.columns})
        for path, content in files:
            (suite / path).parent.mkdir(parents=True, exist_ok=True)
            (suite / path).write_bytes(content)
        saes = [sae.model_copy(update={"cosines": sae.key in with_cosines}) for sae in manifest.saes]
        written = manifest.model_copy(update={"tables": entries, "saes": saes})
        text = json.dumps(written.model_dump(mode="json"), indent=1, ensure_ascii=False)
        (suite / MANIFEST).write_text(f"{text}\n", encoding="utf-8")
        if folder.exists():
            folder.rename(Path(scratch) / "replaced")
        suite.rename(folder)
    return written


def _in_order(table: Table, pieces: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Conform each piece, and refuse one that does not come after the piece before."""
    previous = None
    for piece in pieces:
        data = conform(piece, table)
        if not data.num_rows:
            continue
        first, last = (tuple(data[name][row].as_py() for name in table.key) for row in (0, -1))
        if previous is not None and first <= previous:
            message = f"table {table.name!r}: {first} comes after {previous}; give the pieces in the order of the key"
            raise IngestError(message)
        previous = last
        yield data


def _write_file(path: Path, table: Table, pieces: Iterable[pa.Table]) -> int:
    """Write the pieces to one file; return the number of rows."""
    rows = 0
    with open_file(path, table) as file:
        for piece in pieces:
            rows += piece.num_rows
            for group in row_groups(piece, table):
                file.write_table(group, row_group_size=group.num_rows)
    return rows


def _write_partitions(suite: Path, table: Table, pieces: Iterable[pa.Table]) -> tuple[int, set[_Key]]:
    """Write one file an SAE; return the number of rows, and the SAEs that have any."""
    rows, saes = 0, set[_Key]()
    names = [column.name for column in stored_columns(table)]
    for piece in pieces:
        starts = run_starts(piece, SAE_KEY).tolist()
        for start, end in zip(starts, [*starts[1:], piece.num_rows], strict=True):
            layer, width, l0 = (piece[name][start].as_py() for name in SAE_KEY)
            path = suite / table.name / f"layer={layer}" / f"width={width}" / f"l0={l0}" / f"{table.name}.parquet"
            path.parent.mkdir(parents=True)
            rows += _write_file(path, table, [piece.slice(start, end - start).select(names)])
            saes.add((layer, width, l0))
    return rows, saes
