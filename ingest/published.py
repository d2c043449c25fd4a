"""The published explorer's data folder: tables of all SAEs, one npz file per SAE and letter, HTML dashboards."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ingest import gemma_scope, limits
from ingest.cosine_arrays import count_latents
from ingest.files import UnreadableError
from ingest.findings import Findings
from ingest.json_files import number_names
from ingest.k_sparse_frames import SCORES, probes, read_wide, steps
from ingest.letters import TOKENS, highest_latents, uncounted, with_concepts
from ingest.prompts import with_prompts
from ingest.source import parse_width, same
from ingest.split_latents import derive_split_latents
from ingest.sql import join
from ingest.tested_tokens import TESTED, read_tested
from queries.conform import IngestError, with_all_columns
from queries.manifest import FORMAT_VERSION, MANIFEST, Manifest, Method, Model, Provenance, Sae
from queries.schema import TABLES, concept_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ingest.source import Columns, Source
    from queries.schema import Table

NAME = "published"
_FILES = ("sae_split_feats", "feature_absorption_results", "k_sparse_results", "top_feat_precision_recall")
_ARRAYS = "probe_sae_cos_sims/layer_*/width_*/l0_*/*.npz"
_ARRAY = re.compile(r"layer_([0-9]{1,9})/width_(\w+)/l0_([0-9]{1,9})/letter_([A-Za-z])\.npz\Z")
_PAGES = "non_canonical_dashboards/layer_*/width_*/*.html"
_PAGE = re.compile(r"layer_([0-9]{1,9})/width_(\w+)/average_l0_([0-9]{1,9})_feature_([0-9]{1,9})\.html\Z")
_NUM_ENCODER_TOP = 3
#: Numbers in the folder's manifest that are imported.
_IMPORTED = (
    *("d_model", "num_layers", "tau", "thresholds.cos", "thresholds.margin"),
    *(f"saes.{name}" for name in ("layer", "sae_width", "sae_l0", "l0_measured", "variance_explained")),
    *(f"saes.{name}" for name in ("ce_loss_recovered", "dead_fraction", "tokens_seen")),
)

_SAE: Columns = {"layer": "layer", "width": "sae_width", "l0": "sae_l0"}
_SAE_LETTER = _SAE | same("letter")
_SAE_LATENT = _SAE | same("latent")

_SPLIT = _SAE_LETTER | {
    "split_latents": "split_feats",
    "num_candidates": "num_false_negatives",
    **same("num_probe_true_positives", "num_true_positives", "num_split_silent", "num_tested", "sample_portion"),
}
_HISTOGRAMS = _SAE_LATENT | {"high": "max_act_text", "counts": "counts"}
_SIMPLE: dict[str, tuple[str, Columns]] = {
    "latents": (
        "latent_stats",
        _SAE_LATENT
        | {
            "density": "density_text",
            "max_activation": "max_act_text",
            "mean_activation": "mean_act_text",
            "max_activation_vocab": "max_act_vocab",
            "encoder_decoder_cosine": "enc_dec_cos",
            "top_concept_cosine": "top_letter_cos",
            **same("num_vocab_tokens", "num_test_tokens", "top_letter"),
        },
    ),
    "contexts": (
        "latent_examples",
        _SAE_LATENT
        | {
            "tokens": "window_tokens",
            "activations": "window_acts",
            "position": "window_pos",
            **same("rank", "activation", "source"),
        },
    ),
    "logits": (
        "latent_logits",
        _SAE_LATENT | same("raised_tokens", "raised_logits", "lowered_tokens", "lowered_logits"),
    ),
    "token_activations": ("latent_token_activations", _SAE_LATENT | same("token_ids", "activations")),
    "prompts": ("prompts", same("prompt_id", "template", "test_accuracy")),
}


def detects(source: Source) -> bool:
    """Return whether `source` has the layout of the published explorer's data."""
    return any(source.has(source.root / f"{stem}.parquet") for stem in _FILES) or bool(source.find(_ARRAYS))


def read(source: Source, *, only: str | None = None) -> list[Findings]:
    """Read the folder.

    Raises
    ------
    IngestError
        If no SAE can be read, or `only` is given, because the folder has one family of SAEs.
    """
    if only is not None:
        message = f"{source.root}: is one family of SAEs and is imported as a whole; omit --only"
        raise IngestError(message)
    manifest = _manifest(source)
    wide = read_wide(source, source.root / "k_sparse_results.parquet", _SAE_LETTER)
    k_sparse = with_all_columns(TABLES["k_sparse"], None if wide is None else steps(wide))
    tested = _tested(source)
    measured = TABLES["measurements"]
    rows = join(
        "published_measurements",
        split=_read(source, "sae_split_feats", measured, _SPLIT),
        probes=with_all_columns(measured, None if wide is None else probes(wide)),
        tested=tested,
    )
    tables = {
        "measurements": derive_split_latents(rows, k_sparse, manifest.method),
        "k_sparse": k_sparse,
        "encoder_top": _encoder_top(source),
        "tested_tokens": tested,
        "tokens": _vocabulary(source),
        "histograms": _read(source, "latent_histograms", TABLES["histograms"], _HISTOGRAMS, low=0.0),
        **{name: _read(source, stem, TABLES[name], columns) for name, (stem, columns) in _SIMPLE.items()},
    }
    if not tables["prompts"].num_rows:
        tables["tested_tokens"], tables["prompts"] = with_prompts(tested)
    arrays = _located(source, _ARRAYS, _ARRAY, lambda letter: concept_id(letter.lower()))
    pages = _located(source, _PAGES, _PAGE, int)
    saes = _saes(source, tables, arrays)
    if not saes:
        message = f"{source.root}: no SAE can be read; give the folder that holds {_FILES[0]}.parquet"
        raise IngestError(message)
    unknown = _uncounted(source, saes, arrays)
    limits = [uncounted("layer {}, width {}, L0 {}".format(*source.places[sae]), saes[sae]) for sae in unknown]
    for limit in limits:
        source.report.note(limit)
    listed = {sae.id: sae for sae in manifest.saes}
    known = gemma_scope.canonical() if gemma_scope.is_model(manifest.model.name) else {}
    findings = Findings(
        manifest=manifest.model_copy(
            update={
                "saes": [
                    (listed.get(sae) or Sae(**source.facts(sae))).model_copy(
                        update={
                            "n_latents": count,
                            "n_latents_counted": sae not in unknown,
                            "neuronpedia": known.get(source.places[sae]),
                        }
                    )
                    for sae, count in sorted(saes.items())
                ],
                "provenance": manifest.provenance.model_copy(update={"limits": limits}),
            }
        ),
        tables=with_concepts(tables, *(concept for files in arrays.values() for concept in files)),
        arrays=arrays,
        pages=_pages_of(source, pages, saes),
        files=_licences(source),
    )
    return [findings]


def _read(source: Source, stem: str, table: Table, columns: Columns, **constants: object) -> pa.Table:
    """Read one file with all columns of `table`; empty if there is no such file."""
    file = source.root / f"{stem}.parquet"
    return with_all_columns(table, source.read(file, table, columns, **constants) if source.has(file) else None)


def _tested(source: Source) -> pa.Table:
    """Read the tested tokens; empty if there is no such file."""
    file = source.root / "feature_absorption_results.parquet"
    keys = _SAE_LETTER | same("token_id", "prompt_id")
    return with_all_columns(TESTED, read_tested(source, file, keys) if source.has(file) else None)


def _encoder_top(source: Source) -> pa.Table:
    """Turn the columns of each rank into rows."""
    file, table = source.root / "top_feat_precision_recall.parquet", TABLES["encoder_top"]
    pieces = [with_all_columns(table, None)]
    types = source.columns(file) if source.has(file) else {}
    for rank in range(_NUM_ENCODER_TOP):
        if rank and f"precision_sae_top_{rank}" not in types:
            break
        columns = _SAE_LETTER | {
            "latent": f"sae_top_{rank}_feat",
            "encoder_cosine": f"cos_sae_top_{rank}",
            "cosine": f"dec_cos_sae_top_{rank}",
            **{score: f"{score}_sae_top_{rank}" for score in SCORES},
        }
        if types:
            pieces.append(with_all_columns(table, source.read(file, table, columns, rank=rank)))
    return pa.concat_tables(pieces)


def _vocabulary(source: Source) -> pa.Table:
    """Read the tokens; if the file has no ids, they are the row numbers."""
    stem = next(
        (stem for stem in ("english_tokens", "alpha_tokens") if source.has(source.root / f"{stem}.parquet")), ""
    )
    names = same("token_id", "token", "letter", "is_test", "model_metric") | {"model_answer": "model_letter"}
    rows = _read(source, stem, TOKENS, names)
    if rows["token_id"].null_count:
        numbers = pa.array(range(rows.num_rows), pa.int32())
        rows = rows.set_column(rows.column_names.index("token_id"), "token_id", numbers)
    return rows


def _located(
    source: Source, pattern: str, name: re.Pattern[str], item: Callable[[str], Any]
) -> dict[str, dict[Any, Path]]:
    """Find the files of each SAE, by concept or latent; `item` parses that part of the file's name."""
    found: dict[str, dict[Any, Path]] = {}
    for file in source.find(pattern):
        parts = name.search(file.as_posix())
        try:
            key = source.sae_id(int(parts[1]), parse_width(parts[2]), int(parts[3])) if parts else None
        except ValueError:
            key = None
        if parts is None or key is None:
            source.reject(file, "the name contains no SAE and letter or latent; rename it like the others")
        elif item(parts[4]) in found.setdefault(key, {}):
            source.reject(file, f"{source.report.name(found[key][item(parts[4])])} is of the same; remove one of them")
        else:
            found[key][item(parts[4])] = file
    return found


def _pages_of(
    source: Source, pages: Mapping[str, Mapping[int, Path]], saes: Mapping[str, int]
) -> dict[str, dict[int, Path]]:
    """Omit the pages of latents that an SAE does not have."""
    kept: dict[str, dict[int, Path]] = {}
    for key, of_sae in pages.items():
        for latent, file in of_sae.items() if key in saes else ():
            if latent < saes[key]:
                kept.setdefault(key, {})[latent] = file
            else:
                source.reject(file, f"is of latent {latent}, the SAE has {saes[key]:,}; remove or rename it")
    return kept


def _licences(source: Source) -> dict[str, bytes]:
    """Read the licence files in the folder."""
    found = {}
    for file in source.find("LICENSE*"):
        try:
            with source.opened(file, "licence", limits.LICENCE) as stream:
                found[source.report.name(file)] = stream.read()
        except UnreadableError as error:
            source.reject(file, str(error))
    return found


def _saes(source: Source, tables: Mapping[str, pa.Table], arrays: Mapping[str, Mapping[str, Path]]) -> dict[str, int]:
    """Return the SAEs in tables or cosines, with their numbers of latents."""
    counted = {key: count for key, letters in arrays.items() if (count := count_latents(source.root, letters))}
    highest = highest_latents(tables)
    widths = {sae: width for sae, (_, width, _) in source.places.items()}
    return {sae: gemma_scope.count_latents(widths[sae], latent) for sae, latent in highest.items() if sae} | counted


def _uncounted(source: Source, saes: Mapping[str, int], arrays: Mapping[str, Mapping[str, Path]]) -> list[str]:
    """List the SAEs whose number of latents follows neither from arrays nor from their width."""
    return [
        sae
        for sae, count in sorted(saes.items())
        if not arrays.get(sae) and not gemma_scope.is_counted(source.places[sae][1], count)
    ]


def _manifest(source: Source) -> Manifest:
    """Convert the folder's own manifest; without one, it is Gemma Scope on Gemma-2-2B."""
    file = source.root / MANIFEST
    if source.has(file):
        try:
            with source.opened(file, "manifest", limits.MANIFEST) as stream:
                content = json.load(stream)
                if isinstance(content, dict) and "model" in content:
                    source.report.hold(file, number_names(content))
                    source.report.take(file, _IMPORTED)
                    manifest = _converted(source, content)
                    manifest.model_dump_json()  # raises an error for values that JSON cannot store
                    return manifest
            source.report.skip(file)  # another kind of manifest, such as a list of files
        except UnreadableError as error:
            source.reject(file, f"{error}; the suite is imported without it")
    return Manifest(
        format_version=FORMAT_VERSION,
        name=NAME,
        title="Gemma Scope, residual stream",
        model=Model(name=gemma_scope.MODEL, licence="Gemma Terms of Use", d_model=2304, num_layers=26),
        method=Method(metric="ig_ablation"),
        saes=[],
        tables={},
    )


def _converted(source: Source, content: Mapping[str, Any]) -> Manifest:
    """Convert the folder's own manifest to that of a suite."""
    thresholds = content.get("thresholds", {})
    own = Method(metric=content.get("metric", "ig_ablation"))
    return Manifest(
        format_version=FORMAT_VERSION,
        name=NAME,
        model=Model(
            name=content["model"],
            licence=content.get("model_licence"),
            weights=content.get("model_weights"),
            d_model=content.get("d_model"),
            num_layers=content.get("num_layers"),
        ),
        method=Method(
            metric=own.metric,
            tau=content.get("tau", own.tau),
            cosine_threshold=thresholds.get("cos", own.cosine_threshold),
            effect_margin=thresholds.get("margin", own.effect_margin),
        ),
        saes=[_sae(source, record) for record in content.get("saes", [])],
        tables={},
        provenance=Provenance(date=content.get("date"), corpus=content.get("corpus", [])),
    )


def _sae(source: Source, record: Mapping[str, Any]) -> Sae:
    facts = source.facts(source.sae_id(record["layer"], record["sae_width"], record["sae_l0"]))
    measured = record.get("l0_measured")
    return Sae(
        **facts | ({} if measured is None else {"l0": measured}),
        hook=record.get("hook"),
        architecture=record.get("architecture"),
        variance_explained=record.get("variance_explained"),
        loss_recovered=record.get("ce_loss_recovered"),
        dead_fraction=record.get("dead_fraction"),
        tokens_seen=record.get("tokens_seen"),
    )
