"""What must not be true of a row: `check` looks for it in the files of a suite, an import in what it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queries.schema import Table


class Condition(NamedTuple):
    """One thing that must not be true of a row.

    Attributes
    ----------
    column : str or None
        None where the whole row is meant.
    sql : str
        A condition on the table's columns, and on `n_latents` and `no_sae` of the row's SAE.
    message : str
        What is wrong and what is needed.
    """

    column: str | None
    sql: str
    message: str


def conditions(table: Table) -> Iterator[Condition]:
    """List what must not be true of a row of `table`."""
    yield Condition(None, "no_sae", "is of an SAE that the suite does not list")
    for column in table.columns:
        if column.required or column.name in table.key:
            yield Condition(column.name, f"{column.name} IS NULL", "is empty; a value is needed")
        is_float = column.type in ("FLOAT", "DOUBLE")
        if is_float:
            yield Condition(column.name, f"NOT isfinite({column.name})", "is no finite number; leave it empty")
        if column.rule:
            condition = column.rule.sql.replace("{}", column.name)
            known = f" AND isfinite({column.name})" if is_float else ""
            unknown_sae = " AND NOT no_sae" if "n_latents" in condition else ""
            yield Condition(column.name, f"NOT ({condition}){known}{unknown_sae}", f"must be {column.rule.words}")
