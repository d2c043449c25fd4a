"""Apply the rules of the command `check` to imported rows, and omit or empty what violates them."""

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
    """The result of `keep_rules`: rows with invalid values emptied, a mask of the valid rows, and messages."""

    rows: pa.Table
    good: pa.Array
    messages: list[str]


def keep_rules(data: pa.Table, table: Table, saes: Iterable[Sae] | None = None, good: pa.Array | None = None) -> Kept:
    """Find the values of `data` that `check` would reject.

    The row of an invalid value is omitted if its column is required; otherwise the value becomes NULL.

    Parameters
    ----------
    data : pyarrow.Table
        Columns of `table` with the contract's types.
    table : Table
    saes : iterable of Sae, optional
        The SAEs of the suite, to find unknown SAEs and latents that do not exist. Omit it if they are not known yet.
    good : pyarrow.Array, optional
        Mask that is False for rows that are already omitted.
    """
    good = pa.array([True] * data.num_rows, pa.bool_()) if good is None else good
    required = {None, *table.key, *(column.name for column in table.columns if column.required)}
    possible = {*data.column_names, *(() if saes is None else (None,))}
    rules = [rule for rule in (*conditions(table), *_too_long(table)) if rule.column in possible]
    messages = []
    for rule, flags in zip(rules, _broken(data, table, rules, saes), strict=True):
        places = pc.indices_nonzero(pc.and_(good, flags)).to_pylist()
        if not places:
            continue
        shown = ", ".join(map(str, places[:_SHOWN_ROWS])) + (", ..." if len(places) > _SHOWN_ROWS else "")
        where = f"{len(places):,} {'row' if len(places) == 1 else 'rows'} (row {shown})"
        if rule.column in required:
            good = pc.and_not(good, flags)
            messages.append(f"{where} omitted: {rule.column or 'it'} {rule.message}")
        else:
            values = data[rule.column].combine_chunks()
            emptied = pc.if_else(flags, pa.scalar(None, values.type), values)
            data = data.set_column(data.column_names.index(rule.column), rule.column, emptied)
            messages.append(f"{rule.column} of {where} left empty: it {rule.message}")
    return Kept(data, good, messages)


def _too_long(table: Table) -> Iterator[Condition]:
    """Return conditions for texts that are too long, which `check` finds before it queries DuckDB."""
    for column in table.columns:
        if column.type == "VARCHAR":
            message = f"has more than {table.max_text:,} bytes; shorten it"
            yield Condition(column.name, f"strlen({column.name}) > {table.max_text}", message)


def _broken(data: pa.Table, table: Table, rules: list[Condition], saes: Iterable[Sae] | None) -> list[pa.Array]:
    """Return a mask of the rows that violate each rule."""
    if not rules or not data.num_rows:
        return [pa.array([], pa.bool_())] * len(rules)
    has_sae = saes is not None and "sae" in table.key
    n_latents = "n_latents, is_listed IS NULL AS no_sae" if has_sae else "NULL AS n_latents, false AS no_sae"
    join = "LEFT JOIN (SELECT *, true AS is_listed FROM saes) USING (sae)" if has_sae else ""
    columns = ", ".join(f"coalesce({rule.sql}, false) AS rule_{place}" for place, rule in enumerate(rules))
    # Only missing columns that occur in a rule are added, because there may be very many rows.
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
