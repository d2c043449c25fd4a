"""The SELECT that reads a table from a suite's files."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from queries.header import cast_columns, columns_in_path
from queries.literal import literal
from queries.location import pattern, place
from queries.suite import table_files

if TYPE_CHECKING:
    from queries.schema import Table
    from queries.suite import Suite


def rows_of(table: Table, suite: Suite) -> str:
    """Return the SELECT that reads `table` of one suite in the suite's own layout."""
    names = table_files(suite.manifest, table)
    columns = cast_columns(table, suite.columns.get(table.name, set()))
    select = f"SELECT\n{textwrap.fill(columns, 114, initial_indent='    ', subsequent_indent='    ')}"
    if not names:
        return f"{select}\nWHERE false"
    if not table.partitioned:
        # By default, DuckDB would interpret a folder called a=b above the suite as a column.
        file = literal(pattern(place(suite.root, names[0])))
        return f"{select}\nFROM read_parquet({file}, hive_partitioning = false)"
    saes = (sae.id for sae in suite.manifest.saes if sae.cosines)
    listed = literal("\n".join(f"{sae}\t{name}" for sae, name in zip(saes, names, strict=True)))
    types = ", ".join(f"'{name}': INTEGER" for name in columns_in_path(table))
    hive = f"true, hive_types = {{{types}}}" if types else "false"
    return (
        f"{select}\nFROM read_parquet(\n"
        f"    files_of({literal(pattern(f'{suite.root}/'))}, {listed}, in_saes),\n"
        f"    hive_partitioning = {hive}\n"
        ")"
    )
