"""Converts a suite from the first layout to the second."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from queries.conform import IngestError, conform
from queries.connection import connect
from queries.definitions import definitions
from queries.file_layout import write_file
from queries.layout_1 import FORMER
from queries.manifest import MANIFEST
from queries.saes_table import saes_table
from queries.schema import TABLES
from queries.staging import staged
from queries.suite import read_suite
from queries.writer import clear, write_cosines, write_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import duckdb
    import pyarrow as pa

    from queries.manifest import Manifest, Sae
    from queries.schema import Table

#: The SELECT of the rows to write, for tables where it is not all rows.
_SELECTS = {
    "concepts": """
        SELECT concepts.* REPLACE (has.num_tokens AS num_tokens)
        FROM concepts
        LEFT JOIN (SELECT concept, count(*) AS num_tokens FROM token_concepts GROUP BY ALL) AS has USING (concept)
    """,
    "measurements": """
        SELECT measurements.* REPLACE (coalesce(measurements.metric, suites.metric) AS metric)
        FROM measurements, suites
    """,
}


def upgrade_suite(folder: Path) -> None:
    """Convert the suite in `folder` to the newest layout, completely or not at all.

    Raises
    ------
    IngestError
        If it has that layout already, or cannot be written.
    SuiteError
        If it cannot be opened.
    """
    suite = read_suite(folder)
    if suite.manifest.format_version != 1:
        message = f"{folder}: has the newest layout already; nothing was changed"
        raise IngestError(message)
    with staged(folder, force=True) as new, connect([suite.root]) as connection:
        clear(new)
        for definition in definitions([suite]):
            connection.execute(definition.sql)
        _copy_others(folder, new)
        saes = _with_seeds(connection, suite.manifest)
        for name, table in TABLES.items():
            if name == "saes":
                write_file(new / "saes.parquet", table, [conform(saes_table(saes), table)])
            elif name == "concepts" or FORMER.get(name, name) in suite.manifest.tables:
                _write(connection, new, table, suite.manifest.saes)
        write_manifest(new, suite.manifest.model_copy(update={"saes": saes}))


def _copy_others(folder: Path, new: Path) -> None:
    """Copy the files of a suite other than its tables and its manifest."""
    for file in folder.rglob("*"):
        if file.is_file() and file.suffix != ".parquet" and file.name != MANIFEST:
            kept = new / file.relative_to(folder)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, kept)


def _write(connection: duckdb.DuckDBPyConnection, new: Path, table: Table, saes: Iterable[Sae]) -> None:
    """Write a table; piece by piece if it is not resident."""
    if table.resident or "sae" not in table.key:
        select = _SELECTS.get(table.name, f"FROM {table.name}")
        write_file(new / f"{table.name}.parquet", table, [conform(connection.sql(select).to_arrow_table(), table)])
        return
    ids = sorted(sae.id for sae in saes if sae.cosines or not table.partitioned)
    if table.partitioned:
        rows = f"SELECT rows.* FROM suites, {table.name}(suite, [$sae]) AS rows"
        for sae in ids:
            write_cosines(new, sae, _pieces(connection, table, rows, "concept", [sae]))
    else:
        rows = f"SELECT * FROM {table.name} WHERE sae = $sae"
        pieces = _pieces(connection, table, rows, f"latent // {_LATENTS}", ids)
        write_file(new / f"{table.name}.parquet", table, pieces)


#: Latents whose rows are read at a time: some 160,000 rows with 20 contexts each.
_LATENTS = 8192


def _pieces(
    connection: duckdb.DuckDBPyConnection, table: Table, select: str, part: str, saes: Iterable[str]
) -> Iterator[pa.Table]:
    """Read a table SAE by SAE, and each SAE by the values of the expression `part`."""
    for sae in saes:
        parts = connection.execute(
            f"SELECT DISTINCT {part} AS part FROM ({select}) ORDER BY part", {"sae": sae}
        ).fetchall()
        for (value,) in parts:
            piece = f"SELECT * FROM ({select}) WHERE {part} = $part"
            yield conform(connection.execute(piece, {"sae": sae, "part": value}).to_arrow_table(), table)


def _with_seeds(connection: duckdb.DuckDBPyConnection, manifest: Manifest) -> list[Sae]:
    """Return the SAEs, each followed by SAEs for its further seeds."""
    if "repeats" not in manifest.tables:
        return list(manifest.saes)
    seeds = "SELECT DISTINCT sae, id, seed, l0_measured, is_own FROM former_repeats ORDER BY seed"
    found = connection.execute(seeds).fetchall()
    own = {sae: seed for sae, _, seed, _, is_own in found if is_own}
    every = []
    for sae in manifest.saes:
        named = sae.model_copy(update={"seed": own.get(sae.id)})
        every.append(named)
        every += [
            named.model_copy(
                update={"sae": id_, "seed": seed, "repeat_of": sae.id, "l0": l0, "cosines": False}
                | dict.fromkeys(("variance_explained", "loss_recovered", "dead_fraction", "neuronpedia"))
            )
            for of, id_, seed, l0, is_own in found
            if of == sae.id and not is_own
        ]
    return every
