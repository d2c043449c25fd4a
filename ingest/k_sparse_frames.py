"""The wide tables of k-sparse probing: one row per letter, with columns for the scores and latents of every k.

sae-spelling and SAEBench write one file per SAE; the published explorer has those of all SAEs in one file.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ingest.source import same
from queries.conform import arrow_schema
from queries.schema import TABLES, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from ingest.source import Columns, Source

SCORES = ("f1", "precision", "recall", "auc")
_STEP = re.compile(rf"(?:{'|'.join(SCORES)})_sparse_sae_([1-9][0-9]?)")
_KEY = ("sae", "concept")
_PROBES = {"split_feats": "split_latents"} | {f"{score}_probe": f"probe_{score}" for score in SCORES}

#: The file with the latents, which accompanies the scores and has one row per k.
METADATA = Table(
    "metadata",
    "one SAE, one concept and one k",
    TABLES["k_sparse"].key,
    (
        *map(TABLES["k_sparse"].column, TABLES["k_sparse"].key),
        replace(TABLES["measurements"].column("split_latents"), name="feats", required=True),
    ),
)
METADATA_COLUMNS: Columns = same("letter", "k", "feats")
#: Another file that accompanies the scores; of its thousand columns, only the test split's tokens are read.
RAW_COLUMNS: Columns = {"token": "token", "letter": "answer_letter"}

#: The latents of the probe, by concept and k.
Ranked = dict[tuple[str, int], list[int]]


def k_values(names: Iterable[str]) -> list[int]:
    """Return the values of k with scores, from the names of columns."""
    return sorted({int(found[1]) for name in names if (found := _STEP.fullmatch(name))})


def has_latents(names: Iterable[str]) -> bool:
    """Return whether any of the columns `names` lists the latents of a k."""
    return bool(set(names) & {_feats(k) for k in k_values(names)})


def read_wide(source: Source, file: Path, keys: Columns, **constants: object) -> pa.Table | None:
    """Read a parquet file of k-sparse probing.

    Parameters
    ----------
    source : Source
    file : Path
    keys : dict of str to str or tuple of str
        Columns with layer, width, l0 and letter, if the file has them.
    **constants
        Values for those that it lacks.

    Returns
    -------
    pyarrow.Table or None
        One row per SAE and concept, with scores and latents under the file's names; None if there is no such file or
        it was rejected.
    """
    names = source.columns(file) if source.has(file) else {}
    found = wide_contract(source, file, names) if names else None
    if found is None:
        return None
    table, own = found
    # The lists have an alternative, shorter name: sparse_sae_50_feats.
    names_of = {name: (name, name.replace("_k_", "_")) for name in own}
    return source.read(file, table, {**keys, **names_of}, **constants)


def wide_contract(source: Source, file: Path, names: Iterable[str]) -> tuple[Table, Columns] | None:
    """Return the contract of a file with columns `names`, and the columns besides those of SAE and letter.

    A file with scores but no F1 for some k is rejected, and the result is None.
    """
    ks = k_values(names)
    missing = [f"f1_sparse_sae_{k}" for k in ks or (1,) if f"f1_sparse_sae_{k}" not in names]
    if missing:
        source.reject_without(file, missing[0])
        return None
    measured, k_sparse = TABLES["measurements"], TABLES["k_sparse"]
    own = [
        *(replace(measured.column(f"probe_{score}"), name=f"{score}_probe") for score in SCORES),
        *(replace(k_sparse.column(score), name=f"{score}_sparse_sae_{k}") for k in ks for score in SCORES),
        *(replace(measured.column("split_latents"), name=name) for name in ("split_feats", *map(_feats, ks))),
    ]
    columns = (*map(measured.column, _KEY), *(replace(column, required=False) for column in own))
    return Table("k_sparse", "one SAE and one concept", _KEY, columns), same(*(column.name for column in own))


def probes(wide: pa.Table) -> pa.Table:
    """Return rows of the table measurements: the linear probe's scores, and the split latents if `wide` has them."""
    present = [name for name in (*_KEY, *_PROBES) if name in wide.column_names]
    return wide.select(present).rename_columns([_PROBES.get(name, name) for name in present])


def steps(wide: pa.Table, ranked: Ranked | None = None) -> pa.Table:
    """Turn the columns of each k into rows.

    The latent of a row is the one that the list for k has in addition to that for k - 1. If there is no list for a k,
    it is taken from a longer list, or from the split latents.

    Parameters
    ----------
    wide : pyarrow.Table
        The result of `read_wide`.
    ranked : dict of (str, int) to list of int, optional
        Latents by concept and k, from another file.

    Returns
    -------
    pyarrow.Table
        Rows of the table k_sparse, with a column sae if `wide` has it.
    """
    ks = k_values(wide.column_names)
    rows: list[dict[str, Any]] = []
    for row in wide.to_pylist():
        lists = _lists(row, ks, ranked or {})
        for k in ks:
            scores = {score: row.get(f"{score}_sparse_sae_{k}") for score in SCORES}
            rows.append(row | scores | {"k": k, "latent": _added(lists, k)})
    fields = [
        column for column in TABLES["k_sparse"].columns if column.name in {*wide.column_names, "k", "latent", *SCORES}
    ]
    return pa.Table.from_pylist(rows, arrow_schema(fields))


def ranked_latents(metadata: pa.Table) -> Ranked:
    """Return the latents by concept and k from rows of `METADATA`."""
    return {(row["concept"], row["k"]): row["feats"] for row in metadata.to_pylist()}


def _feats(k: int) -> str:
    return f"sparse_sae_k_{k}_feats"


def _lists(row: Mapping[str, Any], ks: Sequence[int], ranked: Ranked) -> list[list[int]]:
    """Return all known lists of a concept's latents, shortest first."""
    lists = [row.get(_feats(k)) or ranked.get((row["concept"], k)) for k in ks]
    return sorted(filter(None, [*lists, row.get("split_feats")]), key=len)


def _added(lists: Sequence[list[int]], k: int) -> int | None:
    """Return the latent that is added at `k`."""
    own = next((one for one in lists if len(one) >= k), None)
    if own is None:
        return None
    before = next((one for one in lists if len(one) == k - 1), own[: k - 1])
    new = [latent for latent in own if latent not in before]
    return new[0] if len(new) == 1 else own[k - 1]
