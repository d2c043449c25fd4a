"""Reads the tables of the first layout of a suite with the names and keys of the second."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from queries.layout_1 import FORMER, SAE_KEY, TABLES
from queries.literal import literal
from queries.rows import rows_of
from queries.schema import LETTERS, Table, concept_id

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from queries.suite import Suite


def select(table: Table, suite: Suite) -> str:
    """Return the SELECT that reads a table of the first layout with the names of the second.

    The keys come from joins, whose filters DuckDB pushes down to the files.
    """
    name = literal(suite.name)
    if table.name == "concepts":
        return _letters(name)
    former = TABLES[FORMER.get(table.name, table.name)]
    columns = [f"{name} AS suite"]
    for column in table.columns:
        match column.name:
            case "sae":
                columns.append("saes.sae")
            case "concept":
                columns.append("letters.concept")
            case "top_concept":
                columns.append("'first-letter.' || rows.top_letter AS top_concept")
            case _:
                columns.append(f"rows.{FORMER.get(column.name, column.name)} AS {column.name}")
    wrapped = textwrap.fill(", ".join(columns), 118, subsequent_indent="    ")
    select = f"SELECT {wrapped}\nFROM (\n{rows_of(former, suite)}\n) AS rows\n{_joins(name, table.key)}".rstrip()
    if table.name != "measurements" or "repeats" not in suite.manifest.tables:
        return select
    counted = "SELECT * EXCLUDE (sae, own_l0, seed, l0_measured, id, is_own), id AS sae FROM former_repeats"
    return f"FROM (\n{select}\nUNION ALL BY NAME\n{counted} WHERE suite = {name} AND NOT is_own\n)"


def _letters(suite: str) -> str:
    """Return the SELECT of the concepts of the first layout."""
    rows = ((concept_id(letter), letter.upper(), place) for place, letter in enumerate(LETTERS))
    values = ",\n    ".join(f"({', '.join(map(literal, row))})" for row in rows)
    return (
        f"SELECT {suite} AS suite, concept, 'first-letter' AS family, label, 'starts with ' || label AS phrase,\n"
        "    NULL::VARCHAR AS parent, position::INTEGER AS position, NULL::INTEGER AS num_tokens\n"
        f"FROM (VALUES\n    {values}\n) AS letters(concept, label, position)"
    )


def repeats(suite: Suite) -> str:
    """Return the SELECT of the results by seed of SAEs trained several times; `is_own`: the seed of the SAE itself."""
    name = literal(suite.name)
    return (
        "SELECT *, sae || '-s' || seed AS id,\n"
        "    seed = first_value(seed) OVER (PARTITION BY sae ORDER BY abs(l0_measured - own_l0), seed) AS is_own\n"
        "FROM (\n"
        f"    SELECT {name} AS suite, former.sae, own.l0 AS own_l0, rows.seed, letters.concept,\n"
        f"        rows.* EXCLUDE ({', '.join(SAE_KEY)}, seed, letter)\n"
        f"    FROM (\n{rows_of(TABLES['repeats'], suite)}\n) AS rows\n"
        f"    {_joins(name, ('sae', 'concept'), 'former')}\n"
        f"    JOIN (SELECT sae, l0 FROM saes WHERE suite = {name}) AS own USING (sae)\n"
        ")"
    )


def further_seeds(suite: Suite) -> Iterator[str]:
    """Yield the statements that create SAEs for further seeds, and set the seed of those that they repeat."""
    name = literal(suite.name)
    seeds = f"(SELECT DISTINCT sae, id, seed, is_own, l0_measured FROM former_repeats WHERE suite = {name}) AS seeds"
    yield (
        f"UPDATE saes SET seed = seeds.seed\nFROM {seeds}\n"
        f"WHERE saes.suite = {name} AND saes.sae = seeds.sae AND seeds.is_own;"
    )
    unknown = ("variance_explained", "loss_recovered", "dead_fraction", "neuronpedia_model", "neuronpedia_source")
    changed = ", ".join(
        (
            *("seeds.id AS sae", "seeds.l0_measured AS l0", "seeds.seed AS seed", "sae AS repeat_of"),
            *(f"NULL AS {column}" for column in unknown),
            *("false AS canonical", "false AS cosines"),
        )
    )
    yield (
        f"INSERT INTO saes\nSELECT saes.* REPLACE ({changed})\nFROM saes\nJOIN {seeds} USING (sae)\n"
        f"WHERE saes.suite = {name} AND NOT seeds.is_own;"
    )


def _joins(suite: str, keys: Collection[str], saes: str = "saes") -> str:
    """Return the joins that replace the keys of the first layout by those of the second."""
    joins = []
    if "sae" in keys:
        joins.append(f"JOIN (FROM former_saes WHERE suite = {suite}) AS {saes} USING ({', '.join(SAE_KEY)})")
    if "concept" in keys:
        letters = f"SELECT concept, lower(label) AS letter FROM concepts WHERE suite = {suite}"
        joins.append(f"JOIN ({letters}) AS letters USING (letter)")
    return "\n".join(joins)
