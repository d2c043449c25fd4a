"""What each number and heading means, in one sentence: the definitions that the whole interface opens."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Definition of each term, by the name that the term has in SQL, in parameters and in the URL.
GLOSSARY: Mapping[str, str] = MappingProxyType(
    tomllib.loads(files(__package__).joinpath("glossary.toml").read_text("utf-8")),
)


def definition(term: str) -> str:
    """Return the one-sentence definition of a term.

    Parameters
    ----------
    term : str
        Name of the term, for example ``"absorption_rate"``.

    Returns
    -------
    str
        Plain text; escape it like any other where it enters HTML.

    Raises
    ------
    KeyError
        If the glossary lacks the term.
    """
    return GLOSSARY[term]
