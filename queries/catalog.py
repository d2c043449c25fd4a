"""The catalogue of queries: every ``.sql`` file of this folder, with its header.

A file begins with a comment that states what a row is, then lists parameters, columns and, in the line `together`, the
parameter for which NULL means all values, if any::

    -- One row per letter of the alphabet.
    -- params: suite VARCHAR, layer INTEGER
    -- columns: letter VARCHAR, num_tested BIGINT
    SELECT ...

Parameters have the names of the explorer's state and of the keys of its URL.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOGETHER = re.compile(r"(\w+)(?: \((\w+)\))?(?: of (\w+))?(?: without (\w+))?")
_FIELD = re.compile(r"(\w+) ([A-Z]+(?:\[\]|\([A-Z, ]+\))?)")


class Together(NamedTuple):
    """The parameter for whose values a query can be run together.

    Attributes
    ----------
    param, column : str
        The parameter for which NULL means all values, and the column that contains the value of each row.
    of, without : str
        Conditions: the parameter `of` must be a list of one value, and `without` NULL; empty if there is none.
    """

    param: str
    column: str
    of: str
    without: str

    def fits(self, params: Mapping[str, Any]) -> bool:
        """Return whether the result for these parameters can be selected from the result for all values."""
        return (
            params[self.param] is not None
            and (not self.of or len(params[self.of] or ()) == 1)
            and (not self.without or params[self.without] is None)
        )


@dataclass(frozen=True)
class Query:
    """One query: its SQL and its header.

    Attributes
    ----------
    name : str
        Stem of the file.
    doc : str
        What a row is.
    params, columns : dict of str to str
        Names and DuckDB types, in order.
    together : Together or None
        The parameter for whose values the query can be run together, which takes little longer than for one value.
    sql : str
        The statement, with ``$name`` for each parameter.
    """

    name: str
    doc: str
    params: dict[str, str]
    columns: dict[str, str]
    sql: str
    together: Together | None = None


def parse_query(name: str, text: str) -> Query:
    """Parse the header and the statement of one ``.sql`` file."""
    comment: list[str] = []
    sql: list[str] = []
    for line in text.splitlines():
        (comment if line.startswith("--") and not sql else sql).append(line)
    header: dict[str, str] = {"doc": ""}
    field = "doc"
    for line in comment:
        content = line.removeprefix("--").strip()
        label = re.match(r"(params|together|columns):\s*(.*)", content)
        if label:
            field, content = label.groups()
            header[field] = ""
        header[field] = f"{header[field]} {content}".strip()
    return Query(
        name=name,
        doc=header["doc"],
        params=dict(_FIELD.findall(header.get("params", ""))),
        columns=dict(_FIELD.findall(header.get("columns", ""))),
        sql="\n".join(sql).strip().rstrip(";"),
        together=_together(header["together"]) if "together" in header else None,
    )


def _together(text: str) -> Together:
    """Parse ``param (column) of param without param``; everything but the first is optional."""
    param, column, of, without = _TOGETHER.fullmatch(text).groups()  # type: ignore[union-attr]
    return Together(param, column or param, of or "", without or "")


@cache
def catalog() -> dict[str, Query]:
    """Return all queries by name."""
    return {name: parse_query(name, text) for name, text in _statements(".").items()}


@cache
def functions() -> dict[str, str]:
    """Return the statements of ``functions/*.sql`` by name: scalar macros that use no table."""
    return _statements("functions")


@cache
def derived_views() -> dict[str, str]:
    """Return the statements of ``views/*.sql`` by name, in the order of the numbers in the file names."""
    return {name.partition("_")[2]: sql for name, sql in _statements("views").items()}


def _statements(folder: str) -> dict[str, str]:
    found = sorted((files(__package__) / folder).iterdir(), key=lambda file: file.name)
    return {
        file.name.removesuffix(".sql"): file.read_text(encoding="utf-8").strip()
        for file in found
        if file.name.endswith(".sql")
    }
