"""SAEBench's absorption evaluation: for each SAE a JSON file of results, and the tables that these were made from."""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import TypeAdapter

from ingest import gemma_scope
from ingest.conform import IngestError, with_all_columns, with_constants
from ingest.files import UnreadableError
from ingest.findings import Findings
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
from ingest.letters import TOKENS, first_known, highest_latents, nothing_left, numbered_tokens
from ingest.prompts import with_prompts
from ingest.saebench_files import ABSORPTION, SaeFiles, collect, holds_absorption, read_json
from ingest.source import same
from ingest.split_latents import derive_split_latents
from ingest.sql import join
from ingest.tested_tokens import TESTED
from queries.manifest import FORMAT_VERSION, Manifest, Method, Model, Provenance, Sae
from queries.schema import SAE_KEY, TABLES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ingest.source import Columns, Source
    from queries.schema import Table

NAME = "saebench"
_METRIC = "full"
#: Nominal widths are counted in thousands from here on.
_THOUSANDS_FROM = 10_000
_SHOWN_NAMES = 3
_RECORDS = TypeAdapter(list[dict[str, Any]])


# What the suite calls a column -> what the files call it.
_LETTER: Columns = same("letter")
_DETAILS: Columns = {
    "letter": "first_letter",
    # Here all split latents are counted; in SAEBench's tables a column of this name has one less.
    "num_split_latents": "num_split_features",
    "num_probe_true_positives": "num_probe_true_positives",
    "num_absorbed": "num_full_absorption",
    "absorption_fraction": "mean_absorption_fraction",
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
    "is_absorption": "is_full_absorption",
}
_NAMING_LATENTS = ("letters", "tested_tokens", "k_sparse")
_NOTES = (
    "Full absorption: every split latent is silent, the latent with the largest projection on the probe has a cosine of"
    " at least 0.025 with it, and it makes up at least 0.4 of the token's total projection.\n"
    "The total projection is not stored, so the verdicts stand as published: they cannot be decided again exactly under"
    " other thresholds.\n"
    "The absorption fraction has two versions that are not comparable: up to 0.3.2 it has no thresholds, in 0.6.0 it"
    " has them and counts three absorbing latents at most. One SAE has 0.155 in the one and 0.016 in the other.\n"
    "Every token that the linear probe gets right is tested. SAEBench's own means leave out letters whose linear probe"
    " is poor (by default an F1 of 0.6 or less); where the tables of an SAE are imported, these letters are here too."
).splitlines()


def detects(source: Source) -> bool:
    """Tell whether `source` holds results or tables of the absorption evaluation."""
    return holds_absorption(source)


def read(source: Source, *, only: str | None = None) -> Findings:
    """Read every SAE of `source` that one suite can hold.

    Parameters
    ----------
    source : Source
    only : str, optional
        A glob over SAEs, each named release/sae_id.

    Raises
    ------
    IngestError
        Where no SAE can be read.
    """
    chosen = _of_one_model(source, _selected(source, only))
    saes: dict[tuple[int, ...], Sae] = {}
    used: list[SaeFiles] = []
    found: dict[str, list[pa.Table]] = {name: [] for name in ("letters", "k_sparse", "tested_tokens", "tokens")}
    for files in chosen:
        tables = _tables(source, files)
        try:
            sae = _described(files, tables, saes)
        except IngestError as error:
            _leave_out(source, files, str(error))
            continue
        saes[sae.key] = sae
        used.append(files)
        place = dict(zip(SAE_KEY, sae.key, strict=True))
        measured = place | {"metric": _METRIC, "metric_version": files.version}
        found["letters"].append(with_constants(TABLES["letters"], tables["letters"], **measured))
        found["tested_tokens"].append(with_constants(TESTED, tables["tested_tokens"], **measured))
        found["k_sparse"].append(with_constants(TABLES["k_sparse"], tables["k_sparse"], **place))
        found["tokens"] += [tables["raw_results"], tables["tested_tokens"]]
    if not saes:
        raise IngestError(nothing_left(source, "give the folder that holds eval_results or artifacts"))
    method = Method(metric=_METRIC, metric_version=_version(source, used), tau=_tau(source, used), notes=_NOTES)
    unknown = sum(sae.l0 < 0 for sae in saes.values())
    if unknown:
        source.report.note(
            f"The L0 of {unknown:,} of {len(saes):,} SAEs is unknown: no results of their core evaluation are here."
        )
    k_sparse = with_all_columns(TABLES["k_sparse"], *found["k_sparse"])
    tested, prompts = with_prompts(with_all_columns(TESTED, *found["tested_tokens"]))
    result = {
        "letters": derive_split_latents(with_all_columns(TABLES["letters"], *found["letters"]), k_sparse, method),
        "k_sparse": k_sparse,
        "tested_tokens": tested,
        "tokens": numbered_tokens(*found["tokens"]),
        "prompts": prompts,
    }
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=NAME,
        model=Model(name=next((files.model for files in used if files.model), "unknown")),
        method=method,
        saes=sorted(saes.values(), key=lambda sae: sae.key),
        tables={},
        provenance=Provenance(made_by="SAEBench"),
    )
    return Findings(manifest, {name: rows for name, rows in result.items() if rows.num_rows})


def _selected(source: Source, only: str | None) -> list[SaeFiles]:
    """Return the SAEs that `only` asks for."""
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


def _of_one_model(source: Source, saes: list[SaeFiles]) -> list[SaeFiles]:
    """Leave out the SAEs of other models than the one that most files are of."""
    sizes: Counter[str] = Counter()
    for sae in saes:
        if sae.model:
            sizes[sae.model] += len(sae.files)
    model = min(sizes, key=lambda name: (-sizes[name], name), default=None)
    for sae in saes:
        if sae.model not in (model, None):
            _leave_out(source, sae, f"it is of {sae.model} and the suite of {model}; {_alone(sae)}")
    return [sae for sae in saes if sae.model in (model, None)]


def _leave_out(source: Source, sae: SaeFiles, reason: str) -> None:
    for file in sae.files.values():
        source.reject(file, reason)


def _alone(sae: SaeFiles) -> str:
    return f"import it into a suite of its own with --only '{sae.name}'"


def _described(files: SaeFiles, tables: Mapping[str, pa.Table], saes: Mapping[tuple[int, ...], Sae]) -> Sae:
    """Describe an SAE; IngestError where it has no place beside `saes`."""
    if not tables["letters"].num_rows:
        raise IngestError("it tells of no letter that can be read; fetch the complete file")
    layer = files.layer
    if layer is None:
        raise IngestError("nothing tells the SAE's layer; add hook_layer to sae_cfg_dict")
    somewhere = {
        name: with_constants(TABLES[name], tables[name], layer=layer, width=0, l0=0) for name in _NAMING_LATENTS
    }
    n_latents = files.n_latents or highest_latents(somewhere)[layer, 0, 0] + 1
    if not n_latents:
        raise IngestError("nothing tells how many latents the SAE has; add d_sae to sae_cfg_dict")
    width = _nominal(n_latents)
    unknown = -1 - sum(sae.l0 < 0 for sae in saes.values() if (sae.layer, sae.width) == (layer, width))
    l0 = unknown if files.l0 is None else round(files.l0)
    if same := saes.get((layer, width, l0)):
        raise IngestError(f"{same.name} has the same layer, width and L0; {_alone(files)}")
    return Sae(
        layer=layer,
        width=width,
        l0=l0,
        name=files.name,
        n_latents=n_latents,
        l0_measured=files.l0,
        hook=files.text("hook_name"),
        architecture=files.text("architecture"),
        neuronpedia=files.neuronpedia,
    )


def _nominal(n_latents: int) -> int:
    """Return the width as people say it: 16000 for 16384 latents."""
    nominal = gemma_scope.nominal_width(n_latents)
    return nominal // 1000 * 1000 if nominal >= _THOUSANDS_FROM else nominal


def _tau(source: Source, saes: list[SaeFiles]) -> float:
    """Return the threshold of splitting that most SAEs were measured with."""
    counts = Counter(sae.tau for sae in saes if sae.tau is not None)
    tau = counts.most_common(1)[0][0] if counts else Method(metric=_METRIC).tau
    for sae in saes:
        if sae.tau not in (tau, None):
            source.report.note(
                f"{sae.name} was measured with tau {sae.tau}, the suite says {tau}: its published split latents stand."
            )
    return tau


def _version(source: Source, saes: list[SaeFiles]) -> str | None:
    """Return the version of SAEBench that measured all SAEs, if it is one."""
    versions = {sae.version for sae in saes}
    if len(versions) == 1:
        return versions.pop()
    names = ", ".join(sorted(version or "an unknown one" for version in versions))
    source.report.note(f"Several versions of SAEBench measured these SAEs ({names}); each row says which.")
    return None


def _tables(source: Source, sae: SaeFiles) -> dict[str, pa.Table]:
    """Read the tables of one SAE, none of which says layer, width and L0 yet."""

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
    told = [_details(source, sae), *map(probes, reversed(wide))]
    if tested.num_rows:
        told.insert(1, join("saebench_letters", tested=tested))
    return {
        "letters": first_known(("letter",), *told),
        "k_sparse": with_all_columns(TABLES["k_sparse"], *(steps(rows, ranked) for rows in wide[:1])),
        "tested_tokens": tested,
        "raw_results": read("raw_results", TOKENS, RAW_COLUMNS),
    }


def _metrics(source: Source, sae: SaeFiles) -> pa.Table | None:
    file = sae.files.get("metrics")
    return read_wide(source, file, _LETTER) if file else None


def _records(source: Source, sae: SaeFiles) -> pa.Table | None:
    """Read the scores of k-sparse probing from their JSON file, which also has the split latents."""
    file = sae.files.get("records")
    if file is None:
        return None
    try:
        records = read_json(source, file, _RECORDS.validate_json)
    except UnreadableError as error:
        source.reject(file, str(error))
        return None
    found = wide_contract(source, file, {name for record in records for name in record})
    return _conformed(source, file, found[0], _LETTER | found[1], records) if found else None


def _details(source: Source, sae: SaeFiles) -> pa.Table:
    """Return the published numbers of each letter."""
    letters, file = TABLES["letters"], sae.files.get(ABSORPTION)
    rows = _conformed(source, file, letters, _DETAILS, sae.details) if file and sae.details else None
    return with_all_columns(letters, rows)


def _conformed(
    source: Source, file: Path, table: Table, columns: Columns, records: list[dict[str, Any]]
) -> pa.Table | None:
    """Do for the records of a JSON file what Source.read does for the rows of a parquet file."""
    present = {name for record in records for name in record}
    for name, given in columns.items():
        if given not in present and table.column(name).required:
            source.reject(file, f"{given!r} is missing; fetch the complete file")
            return None
    return source.conform(
        file,
        table,
        {
            name: pa.chunked_array([_array([record.get(given) for record in records])])
            for name, given in columns.items()
            if given in present
        },
    )


def _array(values: list[Any]) -> pa.Array:
    """Make a column of `values`: of text, where they are of several types and cannot be anything else."""
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):
        return pa.array([None if value is None else str(value) for value in values])
