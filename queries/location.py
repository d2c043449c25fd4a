"""The location of a suite: a folder, or a URL that DuckDB's httpfs extension reads."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import duckdb

from queries.literal import literal
from queries.manifest import SuiteError

if TYPE_CHECKING:
    from collections.abc import Iterable

_SCHEMES = ("https://", "http://", "s3://", "gs://", "r2://", "hf://")
#: Timeout of a server.
HTTP_SECONDS = 15
#: A package that contains DuckDB's httpfs extension, for machines that cannot download it.
_PACKAGE = "duckdb_extension_httpfs"

#: Characters that DuckDB interprets as a pattern of file names.
_SPECIAL = re.compile(r"[*?[]")

#: A folder, or the URL of one without a slash at its end.
Location = Path | str


def locate(path: Path | str) -> Location:
    """Return the absolute path of a folder, or a URL without its final slash."""
    return str(path).rstrip("/") if is_url(path) else Path(path).resolve()


def is_url(path: Path | str) -> bool:
    """Return whether `path` is a URL. URLs must be given as text, because a Path has lost their second slash."""
    return str(path).startswith(_SCHEMES)


def place(root: Location, name: str) -> Location:
    """Return the file or folder `name` of the suite at `root`."""
    return root / name if isinstance(root, Path) else f"{root}/{name}"


def pattern(location: Location) -> str:
    """Escape the name of a file or folder for DuckDB's functions, which interpret names as patterns."""
    text = str(location)
    return text if is_url(text) else _SPECIAL.sub(r"[\g<0>]", text)


def allow_access(connection: duckdb.DuckDBPyConnection, roots: Iterable[Location]) -> None:
    """Set up `connection` to read files at `roots`, before it is locked.

    Credentials for s3:// are read from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION), as is
    the address of a store other than Amazon's (AWS_ENDPOINT_URL).

    Raises
    ------
    SuiteError
        If one of them is a URL and httpfs is not installed.
    """
    remote = [str(root) for root in roots if is_url(root)]
    if not remote:
        return
    for url in remote:
        if _SPECIAL.search(url):
            message = f"{url}: DuckDB interprets *, ? and [ as a pattern; give an address without them"
            raise SuiteError(message)
    # httpfs reads the file of persistent secrets before each request, and a locked store may not open it.
    connection.execute("SET allow_persistent_secrets = false")
    spec = find_spec(_PACKAGE)
    packaged = [
        str(file) for folder in (spec and spec.submodule_search_locations) or () for file in _extensions(folder)
    ]
    for extension in ("httpfs", *(f"'{file}'" for file in packaged)):
        try:
            connection.execute(f"LOAD {extension}")
        except duckdb.Error:
            continue
        # A query cannot be interrupted while it waits for a server. So a server that does not respond fails after the
        # second attempt, within the timeout of a query.
        connection.execute(f"SET GLOBAL http_timeout = {HTTP_SECONDS}")
        connection.execute("SET GLOBAL http_retries = 1")
        if endpoint := s3_endpoint():
            parts = urlsplit(endpoint)
            connection.execute(f"SET GLOBAL s3_endpoint = {literal(parts.netloc + parts.path)}")
            connection.execute(f"SET GLOBAL s3_use_ssl = {parts.scheme == 'https'}")
            connection.execute("SET GLOBAL s3_url_style = 'path'")
            if not (os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")):
                connection.execute("SET GLOBAL s3_region = 'us-east-1'")  # which such stores expect where none is named
        return
    message = (
        f"{remote[0]}: needs DuckDB's httpfs extension; install it with"
        " python -c \"import duckdb; duckdb.sql('INSTALL httpfs')\", or with pip install 'absorption-explorer[remote]'"
    )
    raise SuiteError(message)


def s3_endpoint() -> str:
    """Return the address of the store for s3:// URLs, empty if it is Amazon's."""
    return (os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "").rstrip("/")


def _extensions(folder: str) -> list[Path]:
    return sorted(Path(folder, "extensions", f"v{duckdb.__version__}").glob("httpfs.duckdb_extension"))


def file_problem(root: Path, name: str) -> str | None:
    """Return why the file `name` of the suite at `root` must not be opened; None if it may be.

    A link out of the suite could expose any file of this machine; a device or a pipe may never end.
    """
    try:
        real = (root / name).resolve(strict=True)
        is_file = real.is_file()
    except FileNotFoundError:
        return "missing"
    except (OSError, RuntimeError) as error:  # RuntimeError for circular links, before Python 3.13
        return f"cannot be read ({error.strerror if isinstance(error, OSError) else 'circular links'})"
    if not is_file:
        return "missing: it is not a regular file"
    if not real.is_relative_to(root):
        return "a link to outside of the suite's folder; replace it by the file itself"
    return None
