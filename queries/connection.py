"""Opens DuckDB: an in-memory database that reads only allowed files, writes none and loads no extensions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from queries.literal import literal
from queries.location import allow_access, is_url, pattern

if TYPE_CHECKING:
    from collections.abc import Collection

    from queries.location import Location

#: Memory limit of a database. A query that needs more fails, because nothing is spilled to disk.
_MEMORY_LIMIT = "2GB"


def connect(roots: Collection[Location] = ()) -> duckdb.DuckDBPyConnection:
    """Open an empty database that can read the files below `roots`, and no others.

    Raises
    ------
    SuiteError
        If a root is a URL and httpfs is not installed.
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
        # Otherwise each query would read the footers of its files again. DuckDB does so for changed files in any case.
        connection.execute("SET parquet_metadata_cache = true")
        allow_access(connection, roots)
        # A URL is allowed as a prefix, with the slash, so that /suite does not allow /suite-of-others. A folder is also
        # allowed with its special characters escaped, because DuckDB compares the text that it is given.
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
