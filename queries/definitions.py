"""The statements that make of opened suites the tables, views and macros that questions are asked of."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, NamedTuple

from queries.catalog import derived_views, functions
from queries.literal import literal
from queries.location import pattern, place
from queries.schema import LETTERS, SAE_KEY, TABLES, Table, concept_id
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
    yield from _concepts(suites)
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
        "suite VARCHAR, sae VARCHAR, layer INTEGER, width INTEGER, l0 INTEGER, title VARCHAR, n_latents INTEGER,"
        " n_latents_counted BOOLEAN, l0_measured DOUBLE, hook VARCHAR, architecture VARCHAR, canonical BOOLEAN,"
        " neuronpedia_model VARCHAR, neuronpedia_source VARCHAR, cosines BOOLEAN, variance_explained DOUBLE,"
        " loss_recovered DOUBLE, dead_fraction DOUBLE, tokens_seen BIGINT"
    )
    rows = [
        (
            *(suite.name, sae.id, *sae.key, sae.name, sae.n_latents, sae.n_latents_counted),
            *(sae.l0_measured, sae.hook, sae.architecture, sae.neuronpedia is not None),
            *((sae.neuronpedia.model, sae.neuronpedia.source) if sae.neuronpedia else (None, None)),
            *(sae.cosines, sae.variance_explained, sae.loss_recovered, sae.dead_fraction, sae.tokens_seen),
        )
        for suite in suites
        for sae in suite.manifest.saes
    ]
    yield from filled("saes", columns, rows)


def _concepts(suites: Collection[Suite]) -> Iterator[Definition]:
    """Make the table of all concepts: of the first layout of a suite, the first letters."""
    rows = [(suite.name, concept_id(letter), letter) for suite in suites for letter in LETTERS]
    yield from filled("concepts", "suite VARCHAR, concept VARCHAR, letter VARCHAR", rows)


def filled(name: str, columns: str, rows: Iterable[tuple[object, ...]]) -> Iterator[Definition]:
    """Make a table of the given rows."""
    yield Definition(name, f"CREATE TABLE {name} ({columns});")
    values = ",\n    ".join(f"({', '.join(map(literal, row))})" for row in rows)
    if values:
        yield Definition(name, f"INSERT INTO {name} VALUES\n    {values};")


def _table(table: Table, suites: Collection[Suite]) -> Iterator[Definition]:
    """Make `table` of all suites: a table in memory that is filled suite by suite, or a view of the files.

    What lies in one file an SAE is a macro of a list of SAEs, ``cosines(suite, saes)``, so that no question costs more
    where there are more SAEs that it does not ask of.
    """
    if not table.resident:
        kind = f"MACRO {table.name}(in_suite, in_saes) AS TABLE" if table.partitioned else f"VIEW {table.name} AS"
        union = " UNION ALL\n".join(_select(table, suite) for suite in suites)
        yield Definition(table.name, f"CREATE {kind}\n{union};")
        return
    start = f"CREATE TABLE {table.name} AS\n"
    for suite in suites:
        yield Definition(table.name, f"{start}{_select(table, suite)};", ", ".join(map(str, suite.files(table))))
        start = f"INSERT INTO {table.name}\n"


def _select(table: Table, suite: Suite) -> str:
    """Write the SELECT that reads `table` of one suite with the contract's columns and types, and with its two keys.

    The keys come from joins, whose filters DuckDB hands on to what reads the files.
    """
    names = {column.name for column in table.columns}
    columns, joins = [f"{literal(suite.name)} AS suite"], ""
    replaced: list[str] = []
    for key, former in (("sae", SAE_KEY), ("concept", ("letter",))):
        if set(former) <= names:
            columns.append(f"{key}s.{key}")
            replaced += former
            # Of the vocabulary, some tokens have no letter.
            join = "LEFT JOIN" if table.name == "tokens" else "JOIN"
            joins += f"{join} (FROM {key}s WHERE suite = {literal(suite.name)}) AS {key}s USING ({', '.join(former)})\n"
    columns.append(f"rows.* EXCLUDE ({', '.join(replaced)})" if replaced else "rows.*")
    select = f"SELECT {', '.join(columns)}\nFROM (\n{_rows(table, suite)}\n) AS rows\n{joins}"
    if table.partitioned:
        return f"{select}WHERE {literal(suite.name)} = in_suite AND list_contains(in_saes, sae)"
    return f"{select}ORDER BY {', '.join(table.key)}" if table.resident else select.rstrip()


def _rows(table: Table, suite: Suite) -> str:
    """Write the SELECT that reads `table` of one suite as its files have it."""
    names = table_files(suite.manifest, table)
    present = suite.columns.get(table.name, set())
    columns = ", ".join(
        f"CAST({column.name if column.name in present else 'NULL'} AS {column.type}) AS {column.name}"
        for column in table.columns
    )
    select = f"SELECT\n{textwrap.fill(columns, 114, initial_indent='    ', subsequent_indent='    ')}"
    if not names:
        return f"{select}\nWHERE false"
    if not table.partitioned:
        # Without a word about it, DuckDB would take a folder called a=b above the suite for a column.
        return (
            f"{select}\nFROM read_parquet({literal(pattern(place(suite.root, names[0])))}, hive_partitioning = false)"
        )
    saes = (sae.id for sae in suite.manifest.saes if sae.cosines)
    listed = literal("\n".join(f"{sae}\t{name}" for sae, name in zip(saes, names, strict=True)))
    types = ", ".join(f"'{name}': INTEGER" for name in SAE_KEY)
    return (
        f"{select}\nFROM read_parquet(\n"
        f"    files_of({literal(pattern(f'{suite.root}/'))}, {listed}, in_saes),\n"
        f"    hive_partitioning = true, hive_types = {{{types}}}\n"
        ")"
    )
