"""What several files say of the same letters, words and latents, taken together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ingest.sql import join
from queries.conform import arrow_schema, with_all_columns
from queries.layout_1 import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ingest.source import Source


#: A token's row as files have it, which need not number them.
TOKENS = replace(
    TABLES["tokens"],
    key=("token",),
    columns=tuple(replace(column, required=column.name in ("token", "letter")) for column in TABLES["tokens"].columns),
)


def first_known(key: Iterable[str], *tables: pa.Table) -> pa.Table:
    """Make one row of all that have the same `key`, with the first value of each column that is known."""
    names = tuple(key)
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in (row for table in tables for row in table.to_pylist()):
        known = rows.setdefault(tuple(row[name] for name in names), {})
        known |= {name: value for name, value in row.items() if known.get(name) is None}
    return pa.Table.from_pylist(list(rows.values()), arrow_schema(TABLES["letters"].columns))


def numbered_tokens(*pieces: pa.Table | None) -> pa.Table:
    """List the distinct tokens of test splits, each with its letter, and number them.

    Parameters
    ----------
    *pieces : pyarrow.Table or None
        Columns token and letter.

    Returns
    -------
    pyarrow.Table
        Rows of the table tokens.
    """
    letters: dict[str, str] = {}
    for piece in filter(None, pieces):
        letters |= dict(zip(piece["token"].to_pylist(), piece["letter"].to_pylist(), strict=True))
    tokens = sorted(letters, key=lambda token: (letters[token], token))
    return pa.table(
        {
            "token_id": pa.array(range(len(tokens)), pa.int32()),
            "token": pa.array(tokens, pa.string()),
            "letter": pa.array([letters[token] for token in tokens], pa.string()),
            "is_test": pa.array([True] * len(tokens), pa.bool_()),
        }
    )


def highest_latents(tables: Mapping[str, pa.Table]) -> dict[tuple[int, int, int], int]:
    """Return the highest number of a latent that any of `tables` names, by SAE; -1 where they name none."""
    complete = {
        name: with_all_columns(TABLES[name], tables.get(name))
        for name in ("letters", "tested_tokens", "k_sparse", "encoder_top", "latents")
    }
    rows = join("highest_latents", **complete).to_pylist()
    return {(row["layer"], row["width"], row["l0"]): row["latent"] for row in rows}


def uncounted(sae: str, n_latents: int) -> str:
    """Say in a sentence that the number of latents of an SAE is not counted anywhere."""
    return (
        f"{sae}: no file counts its latents. Its width, or the highest latent that its results name, gives"
        f" {n_latents:,}; it may have more."
    )


def nothing_left(source: Source, mend: str) -> str:
    """Say in one line that nothing of `source` can be imported, and why."""
    because = "".join(f" ({file}: {reason})" for file, reason in source.report.rejected[:1])
    return f"{source.root}: holds no letter that can be read{because}; {mend}"
