"""Conditions that no row may meet: `check` tests the files of a suite, and an import the rows that it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queries.schema import Table


class Condition(NamedTuple):
    """A condition that no row may meet.

    Attributes
    ----------
    column : str or None
        None if it concerns the whole row.
    sql : str
        Condition on the table's columns, and on `n_latents` and `no_sae` of the row's SAE.
    message : str
        The problem, and what is required.
    """

    column: str | None
    sql: str
    message: str


def conditions(table: Table) -> Iterator[Condition]:
    """Yield the conditions that no row of `table` may meet."""
    yield Condition(None, "no_sae", "belongs to an SAE that the suite does not list")
    for column in table.columns:
        if column.required or column.name in table.key:
            yield Condition(column.name, f"{column.name} IS NULL", "is empty; a value is required")
        is_float = column.type in ("FLOAT", "DOUBLE")
        if is_float:
            yield Condition(column.name, f"NOT isfinite({column.name})", "is not a finite number; leave it empty")
        if column.rule:
            condition = column.rule.sql.replace("{}", column.name)
            known = f" AND isfinite({column.name})" if is_float else ""
            unknown_sae = " AND NOT no_sae" if "n_latents" in condition else ""
            yield Condition(column.name, f"NOT ({condition}){known}{unknown_sae}", f"must be {column.rule.words}")
