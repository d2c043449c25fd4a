"""The concepts of a suite and their families."""

from __future__ import annotations

from typing import NamedTuple


class Concept(NamedTuple):
    """One concept.

    Attributes
    ----------
    id : str
        Its id in queries and addresses, for example first-letter.s.
    family : str
        Id of its family.
    label : str
        Displayed label, for example S.
    phrase : str
        Phrase that is true of its tokens, for example "starts with S".
    parent : str or None
        The concept of which it is a kind.
    """

    id: str
    family: str
    label: str
    phrase: str
    parent: str | None = None


class Family(NamedTuple):
    """A family of concepts.

    Attributes
    ----------
    id : str
    title : str
        For example "First letters".
    noun : str
        Noun for one of its concepts, for example "letter".
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
