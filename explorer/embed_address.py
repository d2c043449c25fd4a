"""Addresses of embedded views: ``?embed=cosine&dark=1``."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

_EMBED, _DARK = "embed", "dark"


class RequestedView(NamedTuple):
    """The parsed query of an address.

    Attributes
    ----------
    embed : str or None
        Name of the embedded view; None for the whole page.
    dark : bool or None
        Its theme; None for that of the visitor.
    query : str
        The remaining query, which sets the state.
    """

    embed: str | None
    dark: bool | None
    query: str


def parse_address(query: str) -> RequestedView:
    """Parse the query of an address."""
    pairs = parse_qsl(query.removeprefix("?"), keep_blank_values=True)
    given = dict(pairs)
    if _EMBED not in given:
        return RequestedView(None, None, query)
    rest = urlencode([(key, value) for key, value in pairs if key not in (_EMBED, _DARK)])
    return RequestedView(given[_EMBED], {"0": False, "1": True}.get(given.get(_DARK, "")), rest)


def embed_query(embed: str, *, dark: bool | None = None) -> str:
    """Return the part of a query that requests an embedded view."""
    return urlencode({_EMBED: embed} | ({} if dark is None else {_DARK: int(dark)}))
