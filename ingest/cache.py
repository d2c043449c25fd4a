"""Suites that were made of results of others: kept by their content, made once, by one process at a time.

cache.json
    The version of this layout.
suites/KEY/
    entry.json, report.json, and the suite, or a folder of suites, called by its name.
addresses/ID.json
    Which entry an address has, and as what its files were listed then.
downloads/ID/
    What is being fetched, until it is imported.
locks/
    Files that are locked, and have no content.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from pydantic import BaseModel, ValidationError

from queries.manifest import SuiteError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

#: Environment variable with the folder of the cache.
FOLDER = "ABSORPTION_EXPLORER_CACHE"
#: Of the layout above.
VERSION = 1
_ENTRY = "entry.json"
_KEY_LENGTH = 16
#: What imports: another version may read more of the same results.
PROGRAM = version("absorption-explorer")

#: The entries that this process reads, each with the lock that keeps others from removing it. They are held until the
#: process ends, and by those that it forks.
_HELD: dict[Path, int] = {}


class Entry(BaseModel):
    """What is kept of an entry beside its suites."""

    #: By its content, and the program that imported it.
    key: str
    #: What it is called, as the folder of its suites is.
    name: str
    #: Where its results were when they were imported first.
    source: str
    imported: datetime
    program: str


class KnownAddress(BaseModel):
    """What lay at an address."""

    key: str
    #: None where it cannot be told whether its files have changed.
    fingerprint: str | None
    fetched: datetime


class Cache:
    """The cache of this user; a folder is made for it.

    Parameters
    ----------
    progress : callable
        Told what is being done, how much of it is done and how much there is.

    Raises
    ------
    SuiteError
        Where its folder cannot be written, or is of another version of this program.
    """

    def __init__(self, progress: Callable[[str, int, int], None] = lambda *_: None) -> None:
        self.root = folder()
        self._progress = progress
        try:
            for part in ("suites", "addresses", "downloads", "locks"):
                (self.root / part).mkdir(parents=True, exist_ok=True)
            layout = self.root / "cache.json"
            if not layout.exists():
                write_whole(layout, json.dumps({"version": VERSION}))
            found = json.loads(layout.read_bytes())["version"]
        except OSError as error:
            raise self.unwritable(error) from error
        except (ValueError, LookupError, TypeError) as error:
            message = f"{self.root / 'cache.json'}: is damaged; remove the folder, or name another with {FOLDER}"
            raise SuiteError(message) from error
        if found != VERSION:
            message = (
                f"{self.root}: is the cache of another version of this program ({found}, this one knows {VERSION});"
                f" name another folder with {FOLDER}"
            )
            raise SuiteError(message)

    def unwritable(self, error: OSError) -> SuiteError:
        """Say that the cache cannot be written, and why."""
        why = error.strerror or str(error)
        return SuiteError(f"{self.root}: the cache cannot be written ({why}); make room, or name another with {FOLDER}")

    def held(self, key: str) -> Path | None:
        """Return the folder of an entry's suites, None where it is not there.

        It stays until this process ends, whoever clears the cache.
        """
        place = self._place(key)
        if place not in _HELD:
            lock = self._open_lock(key)
            self._lock(lock, fcntl.LOCK_SH)
            if _read(place) is None:
                os.close(lock)
                return None
            _HELD[place] = lock
        entry = _read(place)
        if entry is None:  # this process itself has cleared it
            os.close(_HELD.pop(place))
            return None
        os.utime(place / _ENTRY)
        return place / entry.name

    def keep(self, key: str, name: str, source: str, make: Callable[[Path], str]) -> Path:
        """Return the folder of an entry's suites, which is made first where it is not there; it stays as in `held`.

        Parameters
        ----------
        key : str
        name : str
            Of the folder.
        source : str
            Where it comes from, as users are told.
        make : callable
            Takes the folder that is to be made, and returns its report as JSON.
        """
        while (found := self.held(key)) is None:
            lock = self._open_lock(key)
            try:
                self._lock(lock, fcntl.LOCK_EX)
                if _read(self._place(key)) is None:  # else another process has made it meanwhile
                    self._make(self._place(key), key, name, source, make)
            finally:
                os.close(lock)
        return found

    def _make(self, place: Path, key: str, name: str, source: str, make: Callable[[Path], str]) -> None:
        place.mkdir(exist_ok=True)
        # What an archive was unpacked to by a process that was killed.
        for left in place.glob(".*.source-*"):
            shutil.rmtree(left, ignore_errors=True)
        write_whole(place / "report.json", make(place / name))
        entry = Entry(key=key, name=name, source=source, imported=datetime.now(UTC), program=PROGRAM)
        write_whole(place / _ENTRY, entry.model_dump_json(indent=1))

    def _place(self, key: str) -> Path:
        return self.root / "suites" / key

    def entries(self) -> list[tuple[Entry, Path]]:
        """List the entries, those that were used last first, each with its folder."""
        used: dict[Path, float] = {}
        for place in (self.root / "suites").iterdir():
            with suppress(FileNotFoundError):  # begun, or cleared meanwhile
                used[place] = (place / _ENTRY).stat().st_mtime
        places = sorted(used, key=used.__getitem__, reverse=True)
        return [(entry, place) for place in places if (entry := _read(place))]

    def clear(self, names: Collection[str] = ()) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Remove entries by name or key, and without any all that is in the cache.

        What another process reads, or is making, is kept.

        Returns
        -------
        tuple of list of (str, str)
            Name and key of what was removed, and of what was kept.
        """
        removed: list[tuple[str, str]] = []
        kept: list[tuple[str, str]] = []
        try:
            of = {place.name: entry.name for entry, place in self.entries()}
            for place in sorted((self.root / "suites").iterdir()):
                told = of.get(place.name, "begun"), place.name
                if not names or not set(names).isdisjoint(told):
                    (removed if self._remove(place) else kept).append(told)
            if not names:
                for place in sorted((self.root / "downloads").iterdir()):
                    (removed if self._remove(place) else kept).append(("download", place.name))
                for file in (self.root / "addresses").iterdir():
                    file.unlink(missing_ok=True)
        except OSError as error:
            raise self.unwritable(error) from error
        return removed, kept

    def _remove(self, place: Path) -> bool:
        """Remove a folder that nobody holds."""
        lock = self._open_lock(place.name)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            (place / _ENTRY).unlink(missing_ok=True)  # first: what is left is no entry
            shutil.rmtree(place)
            return True
        finally:
            os.close(lock)

    def known(self, address: str) -> KnownAddress | None:
        """Return what lay at an address when it was asked last, None where its entry is not there any more."""
        try:
            found = KnownAddress.model_validate_json(self._address_file(address).read_bytes())
        except (OSError, ValidationError):
            return None
        return found if _read(self._place(found.key)) else None

    def note(self, address: str, key: str, fingerprint: str | None) -> None:
        """Note what lies at an address."""
        known = KnownAddress(key=key, fingerprint=fingerprint, fetched=datetime.now(UTC))
        write_whole(self._address_file(address), known.model_dump_json())

    def _address_file(self, address: str) -> Path:
        return self.root / "addresses" / f"{digest(address)}.json"

    @contextmanager
    def downloading(self, address: str) -> Iterator[Path]:
        """Give one process at a time the folder of what is fetched from an address; gone when the block ends well."""
        name = digest(address)
        lock = self._open_lock(name)
        try:
            self._lock(lock, fcntl.LOCK_EX)
            place = self.root / "downloads" / name
            place.mkdir(exist_ok=True)
            yield place
            shutil.rmtree(place)
        finally:
            os.close(lock)

    def _open_lock(self, name: str) -> int:
        return os.open(self.root / "locks" / name, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _lock(self, lock: int, kind: int) -> None:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            self._progress("Waiting for another process that imports the same results", 0, 1)
            fcntl.flock(lock, kind)


def folder() -> Path:
    """Return where the cache lies."""
    named = os.environ.get(FOLDER)
    return Path(named).absolute() if named else platformdirs.user_cache_path("absorption-explorer")


def digest(text: str) -> str:
    """Write a text as a name of fixed length."""
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_KEY_LENGTH]


def _read(place: Path) -> Entry | None:
    """Return what is kept of an entry; one that is not there, or damaged, is made again when it is asked for."""
    try:
        return Entry.model_validate_json((place / _ENTRY).read_bytes())
    except (OSError, ValidationError):
        return None


def write_whole(file: Path, text: str) -> None:
    """Write a file that nobody reads half of."""
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(file)
