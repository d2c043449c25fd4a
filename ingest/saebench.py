"""SAEBench's absorption evaluation: for each SAE, a JSON file with results, and the tables behind them."""

from __future__ import annotations

from collections import Counter, defaultdict
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter, ValidationError

from ingest.files import UnreadableError
from ingest.findings import Findings
from ingest.json_files import number_names, read_json
from ingest.k_sparse_frames import (
    METADATA,
    METADATA_COLUMNS,
    RAW_COLUMNS,
    Ranked,
    has_latents,
    probes,
    ranked_latents,
    read_wide,
    steps,
    wide_contract,
)
from ingest.letters import (
    TOKENS,
    first_known,
    highest_latents,
    nothing_importable,
    numbered_tokens,
    uncounted,
    with_concepts,
)
from ingest.prompts import with_prompts
from ingest.saebench_files import UNKNOWN, SaeFiles, collect, holds_absorption, whole
from ingest.saebench_results import ABSORPTION, CORE, eval_type
from ingest.source import column_of, same
from ingest.split_latents import derive_split_latents
from ingest.sql import join
from ingest.tested_tokens import TESTED
from queries.conform import IngestError, with_all_columns, with_constants
from queries.manifest import FORMAT_VERSION, Manifest, Method, Model, Provenance, Sae, first_problem
from queries.sae_ids import sae_ids
from queries.schema import TABLES, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from ingest.source import Columns, Source

NAME = "saebench"
_METRIC = "full"
_SHOWN_NAMES = 3
_RECORDS = TypeAdapter(list[dict[str, Any]])


# A column in suites -> its names in the different versions of the files.
_LETTER: Columns = same("letter")
_DETAILS: Columns = {
    "letter": "first_letter",
    # Here all split latents are counted; in SAEBench's tables a column of the same name has one fewer.
    "num_split_latents": ("num_split_features", "num_feature_splits"),
    "num_probe_true_positives": "num_probe_true_positives",
    "num_absorbed": ("num_full_absorption", "num_absorption"),
    "absorption_fraction": "mean_absorption_fraction",
}
#: Columns that equal num_absorbed / num_probe_true_positives.
_RATES = ("full_absorption_rate", "absorption_rate")
_LATENTS: Columns = {
    "latent": "index",
    "density": "feature_density",
    "encoder_decoder_cosine": "encoder_decoder_cosine_sim",
}
_TESTED: Columns = {
    **same("letter", "token", "prompt", "num_probe_true_positives", "absorption_fraction"),
    "split_latents": "split_feats",
    "split_activations": "split_feat_acts",
    "split_cosines": "split_feat_probe_cos",
    "top_latent": "top_projection_feat",
    "top_projection": "top_probe_projection",
    "top_cosine": "top_projection_feat_probe_cos",
    "second_latent": "second_projection_feat",
    "second_projection": "second_probe_projection",
    "second_cosine": "second_projection_feat_probe_cos",
    "latents": "projection_feats",
    "projections": "probe_projections",
    "activations": "projection_feat_acts",
    "cosines": "projection_feat_probe_cos",
    "is_absorption": ("is_full_absorption", "is_absorption"),
}
_NOTES = (
    "Full absorption: every split latent is silent, the latent with the largest projection on the probe has a cosine of"
    " at least 0.025 with it, and it makes up at least 0.4 of the token's total projection.\n"
    "The total projection is not stored, so the verdicts are the published ones; they cannot be recomputed exactly for"
    " other thresholds.\n"
    "The absorption fraction has two versions that are not comparable and are separate metrics here: from 0.3.0 to"
    " 0.4.0 (the metric fraction-0.3) it has no thresholds; since 0.4.1 it has thresholds and counts three absorbing"
    " latents at most. One SAE has 0.155 in the former and 0.016 in the latter.\n"
    "Every true positive of the linear probe is tested; before 13 January 2025 only those on which every"
    " split latent is silent have a row. SAEBench's own means omit letters whose linear probe"
    " is poor (by default an F1 of 0.6 or less); if the tables of an SAE are imported, these letters are included here."
).splitlines()


def detects(source: Source) -> bool:
    """Return whether `source` contains results or tables of the absorption evaluation."""
    return holds_absorption(source)


def other_evaluations(source: Source) -> list[str]:
    """Return messages about other evaluations of SAEBench in `source`, with a file of each."""
    found = {eval_type(source, file): file for file in reversed(source.find("**/*.json"))}
    return [
        f"{source.report.name(file)} has results of SAEBench's evaluation {kind!r}, only {ABSORPTION!r} is imported"
        for kind, file in found.items()
        if kind
    ]


def read(source: Source, *, only: str | None = None) -> list[Findings]:
    """Read all SAEs of `source`, as one suite per language model.

    Parameters
    ----------
    source : Source
    only : str, optional
        A glob over the SAEs' names, release/sae_id.

    Raises
    ------
    IngestError
        If no SAE can be read.
    """
    chosen = _selected(source, only)
    found = [suite for model, saes in _by_model(chosen).items() if (suite := _read_model(source, model, saes, chosen))]
    if not found:
        raise IngestError(nothing_importable(source, "give the folder that holds eval_results or artifacts"))
    return found


class _Read(NamedTuple):
    """The files of an SAE, its metadata, and its tables, still without the column `sae`."""

    files: SaeFiles
    facts: dict[str, Any]
    tables: dict[str, pa.Table]


def _read_model(source: Source, model: str, chosen: list[SaeFiles], every: list[SaeFiles]) -> Findings | None:
    """Read the SAEs of one language model; None if none of them can be read."""
    known = []
    for files in chosen:
        tables = _tables(source, files)
        facts = _facts(files, tables)
        try:
            Sae(sae="any", **facts)
        except ValidationError as error:
            _omit(source, files, f"a suite cannot store its description of the SAE ({first_problem(error)})", every)
            continue
        if tables["measurements"].num_rows:
            known.append(_Read(files, facts, tables))
        else:
            _omit(source, files, "it contains no readable letter; download the complete file", every)
    if not known:
        return None
    saes = [Sae(sae=sae, **one.facts) for sae, one in zip(sae_ids([one.facts for one in known]), known, strict=True)]
    found: defaultdict[str, list[pa.Table]] = defaultdict(list)
    for sae, one in sorted(zip(saes, known, strict=True), key=lambda pair: pair[0].id):
        measured = {"sae": sae.id, "metric": _METRIC, "metric_version": one.files.version}
        for name, table in (("measurements", TABLES["measurements"]), ("tested_tokens", TESTED)):
            found[name].append(with_constants(table, one.tables[name], **measured))
        for name in ("k_sparse", "latents"):
            found[name].append(with_constants(TABLES[name], one.tables[name], sae=sae.id))
        found["tokens"] += [one.tables["raw_results"], one.tables["tested_tokens"]]
    used = [one.files for one in known]
    limits = [
        *(uncounted(sae.title or sae.id, sae.n_latents) for sae in saes if sae.n_latents and not sae.n_latents_counted),
        *_legacy_variance(used),
    ]
    for limit in limits:
        source.report.note(limit)
    unknown = sum(sae.l0 is None for sae in saes)
    if unknown:
        source.report.note(
            f"The L0 of {unknown:,} of {len(saes):,} SAEs is unknown: no results of their core evaluation are here."
        )
    method = Method(metric=_METRIC, metric_version=_version(source, used), tau=_tau(source, used), notes=_NOTES)
    k_sparse = with_all_columns(TABLES["k_sparse"], *found["k_sparse"])
    measurements = with_all_columns(TABLES["measurements"], *found["measurements"])
    tested, prompts = with_prompts(with_all_columns(TESTED, *found["tested_tokens"]))
    result = {
        "measurements": derive_split_latents(measurements, k_sparse, method),
        "k_sparse": k_sparse,
        "tested_tokens": tested,
        "tokens": numbered_tokens(*found["tokens"]),
        "prompts": prompts,
        # Because there are very many rows, missing columns are added only when they are written.
        "latents": pa.concat_tables(found["latents"], promote_options="permissive"),
    }
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=NAME,
        model=Model(name=model),
        method=method,
        saes=saes,
        tables={},
        provenance=Provenance(made_by="SAEBench", limits=limits),
    )
    return Findings(manifest, with_concepts(result))


def _selected(source: Source, only: str | None) -> list[SaeFiles]:
    """Return the SAEs whose names match `only`."""
    saes = collect(source)
    chosen = [sae for sae in saes if only is None or fnmatchcase(sae.name, only)]
    if saes and not chosen:
        names = ", ".join(sae.name for sae in saes[:_SHOWN_NAMES])
        message = f"{source.root}: no SAE is called {only!r}; give --only one of the names here, such as {names}"
        raise IngestError(message)
    for sae in saes:
        if sae not in chosen:
            source.report.skip(*sae.files.values())
    return chosen


def _by_model(saes: list[SaeFiles]) -> dict[str, list[SaeFiles]]:
    """Group SAEs by language model. If only one model is named, SAEs without a model's name belong to it."""
    names = {sae.model for sae in saes if sae.model}
    models = {_same_model(name, names) for name in names}
    unnamed = models.pop() if len(models) == 1 else "unknown"
    found: defaultdict[str, list[SaeFiles]] = defaultdict(list)
    for sae in saes:
        found[_same_model(sae.model, names) if sae.model else unnamed].append(sae)
    return found


def _same_model(name: str, names: set[str]) -> str:
    """Return a common name for a model that some files name with its organisation and others without it."""
    bare = name.rpartition("/")[2]
    organisations = {other for other in names if other.rpartition("/")[2] == bare and other != bare}
    return name if len(organisations) > 1 or (organisations and bare not in names) else bare


def _omit(source: Source, sae: SaeFiles, reason: str, saes: list[SaeFiles]) -> None:
    """Report that an SAE is not imported; its files may contain other SAEs that are."""
    for file in sae.files.values():
        if sum(file in other.files.values() for other in saes) > 1:
            source.report.reject(file, f"{sae.name} is omitted: {reason}")
        else:
            source.reject(file, reason)


def _facts(files: SaeFiles, tables: Mapping[str, pa.Table]) -> dict[str, Any]:
    """Return the metadata of an SAE, as arguments of `queries.manifest.Sae`."""
    named = files.in_gemma_scope
    nominal = named.l0 if named else None
    return {
        "title": files.name,
        "layer": files.layer,
        "hook": files.hook,
        **files.width(highest_latents(tables).get("", -1)),
        "l0": nominal if files.l0 is None else files.l0,
        "l0_nominal": nominal,
        "architecture": files.architecture,
        "seed": files.seed,
        "tokens_seen": files.tokens_seen,
        "variance_explained": files.variance_explained,
        "loss_recovered": files.loss_recovered,
        "dead_fraction": files.dead_fraction,
        "neuronpedia": files.neuronpedia,
        "attributes": files.attributes,
    }


def _legacy_variance(used: list[SaeFiles]) -> Iterator[str]:
    """Yield a warning if the variance explained was computed with SAEBench's former formula."""
    number = sum(files.has_legacy_variance for files in used)
    if number:
        yield (
            f"The variance explained of {number:,} of {len(used):,} SAEs was averaged over tokens, as SAEBench did"
            " until 7 March 2025; it calls that formula incorrect today. Do not compare it with newer results."
        )


def _tau(source: Source, saes: list[SaeFiles]) -> float:
    """Return the most common tau of the SAEs."""
    counts = Counter(sae.tau for sae in saes if sae.tau is not None)
    tau = counts.most_common(1)[0][0] if counts else Method(metric=_METRIC).tau
    for sae in saes:
        if sae.tau not in (tau, None):
            source.report.note(
                f"{sae.name} was measured with tau {sae.tau}, the suite says {tau}: its published split latents are"
                " used."
            )
    return tau


def _version(source: Source, saes: list[SaeFiles]) -> str | None:
    """Return the version of SAEBench if it is the same for all SAEs, else None."""
    versions = {sae.version for sae in saes}
    if len(versions) == 1:
        return versions.pop()
    names = ", ".join(sorted(version or "unknown" for version in versions))
    source.report.note(f"Several versions of SAEBench measured these SAEs ({names}); each row says which.")
    return None


def _tables(source: Source, sae: SaeFiles) -> dict[str, pa.Table]:
    """Read the tables of one SAE, without the column `sae`."""

    def read(kind: str, table: Table, columns: Columns) -> pa.Table:
        file = sae.files.get(kind)
        return with_all_columns(table, source.read(file, table, columns) if file else None)

    tested = read("tested", TESTED, _TESTED)
    wide = [rows for rows in (_metrics(source, sae), _records(source, sae)) if rows is not None and rows.num_rows]
    ranked: Ranked = {}
    if wide and not has_latents(wide[0].column_names):
        ranked = ranked_latents(read("metadata", METADATA, METADATA_COLUMNS))
    elif "metadata" in sae.files:
        source.report.skip(sae.files["metadata"])
    measurements = [_details(source, sae), *map(probes, reversed(wide))]
    if tested.num_rows:
        measurements.insert(1, join("saebench_measurements", tested=tested))
    return {
        "measurements": first_known(("concept",), *measurements),
        "k_sparse": with_all_columns(TABLES["k_sparse"], *(steps(rows, ranked) for rows in wide[:1])),
        "tested_tokens": tested,
        "latents": _latents(source, sae),
        "raw_results": read("raw_results", TOKENS, RAW_COLUMNS),
    }


def _metrics(source: Source, sae: SaeFiles) -> pa.Table | None:
    file = sae.files.get("metrics")
    return _of_one_layer(source, sae, file, read_wide(source, file, _keys(source.columns(file)))) if file else None


def _keys(names: Iterable[str]) -> Columns:
    """Return the columns of letter and layer in scores of k-sparse probing; older files have no layer."""
    return _LETTER | (same("layer") if "layer" in names else {})


def _records(source: Source, sae: SaeFiles) -> pa.Table | None:
    """Read the scores of k-sparse probing and the split latents from their JSON file."""
    file = sae.files.get("records")
    if file is None:
        return None
    try:
        records = read_json(source, file, _RECORDS.validate_python)
    except UnreadableError as error:
        source.reject(file, str(error))
        return None
    source.report.hold(file, number_names(records))
    names = {name for record in records for name in record}
    found = wide_contract(source, file, names)
    rows = _conformed(source, file, found[0], _keys(names) | found[1], records) if found else None
    return _of_one_layer(source, sae, file, rows)


def _of_one_layer(source: Source, sae: SaeFiles, file: Path, rows: pa.Table | None) -> pa.Table | None:
    """Keep the rows of the most common layer, because a file has one SAE; store the layer in `sae`."""
    if rows is None or not rows.num_rows or "layer" not in rows.column_names:
        return rows
    (layer, number), *others = Counter(rows["layer"].to_pylist()).most_common()
    if others:
        source.report.reject(file, f"{rows.num_rows - number:,} rows are of another layer than {layer}; remove them")
    if sae.layer not in (None, layer):
        source.report.note(f"{sae.name} is of layer {sae.layer}; its k-sparse probing says layer {layer}.")
    sae.layer_in_rows = layer
    return rows.filter(pc.equal(rows["layer"], layer)).drop_columns("layer")


def _details(source: Source, sae: SaeFiles) -> pa.Table:
    """Return rows of measurements with the published numbers of each letter."""
    table, file = TABLES["measurements"], sae.files.get(ABSORPTION)
    details = sae.absorption.eval_result_details if sae.absorption else []
    if file is None or not details:
        return with_all_columns(table, None)
    source.report.take(file, (f"eval_result_details.{name}" for name in _RATES))
    records = [{"num_absorption": _absorbed(detail)} | detail for detail in details]
    return with_all_columns(table, _conformed(source, file, table, _DETAILS, records, within="eval_result_details."))


def _absorbed(detail: Mapping[str, Any]) -> int | None:
    """Compute the number of absorbed tokens from a letter's rate."""
    rates = (detail.get(name) for name in _RATES)
    rate = next((rate for rate in rates if isinstance(rate, int | float) and 0 <= rate <= 1), None)
    of = whole(detail.get("num_probe_true_positives"))
    return None if rate is None or of is None else round(rate * of)


def _latents(source: Source, sae: SaeFiles) -> pa.Table:
    """Return rows of latents from the core evaluation."""
    latents, file = TABLES["latents"], sae.files.get(CORE)
    values_by_name = sae.core.latents if sae.core else {}
    none = with_all_columns(latents, None).select(["latent"])
    if file is None or "index" not in values_by_name:
        return none
    columns = {
        name: pa.chunked_array([_array([None if value == UNKNOWN else value for value in values_by_name[given]])])
        for name, given in _LATENTS.items()
        if given in values_by_name
    }
    return source.conform(file, latents, columns) or none


def _conformed(
    source: Source, file: Path, table: Table, columns: Columns, records: list[dict[str, Any]], *, within: str = ""
) -> pa.Table | None:
    """Validate records of a JSON file as `Source.read` does for a parquet file; `within` is their path in the JSON."""
    present = {name for record in records for name in record if record[name] is not None}
    names = {name: (given,) if isinstance(given, str) else given for name, given in columns.items()}
    found = {name: next((one for one in given if one in present), None) for name, given in names.items()}
    for name, given in names.items():
        if found[name] is None and column_of(table, name).required:
            source.reject(file, f"{given[0]!r} is missing; download the complete file")
            return None
    source.report.take(file, (f"{within}{one}" for one in found.values() if one))
    return source.conform(
        file,
        table,
        {
            name: pa.chunked_array([_array([record.get(one) for record in records])])
            for name, one in found.items()
            if one
        },
    )


def _array(values: list[Any]) -> pa.Array:
    """Make a column of `values`; mixed types are converted to text."""
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):
        return pa.array([None if value is None else str(value) for value in values])
