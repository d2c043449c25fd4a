"""A question as one SQL text that runs by itself, in any DuckDB, against the suite's files."""

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

#: What a statement of this program reads or calls: keywords are in capitals, names are not.
_READS = re.compile(r"\b(?:FROM|JOIN) (\w+)|\b([a-z]\w*)\(")
_MAKES = re.compile(r"^CREATE (?=TABLE|VIEW|MACRO)", re.MULTILINE)
_WIDTH = 117
_WHERE = (
    "To be run in the folder in which the suite lies under its name; or say first which one that is:"
    " SET file_search_path = '...';"
)
_PARAM = re.compile(r"\$(\w+)")


def script(suites: Collection[Suite], query: Query, params: dict[str, Any], *, shared: bool = False) -> str:
    """Write out a question with its parameters and all that it stands on.

    Whatever is made is temporary, so that the text can be run again and leaves nothing behind.

    Parameters
    ----------
    suites : collection of Suite
    query : Query
    params : dict of str to object
        A value for each of the query's parameters.
    shared : bool
        Whether the text is for others, who need not know where the suites lie: paths then start with the suite's name.
        Otherwise they are those of the opened suites, relative where they lie in the working directory.

    Returns
    -------
    str
        Statements, of which the last is the question.
    """
    needed = _names(query.sql)
    made: list[str] = []
    for definition in reversed(list(definitions(suites))):
        if definition.name in needed:
            needed |= _names(definition.sql)
            made.append(_MAKES.sub("CREATE OR REPLACE TEMP ", definition.sql.strip()))
    values = [f"SET VARIABLE {name} = {literal(params[name], kind)};" for name, kind in query.params.items()]
    question = _PARAM.sub(r"getvariable('\1')", query.sql) + ";"
    text = "\n".join(
        [
            *(f"-- {line}" for line in textwrap.wrap(query.doc, _WIDTH)),
            *(f"-- {line}" for line in textwrap.wrap(_WHERE, _WIDTH) if shared),
            *("", "-- Its parameters.", *values),
            *("", "-- The tables, views and macros it stands on.", *reversed(made)),
            *("", "-- The question.", question, ""),
        ]
    )
    for suite in suites:
        root, here = _written(suite.root), Path.cwd()
        if shared:
            text = text.replace(f"{root}/", f"{suite.name}/")
        elif isinstance(suite.root, Path) and suite.root.is_relative_to(here):
            text = text.replace(f"{root}/", f"{_written(os.path.relpath(suite.root))}/")
    return text


def _written(folder: Path | str) -> str:
    """Write a folder as it stands within a literal."""
    return literal(pattern(folder))[1:-1]


def _names(sql: str) -> set[str]:
    """Return the names of all that a statement reads or calls; some more do no harm."""
    code = "\n".join(line.partition("--")[0] for line in sql.splitlines())
    return {name for pair in _READS.findall(code) for name in pair if name}
