"""Merge what several files contain about the same letters, words and latents."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from ingest.sql import join
from queries.conform import arrow_schema, with_all_columns
from queries.first_letters import first_letters
from queries.schema import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ingest.source import Source


#: The contract of a token's row in files, in which the id is optional and there is a column with its concept.
TOKENS = replace(
    TABLES["tokens"],
    key=("token",),
    columns=(
        *(replace(column, required=column.name == "token") for column in TABLES["tokens"].columns),
        TABLES["token_concepts"].column("concept"),
    ),
)


def first_known(key: Iterable[str], *tables: pa.Table) -> pa.Table:
    """Merge rows with the same `key`: each column has its first value that is not NULL."""
    names = tuple(key)
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in (row for table in tables for row in table.to_pylist()):
        known = rows.setdefault(tuple(row[name] for name in names), {})
        known |= {name: value for name, value in row.items() if known.get(name) is None}
    return pa.Table.from_pylist(list(rows.values()), arrow_schema(TABLES["measurements"].columns))


def numbered_tokens(*pieces: pa.Table | None) -> pa.Table:
    """List and number the distinct tokens of test splits.

    Parameters
    ----------
    *pieces : pyarrow.Table or None
        Tables with columns token and concept.

    Returns
    -------
    pyarrow.Table
        Rows of `TOKENS`.
    """
    concepts: dict[str, str] = {}
    for piece in filter(None, pieces):
        concepts |= dict(zip(piece["token"].to_pylist(), piece["concept"].to_pylist(), strict=True))
    tokens = sorted(concepts, key=lambda token: (concepts[token], token))
    return pa.table(
        {
            "token_id": pa.array(range(len(tokens)), pa.int32()),
            "token": pa.array(tokens, pa.string()),
            "concept": pa.array([concepts[token] for token in tokens], pa.string()),
            "is_test": pa.array([True] * len(tokens), pa.bool_()),
        }
    )


def with_concepts(tables: Mapping[str, pa.Table], *others: str) -> dict[str, pa.Table]:
    """Add token_concepts and concepts to the tables of a suite of first letters, and omit empty tables.

    The table tokens has rows of `TOKENS`. `others` are concepts that occur in no table.
    """
    tokens = tables["tokens"]
    token_concepts = tokens.select(["token_id", "concept"])
    every = {**tables, "tokens": tokens.drop_columns("concept"), "token_concepts": token_concepts}
    columns = [
        rows[name] for rows in tables.values() for name in ("concept", "top_concept") if name in rows.column_names
    ]
    named = chain.from_iterable(pc.unique(column).to_pylist() for column in columns)
    every["concepts"] = first_letters([*named, *others], token_concepts)
    return {name: rows for name, rows in every.items() if rows.num_rows or TABLES[name].required}


def highest_latents(tables: Mapping[str, pa.Table]) -> dict[str, int]:
    """Return the highest latent in any of `tables`, -1 if there is none, by SAE ("" if tables have no SAE)."""
    complete = {
        name: with_all_columns(TABLES[name], tables.get(name))
        for name in ("measurements", "tested_tokens", "k_sparse", "encoder_top", "latents")
    }
    rows = join("highest_latents", **complete).to_pylist()
    return {row["sae"] or "": row["latent"] for row in rows}


def uncounted(sae: str, n_latents: int) -> str:
    """Return a sentence which states that the number of latents of an SAE is an estimate."""
    return (
        f"{sae}: no file counts its latents. Its width, or the highest latent that its results name, gives"
        f" {n_latents:,}; it may have more."
    )


def nothing_importable(source: Source, fix: str) -> str:
    """Return a one-line message that nothing of `source` can be imported, and why."""
    because = "".join(f" ({file}: {reason})" for file, reason in source.report.rejected[:1])
    return f"{source.root}: holds no letter that can be read{because}; {fix}"
