"""The concepts of a suite and their families, as a reader chooses among them."""

from __future__ import annotations

from typing import NamedTuple


class Concept(NamedTuple):
    """One concept.

    Attributes
    ----------
    id : str
        Its name in questions and addresses, as in first-letter.s.
    family : str
        Id of its family.
    label : str
        What is shown of it, as in S.
    phrase : str
        What is said of its tokens, as in "starts with S".
    parent : str or None
        The concept of which it is a kind.
    """

    id: str
    family: str
    label: str
    phrase: str
    parent: str | None = None


class Family(NamedTuple):
    """Concepts of one kind.

    Attributes
    ----------
    id : str
    title : str
        As in "First letters".
    noun : str
        What one of them is called, as in "letter".
    """

    id: str
    title: str
    noun: str


def plural(noun: str) -> str:
    """Return the plural of a noun: letters, suffixes, properties, parts of speech."""
    noun, of, rest = noun.partition(" of ")
    return f"{_plural(noun)}{of}{rest}"


def _plural(noun: str) -> str:
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "x", "ch", "sh")) else f"{noun}s"
