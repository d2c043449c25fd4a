"""The statements that create the tables, views and macros of opened suites, on which queries run."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from queries import layout_1, reading_1
from queries.catalog import derived_views, functions
from queries.literal import literal
from queries.manifest_1 import former_key
from queries.rows import rows_of
from queries.schema import TABLES, Table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from queries.suite import Suite


class Definition(NamedTuple):
    """One statement.

    Attributes
    ----------
    name : str
        Table, view or macro that it creates or fills.
    sql : str
    reads : str
        The files that it copies into memory, for messages; empty if it reads none yet.
    """

    name: str
    sql: str
    reads: str = ""


def definitions(suites: Collection[Suite]) -> Iterator[Definition]:
    """Yield the statements in an order in which each depends on earlier ones only."""
    for name, sql in functions().items():
        yield Definition(name, sql)
    yield from _suites(suites)
    yield from _saes(suites)
    yield from _families(suites)
    yield from _former_saes(suites)
    for table in TABLES.values():
        if table.name == "measurements":
            yield from _former_seeds(suites)
        if table.name != "saes":
            yield from _table(table, suites)
    for name, sql in derived_views().items():
        yield Definition(name, sql)


def _suites(suites: Collection[Suite]) -> Iterator[Definition]:
    """Create the table of suites: the metric of each, and its thresholds."""
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
    yield from create_and_fill("suites", columns, rows)


def _saes(suites: Collection[Suite]) -> Iterator[Definition]:
    """Create the table of all listed SAEs, in that order."""
    columns = (
        "suite VARCHAR, sae VARCHAR, title VARCHAR, layer INTEGER, hook VARCHAR, width INTEGER, n_latents INTEGER,"
        " n_latents_counted BOOLEAN, l0 DOUBLE, l0_nominal INTEGER, architecture VARCHAR, recipe VARCHAR,"
        " seed INTEGER, repeat_of VARCHAR, tokens_seen BIGINT, variance_explained DOUBLE, loss_recovered DOUBLE,"
        " dead_fraction DOUBLE, neuronpedia_model VARCHAR, neuronpedia_source VARCHAR, canonical BOOLEAN,"
        " cosines BOOLEAN, attributes MAP(VARCHAR, VARCHAR), position INTEGER"
    )
    rows = [
        (
            *(
                suite.name,
                sae.id,
                sae.title,
                sae.layer,
                hook_point(sae.hook),
                sae.width,
                sae.n_latents,
                sae.n_latents_counted,
            ),
            *(sae.l0, sae.l0_nominal, sae.architecture, sae.recipe, sae.seed, sae.repeat_of, sae.tokens_seen),
            *(sae.variance_explained, sae.loss_recovered, sae.dead_fraction),
            *((sae.neuronpedia.model, sae.neuronpedia.source) if sae.neuronpedia else (None, None)),
            *(sae.neuronpedia is not None, sae.cosines, sae.attributes, position),
        )
        for suite in suites
        for position, sae in enumerate(suite.manifest.saes)
    ]
    yield from create_and_fill("saes", columns, rows)


def _families(suites: Collection[Suite]) -> Iterator[Definition]:
    """Create the table of the families of concepts."""
    columns = "suite VARCHAR, family VARCHAR, title VARCHAR, noun VARCHAR, exclusive BOOLEAN, position INTEGER"
    rows = [
        (suite.name, family.family, family.title, family.noun, family.exclusive, position)
        for suite in suites
        for position, family in enumerate(suite.manifest.families)
    ]
    yield from create_and_fill("families", columns, rows)


def _former_saes(suites: Collection[Suite]) -> Iterator[Definition]:
    """Create the table of the keys of SAEs in the first layout, if any suite has it."""
    former = [suite for suite in suites if suite.manifest.format_version == 1]
    if former:
        rows = [(suite.name, sae.id, *former_key(sae.id)) for suite in former for sae in suite.manifest.saes]
        columns = "suite VARCHAR, sae VARCHAR, layer INTEGER, width INTEGER, l0 INTEGER"
        yield from create_and_fill("former_saes", columns, rows)


def hook_point(hook: str | None) -> str | None:
    """Return a hook without the block, which is the layer: resid_post for blocks.4.hook_resid_post."""
    return hook and hook.rpartition("hook_")[2]


def create_and_fill(name: str, columns: str, rows: Iterable[tuple[object, ...]]) -> Iterator[Definition]:
    """Create a table with the given rows."""
    yield Definition(name, f"CREATE TABLE {name} ({columns});")
    values = ",\n    ".join(f"({', '.join(map(literal, row))})" for row in rows)
    if values:
        yield Definition(name, f"INSERT INTO {name} VALUES\n    {values};")


def _table(table: Table, suites: Collection[Suite]) -> Iterator[Definition]:
    """Create `table` for all suites: a table in memory that is filled suite by suite, or a view of the files.

    A table with one file per SAE is a macro of a list of SAEs, ``cosines(suite, saes)``, so that the cost of a query
    does not depend on the number of other SAEs.
    """
    if not table.resident:
        kind = f"MACRO {table.name}(in_suite, in_saes) AS TABLE" if table.partitioned else f"VIEW {table.name} AS"
        union = " UNION ALL\n".join(_select(table, suite) for suite in suites)
        yield Definition(table.name, f"CREATE {kind}\n{union};")
        return
    start = f"CREATE TABLE {table.name} AS\n"
    for suite in suites:
        yield Definition(table.name, f"{start}{_select(table, suite)};", _reads(table, suite))
        start = f"INSERT INTO {table.name}\n"


def _reads(table: Table, suite: Suite) -> str:
    """Return the names of the files of `table` of a suite, for messages."""
    former = layout_1.TABLES.get(layout_1.FORMER.get(table.name, table.name))
    files = suite.files(former if suite.manifest.format_version == 1 and former else table)
    return ", ".join(map(str, files))


def _select(table: Table, suite: Suite) -> str:
    """Return the SELECT that reads `table` of one suite with the contract's columns and types."""
    select = (reading_1.select if suite.manifest.format_version == 1 else _current_rows)(table, suite)
    if table.partitioned:
        return f"{select}\nWHERE {literal(suite.name)} = in_suite AND list_contains(in_saes, sae)"
    return f"{select}\nORDER BY {', '.join(table.key)}" if table.resident else select


def _current_rows(table: Table, suite: Suite) -> str:
    """Return the SELECT that reads a table of the current layout."""
    return f"SELECT {literal(suite.name)} AS suite, rows.*\nFROM (\n{rows_of(table, suite)}\n) AS rows"


def _former_seeds(suites: Collection[Suite]) -> Iterator[Definition]:
    """Create SAEs for the further seeds that suites of the first layout have in a separate table."""
    start = "CREATE TABLE former_repeats AS\n"
    for suite in suites:
        if suite.manifest.format_version == 1 and "repeats" in suite.manifest.tables:
            reads = ", ".join(map(str, suite.files(layout_1.TABLES["repeats"])))
            yield Definition("former_repeats", f"{start}{reading_1.repeats(suite)};", reads)
            yield from (Definition("saes", sql) for sql in reading_1.further_seeds(suite))
            start = "INSERT INTO former_repeats\n"
