"""List the files of S3 buckets, also on other stores with its protocol, and sign their addresses."""

from __future__ import annotations

import os
from datetime import timedelta
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from ingest.web import READ_SECONDS, RemoteError, RemoteFile, UnreachableError
from queries.location import s3_endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Validity of a signed address; each is created just before it is used.
_SIGNED = timedelta(hours=1)
_RETRIES = 2


def list_bucket(url: str, *, is_file: bool) -> Iterator[RemoteFile]:
    """List the files below an address, or a single file.

    Credentials come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION);
    without them, requests are not signed. AWS_ENDPOINT_URL selects a store other than Amazon's.

    Parameters
    ----------
    url : str
        s3://BUCKET/PATH
    is_file : bool
        Whether the path is that of a file.
    """
    parts = urlsplit(url)
    bucket, inside = parts.netloc, parts.path.strip("/")
    try:
        library = import_module("obstore")
    except ImportError as error:
        message = "needs the package obstore; install it with pip install 'absorption-explorer[remote]'"
        raise RemoteError(message) from error
    # Without skip_signature, the library would request credentials from the network if there are none.
    is_signed = "AWS_ACCESS_KEY_ID" in os.environ
    try:
        store = import_module("obstore.store").S3Store(
            bucket,
            skip_signature=not is_signed,
            client_options={"allow_http": True, "timeout": timedelta(seconds=READ_SECONDS)},
            retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=READ_SECONDS)},
        )
        if is_file:
            found = [library.head(store, inside)]
        else:
            found = [entry for page in library.list(store, prefix=inside or None) for entry in page]
    except FileNotFoundError as error:
        raise RemoteError("404 Not Found") from error
    except library.exceptions.BaseError as error:
        raise _failure(error) from error

    def where(path: str) -> tuple[str, Mapping[str, str]]:
        return library.sign(store, "GET", path, _SIGNED) if is_signed else _unsigned(bucket, path), {}

    folder = inside.rpartition("/")[0] if is_file else inside
    for entry in found:
        path = entry["path"]
        yield RemoteFile(
            path=path.removeprefix(folder).lstrip("/"),
            where=partial(where, path),
            size=entry["size"],
            identity=entry["e_tag"],
        )


def _unsigned(bucket: str, path: str) -> str:
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return f"{s3_endpoint() or f'https://s3.{region}.amazonaws.com'}/{bucket}/{quote(path)}"


def _failure(error: Any) -> RemoteError:
    """Return the error with the store's answer, which is the end of the first line of the library's message."""
    answer = str(error).partition("\n")[0].rpartition(" - ")[2].strip(" :")
    return UnreachableError("no answer from its store") if answer.startswith("HTTP error") else RemoteError(answer)
