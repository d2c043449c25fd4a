"""The first layout of a suite, in which layer, width and L0 identify an SAE, and a letter identifies a concept.

Its tables are those of `queries.schema` with other keys and some other names. Suites of it are read through joins
(`queries.reading_1`), and converted by `queries.upgrade`; none is written.
"""

from __future__ import annotations

from dataclasses import replace

from queries import schema
from queries.schema import Column, Rule, Table

#: The columns that identify an SAE within a suite.
SAE_KEY = ("layer", "width", "l0")

_SAE = (
    replace(schema.TABLES["saes"].column("layer"), required=True),
    replace(schema.TABLES["saes"].column("width"), required=True),
    Column(
        "l0",
        "INTEGER",
        "Mean number of active latents per token, rounded; with layer and width it names the SAE. Negative where it is"
        " unknown: -1 for the first such SAE of a layer and width, -2 for the next.",
    ),
)
_LETTER = Column(
    "letter",
    "VARCHAR",
    "Lower-case first letter, a-z: the concept.",
    rule=Rule("length({}) = 1 AND {} BETWEEN 'a' AND 'z'", "a lower-case letter, a-z"),
)
#: Names of tables and columns in this layout, by their name in the schema.
FORMER = {
    "measurements": "letters",
    "token_concepts": "tokens",
    "top_concept": "top_letter",
    "top_concept_cosine": "top_letter_cosine",
    "model_answer": "model_letter",
    "answer_metric": "spelling_metric",
}
_KEYS = {"sae": SAE_KEY, "concept": ("letter",)}


def _former(table: Table) -> Table:
    """Return a table's contract in the first layout."""
    columns: list[Column] = []
    for column in table.columns:
        if column.name == "sae":
            columns += _SAE
        elif column.name == "concept":
            columns.append(_LETTER)
        else:
            columns.append(replace(column, name=FORMER.get(column.name, column.name)))
    key = [name for column in table.key for name in _KEYS.get(column, (column,))]
    return replace(table, name=FORMER.get(table.name, table.name), key=tuple(key), columns=tuple(columns))


def _letters(table: Table) -> Table:
    """Return the table of measurements with one row per SAE and letter, independent of the metric."""
    columns = tuple(replace(column, required=False) if column.name == "metric" else column for column in table.columns)
    return replace(table, key=(*SAE_KEY, "letter"), columns=columns)


def _tokens(table: Table) -> Table:
    """Return the table of tokens with a column for the letter."""
    number, token, *others = table.columns
    return replace(table, columns=(number, token, _LETTER, *others))


_COUNTED = ("num_split_latents", "num_probe_true_positives", "num_candidates", "sample_portion", "num_absorbed")
_NEEDED = _COUNTED[1:]
_REPEATS = Table(
    "repeats",
    "one SAE that was trained several times, one of its seeds and one letter",
    (*SAE_KEY, "seed", "letter"),
    (
        *_SAE,
        replace(schema.TABLES["saes"].column("seed"), required=True),
        _LETTER,
        replace(schema.TABLES["saes"].column("l0"), name="l0_measured"),
        *(replace(schema.TABLES["measurements"].column(name), required=name in _NEEDED) for name in _COUNTED),
    ),
    resident=True,
    # 8 seeds for each letter of 10,000 SAEs.
    max_rows=2_000_000,
    max_bytes=128 * 2**20,
)

_CHANGED = {"letters": _letters, "tokens": _tokens}
_NEW = ("saes", "concepts", "token_concepts")
TABLES: dict[str, Table] = {
    former.name: _CHANGED.get(former.name, lambda same: same)(former)
    for former in (_former(table) for name, table in schema.TABLES.items() if name not in _NEW)
} | {"repeats": _REPEATS}
