"""The statements that make of opened suites the tables, views and macros that questions are asked of."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, NamedTuple

from queries.catalog import derived_views, functions
from queries.literal import literal
from queries.location import pattern, place
from queries.schema import SAE_KEY, TABLES, Table
from queries.suite import table_files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from queries.suite import Suite


class Definition(NamedTuple):
    """One statement.

    Attributes
    ----------
    name : str
        What it makes or fills.
    sql : str
    reads : str
        The files it copies into memory, for messages; empty where it reads none now.
    """

    name: str
    sql: str
    reads: str = ""


def definitions(suites: Collection[Suite]) -> Iterator[Definition]:
    """Write the statements in an order in which each stands on former ones only."""
    for name, sql in functions().items():
        yield Definition(name, sql)
    yield from _suites(suites)
    yield from _saes(suites)
    for table in TABLES.values():
        yield from _table(table, suites)
    for name, sql in derived_views().items():
        yield Definition(name, sql)


def _suites(suites: Collection[Suite]) -> Iterator[Definition]:
    """Make the table of suites: what each measured, with which thresholds."""
    columns = (
        "suite VARCHAR, title VARCHAR, model VARCHAR, metric VARCHAR, metric_version VARCHAR, tau DOUBLE,"
        " cosine_threshold DOUBLE, effect_margin DOUBLE"
    )
    rows = []
    for suite in suites:
        manifest, method = suite.manifest, suite.manifest.method
        rows.append(
            (
                *(suite.name, manifest.title, manifest.model.name, method.metric, method.metric_version),
                *(method.tau, method.cosine_threshold, method.effect_margin),
            )
        )
    yield from filled("suites", columns, rows)


def _saes(suites: Collection[Suite]) -> Iterator[Definition]:
    """Make the table of all SAEs from the manifests."""
    columns = (
        "suite VARCHAR, layer INTEGER, width INTEGER, l0 INTEGER, sae VARCHAR, n_latents INTEGER,"
        " n_latents_counted BOOLEAN, l0_measured DOUBLE, hook VARCHAR, architecture VARCHAR, canonical BOOLEAN,"
        " neuronpedia_model VARCHAR, neuronpedia_source VARCHAR, cosines BOOLEAN, variance_explained DOUBLE,"
        " loss_recovered DOUBLE, dead_fraction DOUBLE, tokens_seen BIGINT"
    )
    rows = [
        (
            *(suite.name, sae.layer, sae.width, sae.l0, sae.name, sae.n_latents, sae.n_latents_counted),
            *(sae.l0_measured, sae.hook, sae.architecture, sae.neuronpedia is not None),
            *((sae.neuronpedia.model, sae.neuronpedia.source) if sae.neuronpedia else (None, None)),
            *(sae.cosines, sae.variance_explained, sae.loss_recovered, sae.dead_fraction, sae.tokens_seen),
        )
        for suite in suites
        for sae in suite.manifest.saes
    ]
    yield from filled("saes", columns, rows)


def filled(name: str, columns: str, rows: Iterable[tuple[object, ...]]) -> Iterator[Definition]:
    """Make a table of the given rows."""
    yield Definition(name, f"CREATE TABLE {name} ({columns});")
    values = ",\n    ".join(f"({', '.join(map(literal, row))})" for row in rows)
    if values:
        yield Definition(name, f"INSERT INTO {name} VALUES\n    {values};")


def _table(table: Table, suites: Collection[Suite]) -> Iterator[Definition]:
    """Make `table` of all suites: a table in memory that is filled suite by suite, or a view of the files.

    What lies in one file an SAE is a macro of an SAE, ``cosines(suite, layer, width, l0)``, or of all SAEs of a layer,
    ``cosines(suite, layer)``, so that no question costs more where there are more SAEs that it does not ask of.
    """
    if not table.resident:
        of = "(in_suite, in_layer, in_width := NULL, in_l0 := NULL) AS TABLE"
        kind = f"MACRO {table.name}{of}" if table.partitioned else f"VIEW {table.name} AS"
        union = " UNION ALL\n".join(_select(table, suite) for suite in suites)
        yield Definition(table.name, f"CREATE {kind}\n{union};")
        return
    start = f"CREATE TABLE {table.name} AS\n"
    for suite in suites:
        yield Definition(table.name, f"{start}{_select(table, suite)};", ", ".join(map(str, suite.files(table))))
        start = f"INSERT INTO {table.name}\n"


def _select(table: Table, suite: Suite) -> str:
    """Write the SELECT that reads `table` of one suite with the contract's columns and types."""
    names = table_files(suite.manifest, table)
    present = suite.columns.get(table.name, set())
    columns = ", ".join(
        f"CAST({column.name if column.name in present else 'NULL'} AS {column.type}) AS {column.name}"
        for column in table.columns
    )
    wrapped = textwrap.fill(columns, 118, initial_indent="    ", subsequent_indent="    ")
    select = f"SELECT {literal(suite.name)} AS suite,\n{wrapped}\n"
    if not names:
        return f"{select}WHERE false"
    if not table.partitioned:
        # Without a word about it, DuckDB would take a folder called a=b above the suite for a column.
        return f"{select}FROM read_parquet({literal(pattern(place(suite.root, names[0])))}, hive_partitioning = false)"
    root, listed = literal(pattern(f"{suite.root}/")), literal("\n".join(names))
    types = ", ".join(f"'{name}': INTEGER" for name in SAE_KEY)
    return (
        f"{select}FROM read_parquet(\n"
        f"    files_of({root}, {listed}, in_layer, in_width, in_l0),\n"
        f"    hive_partitioning = true, hive_types = {{{types}}}\n"
        ")\n"
        "WHERE suite = in_suite AND layer = in_layer\n"
        "    AND coalesce(width = in_width, true) AND coalesce(l0 = in_l0, true)"
    )
