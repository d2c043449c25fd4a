"""What several files say of the same letters, words and latents, taken together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ingest.conform import arrow_type
from ingest.sql import join
from queries.schema import TABLES, Column, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ingest.source import Source


def optional(*columns: Column) -> tuple[Column, ...]:
    """Return `columns` as ones that a file may lack."""
    return tuple(replace(column, required=False) for column in columns)


#: A tested token's row as files have it: it also says what holds for the whole letter, and has its prompt in full.
TESTED = replace(
    TABLES["tested_tokens"],
    columns=(
        *TABLES["tested_tokens"].columns,
        *optional(*map(TABLES["letters"].column, ("split_latents", "num_probe_true_positives", "sample_portion"))),
        *optional(Column("prompt", "VARCHAR", "")),
    ),
)
#: Tokens of a file that does not number them.
TOKENS = replace(TABLES["tokens"], key=("token",))


def with_all_columns(table: Table, *pieces: pa.Table | None) -> pa.Table:
    """Stack what was read of `table`, with NULL where a piece lacks a column."""
    empty = pa.schema([(column.name, arrow_type(column.type)) for column in table.columns]).empty_table()
    return pa.concat_tables([empty, *filter(None, pieces)], promote_options="permissive")


def first_known(key: Iterable[str], *tables: pa.Table) -> pa.Table:
    """Make one row of all that have the same `key`, with the first value of each column that is known."""
    names = tuple(key)
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in (row for table in tables for row in table.to_pylist()):
        known = rows.setdefault(tuple(row[name] for name in names), {})
        known |= {name: value for name, value in row.items() if known.get(name) is None}
    letters = TABLES["letters"]
    schema = pa.schema([(column.name, arrow_type(column.type)) for column in letters.columns])
    return pa.Table.from_pylist(list(rows.values()), schema)


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


def with_constants(table: Table, rows: pa.Table, **values: object) -> pa.Table:
    """Give all `rows` of `table` the same `values`, in place of those they have."""
    columns = {name: rows[name] for name in rows.column_names}
    for name, value in values.items():
        scalar = pa.scalar(value, arrow_type(table.column(name).type))
        columns[name] = pa.chunked_array([pa.repeat(scalar, rows.num_rows)])
    return pa.table(columns)


def nothing_left(source: Source, mend: str) -> str:
    """Say in one line that nothing of `source` can be imported, and why."""
    because = "".join(f" ({file}: {reason})" for file, reason in source.report.rejected[:1])
    return f"{source.root}: holds no letter that can be read{because}; {mend}"
