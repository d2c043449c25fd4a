"""List the files of data set repositories on Hugging Face, at one commit."""

from __future__ import annotations

import json
import os
import re
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ingest import limits
from ingest.web import RemoteError, RemoteFile, first_bytes, get, status_line

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Environment variables of Hugging Face's own programs.
_ENDPOINT, _TOKEN = "HF_ENDPOINT", "HF_TOKEN"
_ADDRESS = re.compile(r"hf://datasets/([^/@]+/[^/@]+)(?:@([^/]+))?(?:/(.+))?")


def list_repository(url: str, *, is_file: bool) -> Iterator[RemoteFile]:
    """List the files of a repository or of a folder in it, or a single file.

    Parameters
    ----------
    url : str
        hf://datasets/OWNER/NAME[@REVISION][/PATH]
    is_file : bool
        Whether the path is that of a file.
    """
    found = _ADDRESS.fullmatch(url)
    if not found:
        raise RemoteError("is no data set of Hugging Face's; write it as hf://datasets/OWNER/NAME[@REVISION][/FOLDER]")
    repository, revision, inside = found[1], found[2] or "main", found[3] or ""
    folder = inside.rpartition("/")[0] if is_file else inside
    endpoint = os.environ.get(_ENDPOINT, "https://huggingface.co").rstrip("/")
    try:
        # All files are of the same commit, even if others are committed meanwhile.
        commit = _request(f"{endpoint}/api/datasets/{repository}/revision/{quote(revision, safe='')}")[0]["sha"]
        for entry in _entries(endpoint, f"{repository}/tree/{commit}/{folder}", recursive=not is_file):
            path = entry["path"]
            if entry["type"] == "file" and (not is_file or path == inside):
                url = f"{endpoint}/datasets/{repository}/resolve/{commit}/{quote(path)}"
                yield RemoteFile(
                    path=path.removeprefix(folder).lstrip("/"),
                    where=partial(_where, url),
                    size=int(entry["size"]),
                    identity=entry["oid"],
                    is_served=False,  # large files are served by another host with other headers
                    checksum=(entry.get("lfs") or {}).get("oid", ""),
                )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise RemoteError("its server answers in an unknown format") from error


def _entries(endpoint: str, place: str, *, recursive: bool) -> Iterator[dict[str, Any]]:
    """Yield the entries of a listing, page by page."""
    page: str | None = f"{endpoint}/api/datasets/{quote(place.rstrip('/'))}?recursive={str(recursive).lower()}"
    number = 0
    while page and page.startswith(f"{endpoint}/"):  # never send the token to another host
        entries, page = _request(page)
        number += len(entries)
        if number > limits.ENTRIES:
            raise RemoteError(f"holds more than {limits.ENTRIES:,} files; give the address of the results only")
        yield from entries
        if not entries:
            return


def _where(url: str) -> tuple[str, dict[str, str]]:
    return url, _authorization()


def _authorization() -> dict[str, str]:
    """Return the headers with the user's token; `requests` removes them when it is redirected to another host."""
    token = os.environ.get(_TOKEN)
    return {"Authorization": f"Bearer {token}"} if token else {}


def _request(url: str) -> tuple[Any, str | None]:
    """Return the parsed answer of the hub, and the address of the next page."""
    with get(url, _authorization()) as response:
        if not response.ok:
            token = "" if os.environ.get(_TOKEN) else f"; where it is not public, put a token into {_TOKEN}"
            raise RemoteError(f"{status_line(response)}{token}")
        return json.loads(first_bytes(response, limits.JSON)), response.links.get("next", {}).get("url")
