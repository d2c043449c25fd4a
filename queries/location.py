"""Where a suite lies: a folder, or a URL that DuckDB's httpfs extension reads."""

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
#: How long a server may take to answer.
HTTP_SECONDS = 15
#: A package that carries DuckDB's own httpfs, for machines that cannot fetch extensions.
_PACKAGE = "duckdb_extension_httpfs"

#: What DuckDB takes for a pattern of names.
_SPECIAL = re.compile(r"[*?[]")

#: A folder, or the URL of one without a slash at its end.
Location = Path | str


def locate(path: Path | str) -> Location:
    """Make a folder's path absolute; a URL stays what it is."""
    return str(path).rstrip("/") if is_url(path) else Path(path).resolve()


def is_url(path: Path | str) -> bool:
    """Tell whether `path` lies elsewhere; a Path has lost the second slash of a URL, so URLs are given as text."""
    return str(path).startswith(_SCHEMES)


def place(root: Location, name: str) -> Location:
    """Return the file or folder `name` of the suite at `root`."""
    return root / name if isinstance(root, Path) else f"{root}/{name}"


def pattern(location: Location) -> str:
    """Write a file or folder as DuckDB's functions take it: they read a name as a pattern, which here means itself."""
    text = str(location)
    return text if is_url(text) else _SPECIAL.sub(r"[\g<0>]", text)


def reach(connection: duckdb.DuckDBPyConnection, roots: Iterable[Location]) -> None:
    """Let `connection` read what lies at `roots`, before it is locked.

    Credentials for s3:// come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION), and so does
    the address of a store that is not Amazon's (AWS_ENDPOINT_URL).

    Raises
    ------
    SuiteError
        Where one of them is a URL and httpfs is not installed.
    """
    remote = [str(root) for root in roots if is_url(root)]
    if not remote:
        return
    for url in remote:
        if _SPECIAL.search(url):
            message = f"{url}: DuckDB takes *, ? and [ for a pattern; give an address without them"
            raise SuiteError(message)
    # A locked store could not open the file of stored secrets, and httpfs looks there before each request.
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
        # No question can be interrupted while it waits for a server: one that does not answer is given up at the second
        # try, within the time that a question has.
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
    """Return the address of the store that s3:// means, empty where it is Amazon's."""
    return (os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "").rstrip("/")


def _extensions(folder: str) -> list[Path]:
    return sorted(Path(folder, "extensions", f"v{duckdb.__version__}").glob("httpfs.duckdb_extension"))


def file_problem(root: Path, name: str) -> str | None:
    """Say why the file `name` of the suite at `root` must not be opened; None where it may be.

    A link that leads out of the suite could show any file of this machine; a device or a pipe may never end.
    """
    try:
        real = (root / name).resolve(strict=True)
        is_file = real.is_file()
    except FileNotFoundError:
        return "missing"
    except (OSError, RuntimeError) as error:  # RuntimeError for links in a circle, before Python 3.13
        return f"cannot be read ({error.strerror if isinstance(error, OSError) else 'links in a circle'})"
    if not is_file:
        return "missing: what lies there is no regular file"
    if not real.is_relative_to(root):
        return "a link that leads out of the suite's folder; put the file itself in its place"
    return None
