"""The concepts of first letters."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa

from queries.conform import arrow_schema
from queries.schema import LETTERS, TABLES, concept_id

if TYPE_CHECKING:
    from collections.abc import Iterable


def first_letters(named: Iterable[str], token_concepts: pa.Table | None = None) -> pa.Table:
    """Return the concepts of the first letters in a suite, as rows of the table concepts.

    Parameters
    ----------
    named : iterable of str
        Concepts for which the suite has rows; may contain duplicates.
    token_concepts : pyarrow.Table, optional
        Rows of the table token_concepts, to count the tokens of each letter; without rows the numbers are NULL.
    """
    numbers = Counter[str](() if token_concepts is None else token_concepts["concept"].to_pylist())
    concepts = {*named, *numbers}
    rows = [
        {
            "concept": concept_id(letter),
            "family": "first-letter",
            "label": letter.upper(),
            "phrase": f"starts with {letter.upper()}",
            "position": position,
            "num_tokens": numbers[concept_id(letter)] if numbers else None,
        }
        for position, letter in enumerate(LETTERS)
        if concept_id(letter) in concepts
    ]
    return pa.Table.from_pylist(rows, arrow_schema(TABLES["concepts"].columns))
