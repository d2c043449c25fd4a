"""Writes a query as a standalone SQL script that runs in any DuckDB on the suite's files."""

from __future__ import annotations

import os
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from queries.definitions import definitions
from queries.literal import literal
from queries.location import pattern

if TYPE_CHECKING:
    from collections.abc import Collection

    from queries.catalog import Query
    from queries.suite import Suite

#: The tables and functions in a statement of this program, where keywords are in capitals and names are not.
_NAMES = re.compile(r"\b(?:FROM|JOIN) (\w+)|\b([a-z]\w*)\(")
_CREATES = re.compile(r"^CREATE (?=TABLE|VIEW|MACRO)", re.MULTILINE)
_WIDTH = 117
_WHERE = (
    "Run this in the folder that contains the suite under its name, or set that folder first:"
    " SET file_search_path = '...';"
)
_PARAM = re.compile(r"\$(\w+)")


def script(suites: Collection[Suite], query: Query, params: dict[str, Any], *, shared: bool = False) -> str:
    """Return a query as SQL, with its parameters and everything on which it depends.

    All objects that it creates are temporary, so that it can be run again and leaves nothing behind.

    Parameters
    ----------
    suites : collection of Suite
    query : Query
    params : dict of str to object
        A value for each of the query's parameters.
    shared : bool
        Whether the text is for others, who must not see where the suites are stored: paths then start with the suite's
        name. Otherwise they are those of the opened suites, relative if they are in the working directory.

    Returns
    -------
    str
        Statements, the last of which is the query.
    """
    needed = _names(query.sql)
    made: list[str] = []
    for definition in reversed(list(definitions(suites))):
        if definition.name in needed:
            needed |= _names(definition.sql)
            made.append(_CREATES.sub("CREATE OR REPLACE TEMP ", definition.sql.strip()))
    values = [f"SET VARIABLE {name} = {literal(params[name], kind)};" for name, kind in query.params.items()]
    question = _PARAM.sub(r"getvariable('\1')", query.sql) + ";"
    text = "\n".join(
        [
            *(f"-- {line}" for line in textwrap.wrap(query.doc, _WIDTH)),
            *(f"-- {line}" for line in textwrap.wrap(_WHERE, _WIDTH) if shared),
            *("", "-- Its parameters.", *values),
            *("", "-- The tables, views and macros that it uses.", *reversed(made)),
            *("", "-- The query.", question, ""),
        ]
    )
    for suite in suites:
        root, here = _escaped(suite.root), Path.cwd()
        if shared:
            text = text.replace(f"{root}/", f"{suite.name}/")
        elif isinstance(suite.root, Path) and suite.root.is_relative_to(here):
            text = text.replace(f"{root}/", f"{_escaped(os.path.relpath(suite.root))}/")
    return text


def _escaped(folder: Path | str) -> str:
    """Return a folder as it is written within a literal."""
    return literal(pattern(folder))[1:-1]


def _names(sql: str) -> set[str]:
    """Return the names of tables and functions in a statement; additional names do no harm."""
    code = "\n".join(line.partition("--")[0] for line in sql.splitlines())
    return {name for pair in _NAMES.findall(code) for name in pair if name}
