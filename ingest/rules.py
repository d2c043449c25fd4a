"""What is read is held to the rules that `check` holds a suite to: what these refuse does not become part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from ingest.sql import cursor
from queries.conform import arrow_schema
from queries.rules import Condition, conditions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from queries.manifest import Sae
    from queries.schema import Table

_SHOWN_ROWS = 3


class Kept(NamedTuple):
    """Rows as they may stand, which of them stay, and what is said of the rest."""

    rows: pa.Table
    good: pa.Array
    refused: list[str]


def keep_rules(data: pa.Table, table: Table, saes: Iterable[Sae] | None = None, good: pa.Array | None = None) -> Kept:
    """Find what `check` would refuse of `data`.

    A value that is not allowed omits its row where the row cannot be without it; elsewhere it is left empty.

    Parameters
    ----------
    data : pyarrow.Table
        Columns of `table` with the contract's types.
    table : Table
    saes : iterable of Sae, optional
        Those of the suite. Where they are not known yet, no latent is too high and no SAE unknown.
    good : pyarrow.Array, optional
        False for each row that is omitted already.
    """
    good = pa.array([True] * data.num_rows, pa.bool_()) if good is None else good
    required = {None, *table.key, *(column.name for column in table.columns if column.required)}
    possible = {*data.column_names, *(() if saes is None else (None,))}
    rules = [rule for rule in (*conditions(table), *_too_long(table)) if rule.column in possible]
    refused = []
    for rule, flags in zip(rules, _broken(data, table, rules, saes), strict=True):
        places = pc.indices_nonzero(pc.and_(good, flags)).to_pylist()
        if not places:
            continue
        shown = ", ".join(map(str, places[:_SHOWN_ROWS])) + (", ..." if len(places) > _SHOWN_ROWS else "")
        where = f"{len(places):,} {'row' if len(places) == 1 else 'rows'} (row {shown})"
        if rule.column in required:
            good = pc.and_not(good, flags)
            refused.append(f"{where} omitted: {rule.column or 'it'} {rule.message}")
        else:
            values = data[rule.column].combine_chunks()
            emptied = pc.if_else(flags, pa.scalar(None, values.type), values)
            data = data.set_column(data.column_names.index(rule.column), rule.column, emptied)
            refused.append(f"{rule.column} of {where} left empty: it {rule.message}")
    return Kept(data, good, refused)


def _too_long(table: Table) -> Iterator[Condition]:
    """List the texts that a suite does not hold, which `check` looks for before it asks DuckDB."""
    for column in table.columns:
        if column.type == "VARCHAR":
            message = f"has more than {table.max_text:,} bytes; shorten it"
            yield Condition(column.name, f"strlen({column.name}) > {table.max_text}", message)


def _broken(data: pa.Table, table: Table, rules: list[Condition], saes: Iterable[Sae] | None) -> list[pa.Array]:
    """Tell of each rule which rows break it."""
    if not rules or not data.num_rows:
        return [pa.array([], pa.bool_())] * len(rules)
    has_sae = saes is not None and "sae" in table.key
    n_latents = "n_latents, is_listed IS NULL AS no_sae" if has_sae else "NULL AS n_latents, false AS no_sae"
    join = "LEFT JOIN (SELECT *, true AS is_listed FROM saes) USING (sae)" if has_sae else ""
    columns = ", ".join(f"coalesce({rule.sql}, false) AS rule_{place}" for place, rule in enumerate(rules))
    # The columns that a rule compares with; of very many rows, no others are made up.
    text = " ".join(rule.sql for rule in rules)
    compared = [name for column in table.columns if (name := column.name) not in data.column_names and name in text]
    rows = pa.concat_tables(
        [arrow_schema(map(table.column, compared)).empty_table(), data], promote_options="permissive"
    ).append_column("row_number", pa.array(range(data.num_rows), pa.int64()))
    with cursor() as connection:
        connection.register("data", rows)
        if has_sae:
            known = [{"sae": sae.id, "n_latents": sae.n_latents} for sae in saes or ()]
            types = [("sae", pa.string()), ("n_latents", pa.int32())]
            connection.register("saes", pa.Table.from_pylist(known, pa.schema(types)))
        found = connection.sql(
            f"SELECT {columns} FROM (SELECT *, {n_latents} FROM data {join}) ORDER BY row_number"  # noqa: S608 - contract's
        ).to_arrow_table()
    return [found[name].combine_chunks() for name in found.column_names]
