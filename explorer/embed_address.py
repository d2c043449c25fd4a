"""Addresses that ask for one view by itself, as in a frame of another page: ``?embed=cosine&dark=1``."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

_EMBED, _DARK = "embed", "dark"


class WantedView(NamedTuple):
    """What the query of an address asks for.

    Attributes
    ----------
    embed : str or None
        Name of the view that shall stand by itself; None for the whole page.
    dark : bool or None
        Its theme; None for what the reader has.
    query : str
        The rest, which is about the state.
    """

    embed: str | None
    dark: bool | None
    query: str


def wanted(query: str) -> WantedView:
    """Read the query of an address."""
    pairs = parse_qsl(query.removeprefix("?"), keep_blank_values=True)
    given = dict(pairs)
    if _EMBED not in given:
        return WantedView(None, None, query)
    rest = urlencode([(key, value) for key, value in pairs if key not in (_EMBED, _DARK)])
    return WantedView(given[_EMBED], {"0": False, "1": True}.get(given.get(_DARK, "")), rest)


def alone(embed: str, *, dark: bool | None = None) -> str:
    """Write the part of a query that asks for one view by itself."""
    return urlencode({_EMBED: embed} | ({} if dark is None else {_DARK: int(dark)}))
