"""The table of a suite's SAEs, and the SAEs that are made of it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import duckdb
from pydantic import ValidationError

from queries.connection import connect
from queries.header import cast_columns, read_header
from queries.location import Location, pattern, place
from queries.manifest import MANIFEST, Manifest, Neuronpedia, Sae, SuiteError, first_problem
from queries.schema import TABLES

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Columns of the table saes that an `Sae` has under the same names.
SAME = (
    *("sae", "layer", "width", "hook", "architecture", "recipe", "seed", "repeat_of", "tokens_seen"),
    *("variance_explained", "loss_recovered", "dead_fraction"),
)


def read_saes(root: Location, manifest: Manifest) -> list[Sae]:
    """Read the table of SAEs of a suite of the second layout."""
    table, file = TABLES["saes"], place(root, "saes.parquet")
    if "saes" not in manifest.tables:
        message = f"{place(root, MANIFEST)}: tables: 'saes' is missing; every suite needs it"
        raise SuiteError(message)
    with connect([root]) as connection:
        header = read_header(connection, root, file, table, manifest)
        if header.problems:
            message = f"{file}: {header.problems[0][1]}"
            raise SuiteError(message)
        columns = cast_columns(table, header.columns)
        try:
            rows = connection.execute(f"SELECT {columns} FROM read_parquet($file)", {"file": pattern(file)})
            names = [column.name for column in table.columns]
            found = [dict(zip(names, row, strict=True)) for row in rows.fetchall()]
        except duckdb.Error as error:
            message = f"{file}: cannot be read ({str(error).splitlines()[0]}); restore it or import the suite again"
            raise SuiteError(message) from error
    cosines = {name.removeprefix("cosines/").removesuffix(".parquet") for name in _cosines_listed(manifest)}
    unknown: Counter[tuple[Any, Any]] = Counter()
    saes = []
    for row in found:
        l0 = row["l0"] if row["l0_nominal"] is None else row["l0_nominal"]
        if l0 is None:
            # Where layer, width and L0 name an SAE, those of no known L0 are told apart by negative numbers.
            unknown[row["layer"], row["width"]] += 1
            l0 = -unknown[row["layer"], row["width"]]
        try:
            saes.append(_sae(row, round(l0), cosines=row["sae"] in cosines))
        except ValidationError as error:
            message = f"{file}: {row['sae']}: {first_problem(error)}; mend the table or import the suite again"
            raise SuiteError(message) from error
    _refuse_doubles(file, saes)
    return sorted(saes, key=lambda sae: (sae.layer, sae.width, sae.l0 < 0, abs(sae.l0), sae.id))


def _refuse_doubles(file: Location, saes: Sequence[Sae]) -> None:
    """Refuse SAEs that nothing tells apart; the page still knows them by layer, width and L0."""
    own = [sae for sae in saes if sae.repeat_of is None]
    for what, named in (("sae", [sae.id for sae in saes]),):
        name, count = Counter[Any](named).most_common(1)[0] if named else (None, 0)
        if count > 1:
            message = f"{file}: {what} {name} stands twice; give each SAE its own"
            raise SuiteError(message)
    strange = {sae.repeat_of for sae in saes} - {None} - {sae.id for sae in own}
    if strange:
        message = f"{file}: repeat_of {min(map(str, strange))} is no SAE of the suite; mend the table"
        raise SuiteError(message)


def _sae(row: dict[str, Any], l0: int, *, cosines: bool) -> Sae:
    """Make an SAE of a row."""
    pedia = row["neuronpedia_model"], row["neuronpedia_source"]
    return Sae(
        l0=l0,
        name=row["title"],
        n_latents=row["num_latents"] or 0,
        n_latents_counted=row["num_latents"] is not None and row["num_latents_counted"] is not False,
        l0_measured=row["l0"],
        neuronpedia=Neuronpedia(model=pedia[0], source=pedia[1]) if all(pedia) else None,
        cosines=cosines,
        attributes=row["attributes"] or {},
        **{name: row[name] for name in SAME},
    )


def _cosines_listed(manifest: Manifest) -> list[str]:
    entry = manifest.tables.get("cosines")
    return list(entry.checksums) if entry else []
