"""Converts between rows of the table of SAEs and `queries.manifest.Sae`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
from pydantic import ValidationError

from queries.conform import arrow_schema
from queries.connection import connect
from queries.header import cast_columns, read_header
from queries.location import Location, pattern, place
from queries.manifest import MANIFEST, Manifest, Neuronpedia, Sae, SuiteError, check_ids, first_problem
from queries.sae_ids import sorted_saes
from queries.schema import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable

_TABLE = TABLES["saes"]
#: Columns without a field of the same name in `Sae`.
_OTHERS = ("num_latents", "num_latents_counted", "neuronpedia_model", "neuronpedia_source", "attributes")
_FIELDS = tuple(column.name for column in _TABLE.columns if column.name not in _OTHERS)


def read_saes(root: Location, manifest: Manifest) -> list[Sae]:
    """Read the table of SAEs of a suite of the second layout."""
    file = place(root, "saes.parquet")
    if "saes" not in manifest.tables:
        message = f"{place(root, MANIFEST)}: tables: 'saes' is missing; every suite needs it"
        raise SuiteError(message)
    with connect([root]) as connection:
        header = read_header(connection, root, file, _TABLE, manifest)
        if header.problems:
            message = f"{file}: {header.problems[0][1]}"
            raise SuiteError(message)
        columns = cast_columns(_TABLE, header.columns)
        try:
            rows = connection.execute(f"SELECT {columns} FROM read_parquet($file)", {"file": pattern(file)})
            names = [column.name for column in _TABLE.columns]
            found = [dict(zip(names, row, strict=True)) for row in rows.fetchall()]
        except duckdb.Error as error:
            message = f"{file}: cannot be read ({str(error).splitlines()[0]}); restore it or import the suite again"
            raise SuiteError(message) from error
    entry = manifest.tables.get("cosines")
    cosines = set(entry.checksums if entry else ())
    saes = []
    for row in found:
        try:
            saes.append(_sae(row, cosines=f"cosines/{row['sae']}.parquet" in cosines))
        except ValidationError as error:
            message = f"{file}: {row['sae']}: {first_problem(error)}; fix the table or import the suite again"
            raise SuiteError(message) from error
    try:
        check_ids(saes)
    except ValueError as error:
        message = f"{file}: {error}"
        raise SuiteError(message) from error
    return sorted_saes(saes)


def _sae(row: dict[str, Any], *, cosines: bool) -> Sae:
    """Convert a row to an SAE."""
    pedia = row["neuronpedia_model"], row["neuronpedia_source"]
    return Sae(
        n_latents=row["num_latents"],
        n_latents_counted=row["num_latents"] is not None and row["num_latents_counted"] is not False,
        neuronpedia=Neuronpedia(model=pedia[0], source=pedia[1]) if all(pedia) else None,
        attributes=row["attributes"] or {},
        cosines=cosines,
        **{name: row[name] for name in _FIELDS},
    )


def saes_table(saes: Iterable[Sae]) -> pa.Table:
    """Convert SAEs to rows of their table."""
    rows = [
        {
            "num_latents": sae.n_latents,
            "num_latents_counted": sae.n_latents_counted,
            "neuronpedia_model": sae.neuronpedia and sae.neuronpedia.model,
            "neuronpedia_source": sae.neuronpedia and sae.neuronpedia.source,
            "attributes": list(sae.attributes.items()) or None,
        }
        | {name: getattr(sae, name) for name in _FIELDS}
        for sae in saes
    ]
    return pa.Table.from_pylist(rows, arrow_schema(_TABLE.columns))
