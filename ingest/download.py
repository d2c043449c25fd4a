"""Download files to a folder: several at a time, within limits; interrupted downloads are resumed."""

from __future__ import annotations

import re
import shutil
from concurrent.futures import ThreadPoolExecutor, as_completed
from http import HTTPStatus
from threading import Event, Lock
from typing import TYPE_CHECKING

import requests

from ingest import limits
from ingest.web import PIECE, RemoteError, UnreachableError, identity, status_line, why
from queries.suite import checksum

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ingest.web import RemoteFile

    Progress = Callable[[str, int, int], None]

#: Number of simultaneous downloads.
_PARALLEL = 8
#: Seconds to wait before each retry of an interrupted download; any progress resets the sequence.
PAUSES: Sequence[float] = (1, 2, 5, 10)
#: Status codes of errors that may be temporary.
_TEMPORARY = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}


class _CutOffError(Exception):
    """A download was interrupted; the part that was received is kept."""


class _Fetch:
    """The state that download threads share.

    Parameters
    ----------
    files : sequence of RemoteFile
    folder : Path
    progress : callable
        Called with the name of the step, and the received and total number of MB.
    """

    def __init__(self, files: Sequence[RemoteFile], folder: Path, progress: Progress) -> None:
        self.folder = folder
        self.stopped = Event()
        self._progress = progress
        self._total = sum(file.size or 0 for file in files)
        self._here: dict[str, int] = {}
        self._sum = 0
        self._lock = Lock()
        free = int(limits.FREE_SHARE * shutil.disk_usage(folder).free) + _size_of(folder)
        self._most = min(limits.UNPACKED, free)
        self._why = "the disk of the cache has room for" if free == self._most else "is read at most"
        self._check(self._total)

    def _check(self, size: int) -> None:
        if size > self._most:
            has, most = (f"{number / limits.MB:,.0f} MB" for number in (size, self._most))
            raise RemoteError(f"has {has}, more than the {most} that {self._why}")

    def note(self, file: RemoteFile, size: int) -> None:
        """Record the number of received bytes of a file."""
        with self._lock:
            self._sum += size - self._here.get(file.path, 0)
            self._here[file.path] = size
            self._check(self._sum)
            self._progress("Downloading (MB)", self._sum // limits.MB, max(self._total, self._sum) // limits.MB)


def download(files: Sequence[RemoteFile], folder: Path, progress: Progress) -> None:
    """Download files to a folder.

    Files that an earlier call has downloaded are not downloaded again, so use a new folder if the files have changed.

    Parameters
    ----------
    files : sequence of RemoteFile
    folder : Path
        An existing folder.
    progress : callable
        Called with the name of the step, and the received and total number of MB.

    Raises
    ------
    RemoteError
        If a file cannot be downloaded, or their size exceeds `ingest.limits` or the free disk space. Files and parts
        that were received are kept.
    OSError
        If the folder cannot be written.
    """
    fetch = _Fetch(files, folder, progress)
    with ThreadPoolExecutor(_PARALLEL) as pool:
        tasks = [pool.submit(_fetch, fetch, file) for file in files]
        try:
            for task in as_completed(tasks):
                task.result()
        except BaseException:  # including KeyboardInterrupt
            fetch.stopped.set()
            pool.shutdown(cancel_futures=True)
            raise


def _fetch(fetch: _Fetch, file: RemoteFile) -> None:
    """Download one file; retry as long as tries make progress, and a few times more."""
    target = fetch.folder / file.path
    if target.exists():
        fetch.note(file, target.stat().st_size)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    most, failures = 0, 0
    while not fetch.stopped.is_set():
        try:
            _fetch_rest(fetch, file, part)
        except (_CutOffError, UnreachableError) as error:
            here = _size_of(part)
            failures = failures + 1 if here <= most else 1
            most = max(most, here)
            if failures > len(PAUSES):
                raise RemoteError(f"{file.path}: {error}, {failures} times in a row; run the command again") from error
            fetch.stopped.wait(PAUSES[failures - 1])
        else:
            if file.checksum and checksum(part) != file.checksum:
                part.unlink()
                raise RemoteError(f"{file.path}: was damaged in the download; run the command again")
            part.rename(target)
            return


def _fetch_rest(fetch: _Fetch, file: RemoteFile, part: Path) -> None:
    """Download the missing part of a file."""
    here = _size_of(part)
    if here and here == file.size:
        return
    with file.open(here) as response:
        _check_answer(file, response)
        # Servers without support for ranges send the whole file; a part other than the requested one is an error.
        ranged = response.status_code == HTTPStatus.PARTIAL_CONTENT
        if ranged != bool(here) or (ranged and not _starts_at(response, here)):
            here = 0
            if ranged:
                part.unlink()
                raise _CutOffError("the server sent another part than requested")
        with part.open("ab" if here else "wb") as stream:
            try:
                for piece in response.iter_content(PIECE):
                    stream.write(piece)
                    here += len(piece)
                    fetch.note(file, here)
                    if fetch.stopped.is_set():
                        return
            except requests.RequestException as error:
                raise _CutOffError(why(error)) from error
    if file.size not in {None, here}:
        if here > (file.size or 0):
            part.unlink()
        raise _CutOffError(f"{here:,} of {file.size:,} bytes came")


def _check_answer(file: RemoteFile, response: requests.Response) -> None:
    status = response.status_code
    if status in _TEMPORARY:
        raise _CutOffError(status_line(response))
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or (file.is_served and identity(response) != file.identity):
        raise RemoteError(f"{file.path}: changed during the download; run the command again")
    if status not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
        raise RemoteError(f"{file.path}: {status_line(response)}")


def _starts_at(response: requests.Response, start: int) -> bool:
    return bool(re.match(rf"bytes {start}-", response.headers.get("Content-Range", "")))


def _size_of(path: Path) -> int:
    """Return the size of a file, or of all files in a folder, in bytes; 0 if it does not exist."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size if path.exists() else 0
