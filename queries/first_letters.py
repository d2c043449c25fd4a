"""The concepts of first letters."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa

from queries.conform import arrow_schema
from queries.schema import LETTERS, TABLES, concept_id

if TYPE_CHECKING:
    from collections.abc import Iterable


def first_letters(named: Iterable[str], told: pa.Table | None = None) -> pa.Table:
    """List the letters that a suite is about, as rows of the table concepts.

    Parameters
    ----------
    named : iterable of str
        Concepts that the suite has rows of; repeated ones count once.
    told : pyarrow.Table, optional
        Rows of token_concepts, which count the tokens of each; where there are none, their number is not known.
    """
    numbers = Counter[str](() if told is None else told["concept"].to_pylist())
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
