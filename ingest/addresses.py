"""List the contents of an address: a suite, which is read in place, or files with results."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from ingest import limits
from ingest.files import is_read
from ingest.hugging_face import list_repository
from ingest.object_store import list_bucket
from ingest.web import RemoteError, RemoteFile, first_bytes, get, identity, status_line
from queries.manifest import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import requests

#: Schemes of addresses with results; suites may have others, too (`queries.location`).
SCHEMES = ("https://", "http://", "hf://", "s3://")
#: Suffixes of single files with results, and of archives.
_FILES = (".json", ".parquet", ".csv", ".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz")
_SHOWN = 100


@dataclass(frozen=True)
class Listing:
    """The contents of an address.

    Attributes
    ----------
    files : sequence of RemoteFile
        The files; empty for a suite on a web server, which cannot be listed.
    is_suite : bool
    is_file : bool
        Whether the address is that of a file.
    """

    files: Sequence[RemoteFile] = ()
    is_suite: bool = False
    is_file: bool = False

    @property
    def fingerprint(self) -> str | None:
        """A hash that changes with the contents; None if changes cannot be detected."""
        if any(file.identity is None for file in self.files):
            return None
        identities = [(file.path, file.size, file.identity) for file in self.files]
        return sha256(json.dumps(identities).encode()).hexdigest()


def list_address(url: str, patterns: Collection[str] = ()) -> Listing:
    """List the contents of an address.

    Parameters
    ----------
    url : str
    patterns : collection of str
        Shell patterns of the files to list in a folder, in which * also matches slashes; empty for all files.

    Raises
    ------
    RemoteError
        If there is nothing that could be results.
    UnreachableError
        If there is no answer.
    """
    url = url.rstrip("/")
    is_file = urlsplit(url).path.lower().endswith(_FILES)
    if url.startswith(("https://", "http://")):
        return _list_web(url, is_file=is_file)
    found = (list_repository if url.startswith("hf://") else list_bucket)(url, is_file=is_file)
    files = []
    for file in found:
        files.append(file)
        _check_path(file.path)
        if len(files) > limits.ENTRIES:
            raise RemoteError(f"holds more than {limits.ENTRIES:,} files; give the address of the results only")
    if not files:
        raise RemoteError("holds no files")
    if is_file:
        return Listing(files, is_file=True)
    manifest = next((file for file in files if file.path == MANIFEST), None)
    if manifest and is_suite_manifest(manifest.content(limits.MANIFEST)):
        return Listing(files, is_suite=True)
    wanted = [file for file in files if _is_wanted(file.path, patterns)]
    if not wanted:
        raise RemoteError(f"holds no results: none of its {len(files):,} files has a known type")
    return Listing(wanted)


def is_suite_manifest(manifest: bytes) -> bool:
    """Return whether a manifest.json is that of a suite; other formats have files of that name, too."""
    return b'"format_version"' in manifest


def _check_path(name: str) -> None:
    """Reject names that are invalid as file names, or that would be outside the folder."""
    path = PurePosixPath(name)
    is_within = bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name
    if not is_within or len(path.parts) > limits.DEPTH:
        raise RemoteError(f"lists a file that no folder can hold: {name[:_SHOWN]!r}")


def _is_wanted(name: str, patterns: Collection[str]) -> bool:
    return is_read(name) and (not patterns or any(fnmatchcase(name, pattern) for pattern in patterns))


def _list_web(url: str, *, is_file: bool) -> Listing:
    """Look for a suite at an address on a web server, otherwise for a file; folders cannot be listed."""
    if not is_file and not urlsplit(url).query:
        with get(f"{url}/{MANIFEST}") as response:
            if response.ok and is_suite_manifest(first_bytes(response, limits.MANIFEST)):
                return Listing(is_suite=True)
    with get(url) as response:
        if not response.ok:
            no_suite = "" if is_file else f", and has no {MANIFEST} of a suite below it"
            raise RemoteError(f"{status_line(response)}{no_suite}")
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise RemoteError("is a web page; give the address of a suite, or of a file or an archive of results")
        length = response.headers.get("Content-Length", "")
        file = RemoteFile(
            path=_name(response, url),
            where=lambda: (url, {}),
            size=int(length) if length.isdecimal() else None,
            identity=identity(response),
        )
        return Listing([file], is_file=True)


def _name(response: requests.Response, url: str) -> str:
    """Return the name of a file, from the response's headers or else from its address."""
    found = re.search(r'filename="?([^";]+)', response.headers.get("Content-Disposition", ""))
    name = PurePosixPath(unquote(found[1] if found else urlsplit(url).path)).name
    return re.sub(r"[^\w.+-]", "_", name[-_SHOWN:]).lstrip(".") or "results"
