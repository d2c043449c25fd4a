"""The command ``absorption-explorer``, but a question that a file names takes for ever: python slow_command.py FILE ...

A file beside it, ending in .asked, tells that the question runs. Questions are given up after two seconds.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path

import queries.store
from explorer.cli import main
from queries import Query, Store, catalog

#: On one core, that the others may go on.
FOR_EVER = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers) SELECT max(n) FROM numbers"
SECONDS = float(os.environ.get("QUESTION_SECONDS", "2"))

named = Path(sys.argv.pop(1))


def slowed() -> dict[str, Query]:
    """Return the catalogue as it is now."""
    found = dict(catalog())
    name = named.read_text() if named.exists() else ""
    if name in found:
        slow = f"SELECT answer.* FROM ({found[name].sql}) AS answer WHERE ({FOR_EVER}) > 0"  # noqa: S608
        found[name] = replace(found[name], sql=slow)
        named.with_suffix(".asked").touch()
    return found


vars(queries.store)["catalog"] = slowed
(Store.__init__.__kwdefaults__ or {})["timeout"] = SECONDS
main()
