"""The one way to DuckDB: a database in memory that reads what it is allowed to, writes nothing and loads nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from queries.literal import literal
from queries.location import is_url, pattern, reach

if TYPE_CHECKING:
    from collections.abc import Collection

    from queries.location import Location

#: What a database may take; what needs more fails, for nothing is moved to disk.
_MEMORY_LIMIT = "2GB"


def connect(roots: Collection[Location] = ()) -> duckdb.DuckDBPyConnection:
    """Open an empty database that can read what lies at `roots`, and no other file.

    Raises
    ------
    SuiteError
        Where a root is a URL and httpfs is not installed.
    """
    connection = duckdb.connect(
        config={
            "memory_limit": _MEMORY_LIMIT,
            "temp_directory": "",
            "max_temp_directory_size": "0B",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "preserve_insertion_order": True,
        },
    )
    try:
        connection.execute("SET enable_progress_bar = false")
        # Without it each question reads the footers of its files again. DuckDB reads a changed file's footer again.
        connection.execute("SET parquet_metadata_cache = true")
        reach(connection, roots)
        # A URL is allowed as a prefix: with the slash, lest /suite allow /suite-of-others. A folder is allowed also as
        # it is written in a pattern, for DuckDB compares the text that it is given.
        folders = {
            folder for root in roots for folder in ([f"{root}/"] if is_url(root) else [str(root), pattern(root)])
        }
        connection.execute(f"SET allowed_directories = {literal(sorted(folders))}")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
    except BaseException:
        connection.close()
        raise
    return connection
