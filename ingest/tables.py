"""A user's own results: CSV or parquet files with a suite's table and column names; missing values are derived."""

from __future__ import annotations

import tomllib
from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, ValidationError

from ingest import limits
from ingest.csv_files import header, read_csv
from ingest.files import UnreadableError
from ingest.findings import Findings
from ingest.letters import highest_latents, uncounted
from ingest.source import same
from ingest.split_latents import derive_split_latents
from ingest.sql import join
from ingest.verdicts import with_verdicts
from queries.conform import IngestError, arrow_schema, with_all_columns
from queries.first_letters import first_letters
from queries.manifest import (
    FIRST_LETTERS,
    FORMAT_VERSION,
    MANIFEST,
    MAX_LATENTS,
    Family,
    Manifest,
    Method,
    Model,
    Neuronpedia,
    Provenance,
    Record,
    Sae,
    first_problem,
)
from queries.schema import FRACTIONS, LETTERS, TABLES, concept_id
from queries.writer import with_metric

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ingest.source import Source
    from queries.schema import Table

NAME = "tables"
_TESTED, _MEASUREMENTS = "tested_tokens", "measurements"
_NAMES = (
    *(_TESTED, _MEASUREMENTS, "saes", "concepts", "k_sparse", "tokens", "token_concepts", "encoder_top", "latents"),
)
_ENDINGS = ("parquet", "csv")
_DESCRIPTION = "suite.toml"
#: Metrics with another rule than the paper's; their verdicts are not derived, because the scores may be missing.
_OF_OTHER_RULES = ("full", *FRACTIONS)
#: Maximum number of characters of an id in messages.
_SHOWN = 100
_LETTERS = {concept_id(letter) for letter in LETTERS}
#: Columns of the table saes that are not fields of `Sae`.
_OTHERS = ("num_latents", "num_latents_counted", "neuronpedia_model", "neuronpedia_source", "attributes")


def _with_required(table: Table, *required: str) -> Table:
    """Return the contract of a file in which the columns `required` are the required ones."""
    return replace(table, columns=tuple(replace(column, required=column.name in required) for column in table.columns))


#: The contracts of the files, in which columns that can be derived are optional.
_CONTRACTS = {name: TABLES[name] for name in _NAMES} | {
    _TESTED: _with_required(TABLES[_TESTED], "sae", "concept", "token", "top_latent"),
    "concepts": _with_required(TABLES["concepts"], "concept"),
}


class _Description(Record):
    """The contents of `suite.toml`; its names are those of the manifest."""

    title: str | None = None
    model: Model = Model(name="unknown")
    method: Method = Method(metric="ig_ablation")
    families: list[Family] = Field(default_factory=list)
    provenance: Provenance = Provenance()


def detects(source: Source) -> bool:
    """Return whether `source` contains tables of results, but is not a suite."""
    named = any(_file(source, name) for name in (_TESTED, _MEASUREMENTS))
    return named and not source.has(source.root / MANIFEST)


def read(source: Source, *, only: str | None = None) -> list[Findings]:
    """Read the tables of `source`.

    Raises
    ------
    IngestError
        If there is no measurement, or `only` is given.
    """
    if only is not None:
        message = f"{source.root}: is imported as a whole; omit --only"
        raise IngestError(message)
    description = _description(source)
    found = {name: with_all_columns(_CONTRACTS[name], _table(source, name)) for name in _NAMES}
    _skip_others(source)
    draft = Manifest(
        format_version=FORMAT_VERSION, name=NAME, model=description.model, method=description.method, tables={}
    )
    for name in (_TESTED, _MEASUREMENTS):
        found[name] = with_metric(found[name], TABLES[name], draft)
    measured = _measured(found, description.method)
    found[_TESTED] = _judged(source, found[_TESTED], measured, description.method)
    found[_MEASUREMENTS] = _measured(found, description.method)
    if not found[_MEASUREMENTS].num_rows:
        because = "".join(f" ({file}: {reason})" for file, reason in source.report.rejected[:1])
        message = f"{source.root}: holds no measurement that can be read{because}; give {_TESTED}.csv with rows"
        raise IngestError(message)
    saes = _saes(source, found)
    found["concepts"] = _concepts(found)
    limits = [uncounted(sae.id, sae.n_latents) for sae in saes if sae.n_latents and not sae.n_latents_counted]
    for limit in limits:
        source.report.note(limit)
    provenance = description.provenance.model_copy(update={"limits": [*description.provenance.limits, *limits]})
    manifest = draft.model_copy(
        update={
            "title": description.title,
            "saes": saes,
            "families": _families(description.families, found["concepts"]),
            "provenance": provenance,
        }
    )
    del found["saes"]  # they are in the manifest
    return [Findings(manifest, {name: rows for name, rows in found.items() if rows.num_rows or TABLES[name].required})]


def _description(source: Source) -> _Description:
    """Read the folder's `suite.toml`, if there is one."""
    file = source.root / _DESCRIPTION
    if not source.has(file):
        return _Description()
    try:
        with source.opened(file, "TOML file", limits.TOML) as stream:
            description = _Description.model_validate(tomllib.load(stream))
            description.model_dump_json()  # raises an error for values that JSON cannot store
            return description
    except UnreadableError as error:
        source.reject(file, f"{error}; the suite is imported without it")
        return _Description()


def _file(source: Source, name: str) -> Path | None:
    """Find the file of a table; parquet is preferred to CSV."""
    files = [source.root / f"{name}.{ending}" for ending in _ENDINGS]
    return next((file for file in files if source.has(file)), None)


def _table(source: Source, name: str) -> pa.Table | None:
    """Read one table; None if there is none."""
    table, file = _CONTRACTS[name], _file(source, name)
    if file is None:
        return None
    is_csv = file.suffix == ".csv"
    columns = header(source, file) if is_csv else [*source.columns(file)]
    if not columns:
        return None
    known = [column.name for column in table.columns if column.name in columns]
    missing = next((column.name for column in table.columns if column.required and column.name not in columns), None)
    if missing:
        source.reject(file, f"column {missing!r} is missing; add it")
        return None
    source.report.hold(file, columns)
    source.report.take(file, known)
    return read_csv(source, file, table) if is_csv else source.read(file, table, same(*known))


def _skip_others(source: Source) -> None:
    """Report the tables that are not imported."""
    for file in (file for ending in _ENDINGS for file in source.find(f"*.{ending}")):
        name = source.report.name(file)
        if name in source.report.read or name in dict(source.report.rejected):
            continue
        taken = _file(source, file.stem) if file.stem in _NAMES else None
        if taken:
            source.reject(file, f"{source.report.name(taken)} has the same table and is used; remove one of them")
        else:
            source.report.skip(file)


def _measured(found: Mapping[str, pa.Table], method: Method) -> pa.Table:
    """Complete the measurements: count tested tokens, derive split latents."""
    rows = join("measured_concepts", measurements=found[_MEASUREMENTS], tested=found[_TESTED])
    return derive_split_latents(with_all_columns(TABLES[_MEASUREMENTS], rows), found["k_sparse"], method)


def _judged(source: Source, tested: pa.Table, measured: pa.Table, method: Method) -> pa.Table:
    """Derive missing verdicts, and omit tokens for which that is impossible."""
    other = pc.and_(pc.is_in(tested["metric"], pa.array(_OF_OTHER_RULES)), pc.is_null(tested["is_absorption"]))
    own = with_verdicts(tested.filter(pc.invert(other)), measured, method)
    judged = own.filter(pc.is_valid(own["is_absorption"]))
    left, file = tested.num_rows - judged.num_rows, _file(source, _TESTED)
    if left and file:
        reason = "they have no is_absorption, and no effect by ablation that decides; add is_absorption"
        source.report.reject(file, f"{left:,} rows omitted: {reason}")
    return judged


def _saes(source: Source, found: Mapping[str, pa.Table]) -> list[Sae]:
    """List the SAEs of the table saes, and those that occur only in other tables."""
    # If the number of latents is unknown, it is estimated from the highest latent in any table.
    least = {sae: min(latent + 1, MAX_LATENTS) for sae, latent in highest_latents(found).items() if sae}
    rows = {row["sae"]: row for row in found["saes"].to_pylist()}
    saes = []
    for sae in sorted({*rows, *least}):
        facts = _facts(rows.get(sae, {}), least.get(sae, 0))
        try:
            saes.append(Sae.model_validate({"sae": sae, **facts}))
        except ValidationError as error:
            file = _file(source, "saes")
            reason = f"{sae[:_SHOWN]} is omitted: {first_problem(error)}; correct it"
            source.report.reject(file or source.root, reason)
    return saes


def _facts(row: Mapping[str, Any], least: int) -> dict[str, Any]:
    """Return the metadata of an SAE, as arguments of `queries.manifest.Sae`; it has at least `least` latents."""
    facts = {name: value for name, value in row.items() if name not in _OTHERS and value is not None}
    pedia = row.get("neuronpedia_model"), row.get("neuronpedia_source")
    number = row.get("num_latents")
    return facts | {
        "n_latents": number or least or None,
        "n_latents_counted": bool(number) and row.get("num_latents_counted") is not False,
        "neuronpedia": Neuronpedia(model=pedia[0], source=pedia[1]) if pedia[0] and pedia[1] else None,
        "attributes": dict(row.get("attributes") or ()),
    }


def _concepts(found: Mapping[str, pa.Table]) -> pa.Table:
    """Add the concepts of other tables to the table concepts, and derive missing columns from ids."""
    token_concepts = found["token_concepts"]
    numbers = Counter(token_concepts["concept"].to_pylist())
    named = {concept for name in _NAMES if "concept" in found[name].column_names for concept in _named(found[name])}
    letters = {row["concept"]: row for row in first_letters(named & _LETTERS).to_pylist()}
    listed = {row["concept"]: row for row in found["concepts"].to_pylist()}
    places: defaultdict[str, int] = defaultdict(int)
    rows = []
    for concept in [*listed, *sorted(named - {*listed})]:
        family, dot, name = concept.partition(".")
        known = letters.get(concept, {}) | listed.get(concept, {})
        row = {
            "family": family if dot else "concept",
            "label": name or concept,
            "phrase": f"is {name or concept}",
            "num_tokens": numbers[concept] if token_concepts.num_rows else None,
            **{name: value for name, value in known.items() if value is not None},
            "concept": concept,
        }
        rows.append({"position": places[row["family"]]} | row)
        places[row["family"]] += 1
    return pa.Table.from_pylist(rows, arrow_schema(TABLES["concepts"].columns))


def _named(rows: pa.Table) -> list[str]:
    return pc.unique(rows["concept"]).to_pylist()


def _families(given: list[Family], concepts: pa.Table) -> list[Family]:
    """List the families in the description, and those of other concepts."""
    known = {family.family: family for family in [FIRST_LETTERS, *given]}
    return [
        known.get(family)
        or Family(family=family, title=family.replace("-", " ").replace("_", " ").capitalize(), noun="concept")
        for family in dict.fromkeys([*(family.family for family in given), *concepts["family"].to_pylist()])
    ]
