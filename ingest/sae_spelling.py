"""The outputs of sae-spelling, the paper's own code: one parquet file per SAE and experiment."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ingest import gemma_scope
from ingest.findings import Findings
from ingest.k_sparse_frames import (
    METADATA,
    METADATA_COLUMNS,
    RAW_COLUMNS,
    SCORES,
    Ranked,
    has_latents,
    k_values,
    probes,
    ranked_latents,
    read_wide,
    steps,
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
from ingest.source import parse_width, same
from ingest.split_latents import derive_split_latents
from ingest.sql import join
from ingest.tested_tokens import TESTED, read_tested
from queries.conform import IngestError, arrow_schema, with_all_columns
from queries.manifest import FORMAT_VERSION, Manifest, Method, Model, Provenance, Sae
from queries.schema import TABLES, Table, letter_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from ingest.source import Columns, Source

NAME = "sae-spelling"
#: Layer, nominal width, L0, and the kind of a file of scores.
_FILE = re.compile(
    r"layer_([0-9]{1,9})_(?:width_)?([0-9]{1,6}[km]?)_(?:l0_)?([0-9]{1,9})(?:_(auroc_f1|metadata|raw_results))?\.parquet"
)
_RANK = re.compile(r"(f1|precision|recall|auc)_sae_top_([0-9]{1,2})")
_COSINE = re.compile(r"cos_probe_sae_(?:enc|dec)_[A-Za-z]_top_[0-9]{1,2}")
#: Names of folders that are names of models; those of SAEs have no number after the family's name.
_MODEL = re.compile(r"(?:gemma|pythia|llama|qwen|mistral|smollm|gpt)-?\d[\w.-]*", re.IGNORECASE)

_SAE: Columns = {"layer": "layer", "width": "sae_width", "l0": "sae_l0"}


@dataclass(frozen=True)
class _File:
    """A file of one SAE; `kind` is the experiment that wrote it, or the kind of an accompanying file."""

    path: Path
    kind: str
    place: tuple[int, int, int]

    @property
    def name(self) -> str:
        """The SAE's name in file names."""
        return "layer_" + "_".join(map(str, self.place))


def detects(source: Source) -> bool:
    """Return whether `source` contains files with sae-spelling's names."""
    return bool(_located(source))


def read(source: Source, *, only: str | None = None) -> list[Findings]:
    """Read all experiments in `source`.

    Parameters
    ----------
    source : Source
    only : str, optional
        A glob over the SAEs' names in file names, such as layer_3_16000_59.

    Raises
    ------
    IngestError
        If no file has results on a letter.
    """
    located = _located(source)
    files = [file for file in located if only is None or fnmatchcase(file.name, only)]
    if not files and located:
        message = f"{source.root}: no SAE is called {only!r}; give --only a name such as {located[0].name}"
        raise IngestError(message)
    found = _found(source, files)
    tested, prompts = with_prompts(with_all_columns(TESTED, *found["feature_absorption"]))
    tables = {
        "measurements": first_known(
            ("sae", "concept"),
            join("sae_spelling_measurements", tested=tested),
            *map(probes, (*found["k_sparse_probing"], *found["latent_evaluation"])),
        ),
        "k_sparse": with_all_columns(TABLES["k_sparse"], *found["k_sparse"]),
        "encoder_top": with_all_columns(TABLES["encoder_top"], *map(_ranks, found["latent_evaluation"])),
        "tested_tokens": tested,
        "tokens": numbered_tokens(*found["raw_results"], tested),
        "prompts": prompts,
    }
    if not tables["measurements"].num_rows:
        message = nothing_importable(
            source, "give the folder that holds feature_absorption, k_sparse_probing or latent_evaluation"
        )
        raise IngestError(message)
    method = Method(metric="ig_ablation")
    tables["measurements"] = derive_split_latents(tables["measurements"], tables["k_sparse"], method)
    model = _model(source, files)
    known = gemma_scope.canonical() if gemma_scope.is_model(model) else {}
    saes, limits = [], []
    for sae, highest in sorted(highest_latents(tables).items()):
        place = source.places[sae]
        number = gemma_scope.count_latents(place[1], highest)
        is_counted = gemma_scope.is_counted(place[1], number)
        if not is_counted:
            limits.append(uncounted("layer {}, width {}, L0 {}".format(*place), number))
            source.report.note(limits[-1])
        facts = source.facts(sae)
        saes.append(Sae(**facts, n_latents=number, n_latents_counted=is_counted, neuronpedia=known.get(place)))
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=NAME,
        model=Model(name=model),
        method=method,
        saes=saes,
        tables={},
        provenance=Provenance(made_by="sae-spelling", limits=limits),
    )
    return [Findings(manifest, with_concepts(tables))]


def _located(source: Source) -> list[_File]:
    """Find the files by their names; the experiment of files with scores is later inferred from their columns."""
    return [
        _File(path, name[4] or "feature_absorption", (int(name[1]), parse_width(name[2]), int(name[3])))
        for path in source.find("**/layer_*.parquet")
        if (name := _FILE.fullmatch(path.name))
    ]


def _found(source: Source, files: list[_File]) -> defaultdict[str, list[pa.Table]]:
    """Read `files`; return tables by kind of file, and those of k_sparse."""
    found: defaultdict[str, list[pa.Table]] = defaultdict(list)
    taken: dict[tuple[str, str], _File] = {}
    metadata = {file.name: file for file in reversed(files) if file.kind == "metadata"}
    needed: list[_File | None] = []
    for file in files:
        kind = _experiment(source, file)
        if kind not in _READERS:
            continue
        if first := taken.get((kind, file.name)):
            taken_from = source.report.name(first.path)
            source.reject(file.path, f"{taken_from} has the same data on this SAE and is used; remove one of them")
            continue
        rows = _READERS[kind](source, file)
        if rows is None:
            continue
        found[kind].append(rows)
        if kind != "raw_results":  # two experiments write these for the same tokens
            taken[kind, file.name] = file
        if kind == "k_sparse_probing":
            with_ranks = None if has_latents(rows.column_names) else metadata.get(file.name)
            found["k_sparse"].append(steps(rows, _ranked(source, with_ranks) if with_ranks else {}))
            needed.append(with_ranks)
    source.report.skip(*(file.path for file in files if file.kind == "metadata" and file not in needed))
    return found


def _experiment(source: Source, file: _File) -> str:
    """Return the experiment that wrote `file`; two use the same file names, but different columns."""
    if file.kind != "auroc_f1":
        return file.kind
    names = source.columns(file.path)
    if k_values(names):
        return "k_sparse_probing"
    if _rank_numbers(names):
        return "latent_evaluation"
    if names:
        source.reject(file.path, "column 'f1_sparse_sae_1' or 'f1_sae_top_0' is missing; download the complete file")
    return ""


def _of_its_sae(source: Source, file: _File, read: Callable[..., pa.Table | None]) -> pa.Table | None:
    """Read the rows of a file; reject it if its columns name another SAE than its file name."""
    names = source.columns(file.path)
    own = {name: given for name, given in _SAE.items() if given in names}
    constants = {name: value for name, value in zip(_SAE, file.place, strict=True) if name not in own}
    rows = read(source, file.path, own | same("letter"), **constants)
    if rows is None:
        return None
    others = {source.places[sae] for sae in rows["sae"].to_pylist()} - {file.place}
    if others:
        other = "layer_" + "_".join(map(str, min(others)))
        source.reject(file.path, f"its columns are of {other}, which its name is not; rename it or download it again")
        return None
    return rows


def _rows(source: Source, file: _File, table: Table, columns: Columns) -> pa.Table | None:
    def read(source: Source, path: Path, keys: Columns, **constants: int) -> pa.Table | None:
        return source.read(path, table, keys | columns, **constants)

    return _of_its_sae(source, file, read)


def _k_sparse(source: Source, file: _File) -> pa.Table | None:
    return _of_its_sae(source, file, read_wide)


def _tested(source: Source, file: _File) -> pa.Table | None:
    return _of_its_sae(source, file, read_tested)


def _ranked(source: Source, file: _File) -> Ranked:
    """Read the latents of the k-sparse probes from the file that accompanies their scores."""
    rows = _rows(source, file, METADATA, METADATA_COLUMNS)
    return {} if rows is None else ranked_latents(rows)


def _vocabulary(source: Source, file: _File) -> pa.Table | None:
    """Read the test split's tokens, without the thousand columns of scores."""
    return source.read(file.path, TOKENS, RAW_COLUMNS)


def _rank_numbers(names: Iterable[str]) -> list[int]:
    return sorted({int(found[2]) for name in names if (found := _RANK.fullmatch(name))})


def _encoder_top(source: Source, file: _File) -> pa.Table | None:
    """Read the scores of the latents with the highest encoder cosines per probe, under the file's column names."""
    names = source.columns(file.path)
    ranks = _rank_numbers(names)
    for missing in (f"{score}_sae_top_{rank}" for rank in ranks for score in ("precision", "recall")):
        if missing not in names:
            source.reject_without(file.path, missing)
            return None
    ranked, measured = TABLES["encoder_top"], TABLES["measurements"]
    own = [
        *(replace(measured.column(f"probe_{score}"), name=f"{score}_probe", required=False) for score in SCORES),
        *(replace(ranked.column("latent"), name=f"sae_top_{rank}_feat") for rank in ranks),
    ]
    for name in names:
        if found := _RANK.fullmatch(name):
            own.append(replace(ranked.column(found[1]), name=name, required=False))
        elif _COSINE.fullmatch(name):
            own.append(replace(ranked.column("cosine"), name=name))
    key = ("sae", "concept")
    table = Table("latent_evaluation", "one SAE and one concept", key, (*map(measured.column, key), *own))
    return _rows(source, file, table, same(*(column.name for column in own)))


def _ranks(wide: pa.Table) -> pa.Table:
    """Turn the columns of each rank into rows of encoder_top."""
    rows = [
        {
            **row,
            "rank": rank,
            "latent": row.get(f"sae_top_{rank}_feat"),
            "encoder_cosine": _cosine(row, "enc", rank),
            "cosine": _cosine(row, "dec", rank),
            **{score: row.get(f"{score}_sae_top_{rank}") for score in SCORES},
        }
        for row in wide.to_pylist()
        for rank in _rank_numbers(wide.column_names)
    ]
    return pa.Table.from_pylist(rows, arrow_schema(TABLES["encoder_top"].columns))


def _cosine(row: dict[str, Any], direction: str, rank: int) -> float | None:
    """Return the cosine with the probe of the row's letter; the columns of other letters are empty."""
    letter = letter_of(row["concept"])
    names = (f"cos_probe_sae_{direction}_{each}_top_{rank}" for each in (letter, letter.upper()))
    return next((row[name] for name in names if row.get(name) is not None), None)


def _model(source: Source, files: list[_File]) -> str:
    """Return the model's name if exactly one folder has the name of a model, else "unknown"."""
    folders = {folder for file in files for folder in file.path.relative_to(source.root.parent).parts[:-1]}
    names = sorted(folder for folder in folders if _MODEL.fullmatch(folder))
    if len(names) == 1:
        return names[0]
    source.report.note(
        'The files do not name the model, so the suite calls it "unknown"; its manifest.json can name it.'
    )
    return "unknown"


_READERS: dict[str, Callable[[Source, _File], pa.Table | None]] = {
    "feature_absorption": _tested,
    "k_sparse_probing": _k_sparse,
    "latent_evaluation": _encoder_top,
    "raw_results": _vocabulary,
}
