"""The questions that can be asked: every ``.sql`` file of this folder, with its contract.

A file opens with a comment that says what a row is, then lists parameters, the one that is asked for all values
together, if any, and columns::

    -- One row per letter of the alphabet.
    -- params: suite VARCHAR, layer INTEGER
    -- columns: letter VARCHAR, num_tested BIGINT
    SELECT ...

Parameters carry the same names as the fields of the explorer's state and the keys of its URL.
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
    """What a question can be asked for together.

    Attributes
    ----------
    param, column : str
        The parameter, of which NULL asks for all values, and the column in which each row has its own.
    of, without : str
        Parameters of which then the first is a list of one value, and the other NULL; empty where there is none.
    """

    param: str
    column: str
    of: str
    without: str

    def fits(self, params: Mapping[str, Any]) -> bool:
        """Tell whether a question with these parameters is one of several that can be asked together."""
        return (
            params[self.param] is not None
            and (not self.of or len(params[self.of] or ()) == 1)
            and (not self.without or params[self.without] is None)
        )


@dataclass(frozen=True)
class Query:
    """One question: its SQL and what it promises.

    Attributes
    ----------
    name : str
        Stem of the file.
    doc : str
        What a row is.
    params, columns : dict of str to str
        Names and DuckDB types, in order.
    together : Together or None
        What the question can be asked for together: for all values it takes little longer than for one.
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
    """Read the header and the statement of one ``.sql`` file."""
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
    """Read ``param (column) of param without param``, of which all but the first may be omitted."""
    param, column, of, without = _TOGETHER.fullmatch(text).groups()  # type: ignore[union-attr]
    return Together(param, column or param, of or "", without or "")


@cache
def catalog() -> dict[str, Query]:
    """Return all queries by name."""
    return {name: parse_query(name, text) for name, text in _statements(".").items()}


@cache
def functions() -> dict[str, str]:
    """Return the statements of ``functions/*.sql`` by what they make: macros that stand on no table."""
    return _statements("functions")


@cache
def derived_views() -> dict[str, str]:
    """Return the statements of ``views/*.sql`` by what they make, in the order of their numbered names."""
    return {name.partition("_")[2]: sql for name, sql in _statements("views").items()}


def _statements(folder: str) -> dict[str, str]:
    found = sorted((files(__package__) / folder).iterdir(), key=lambda file: file.name)
    return {
        file.name.removesuffix(".sql"): file.read_text(encoding="utf-8").strip()
        for file in found
        if file.name.endswith(".sql")
    }
