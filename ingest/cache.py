"""A cache of imported suites, keyed by the content of the results; each is imported once, by one process at a time.

cache.json
    The version of this layout.
suites/KEY/
    entry.json, report.json, and the suite, or a folder of suites, under its name.
addresses/ID.json
    The entry of an address, and the fingerprint of its files.
downloads/ID/
    Files being downloaded, until they are imported.
locks/
    Empty lock files.
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
#: Version of the layout above.
VERSION = 1
_ENTRY = "entry.json"
_KEY_LENGTH = 16
#: Version of this program; another version may import more of the same results.
PROGRAM = version("absorption-explorer")

#: The entries that this process uses, each with the shared lock that prevents its removal. Locks are held until this
#: process and its forks end.
_HELD: dict[Path, int] = {}


class Entry(BaseModel):
    """The metadata of an entry."""

    #: Digest of the results' content, the program's version and the import's settings.
    key: str
    #: Its name, which is also that of the folder of its suites.
    name: str
    #: Where the results were when they were first imported.
    source: str
    imported: datetime
    program: str


class KnownAddress(BaseModel):
    """The last known contents of an address."""

    key: str
    #: None if changes of its files cannot be detected.
    fingerprint: str | None
    fetched: datetime


class Cache:
    """The user's cache; its folder is created if necessary.

    Parameters
    ----------
    progress : callable
        Called with the name of the current step, the work done, and the total.

    Raises
    ------
    SuiteError
        If its folder cannot be written, or has another version of the layout.
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
        """Return the error for a cache that cannot be written."""
        why = error.strerror or str(error)
        return SuiteError(f"{self.root}: the cache cannot be written ({why}); make room, or name another with {FOLDER}")

    def held(self, key: str) -> Path | None:
        """Return the folder of an entry's suites, or None if there is no such entry.

        The entry is locked, so that no other process removes it until this one ends.
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
        """Return the folder of an entry's suites, which is created if necessary and locked as in `held`.

        Parameters
        ----------
        key : str
        name : str
            Name of the folder.
        source : str
            Where the results come from, for users.
        make : callable
            Creates the folder at the path that it is called with, and returns its report as JSON.
        """
        while (found := self.held(key)) is None:
            lock = self._open_lock(key)
            try:
                self._lock(lock, fcntl.LOCK_EX)
                if _read(self._place(key)) is None:  # otherwise another process has created it meanwhile
                    self._make(self._place(key), key, name, source, make)
            finally:
                os.close(lock)
        return found

    def _make(self, place: Path, key: str, name: str, source: str, make: Callable[[Path], str]) -> None:
        place.mkdir(exist_ok=True)
        # Archives that a killed process had unpacked.
        for left in place.glob(".*.source-*"):
            shutil.rmtree(left, ignore_errors=True)
        write_whole(place / "report.json", make(place / name))
        entry = Entry(key=key, name=name, source=source, imported=datetime.now(UTC), program=PROGRAM)
        write_whole(place / _ENTRY, entry.model_dump_json(indent=1))

    def _place(self, key: str) -> Path:
        return self.root / "suites" / key

    def entries(self) -> list[tuple[Entry, Path]]:
        """List the entries with their folders, most recently used first."""
        used: dict[Path, float] = {}
        for place in (self.root / "suites").iterdir():
            with suppress(FileNotFoundError):  # unfinished, or cleared meanwhile
                used[place] = (place / _ENTRY).stat().st_mtime
        places = sorted(used, key=used.__getitem__, reverse=True)
        return [(entry, place) for place in places if (entry := _read(place))]

    def clear(self, names: Collection[str] = ()) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Remove entries by name or key, or everything in the cache.

        Entries that another process uses or is creating are kept.

        Returns
        -------
        tuple of list of (str, str)
            Name and key of what was removed, and of what was kept.
        """
        removed: list[tuple[str, str]] = []
        kept: list[tuple[str, str]] = []
        try:
            names_by_key = {place.name: entry.name for entry, place in self.entries()}
            for place in sorted((self.root / "suites").iterdir()):
                name_and_key = names_by_key.get(place.name, "begun"), place.name
                if not names or not set(names).isdisjoint(name_and_key):
                    (removed if self._remove(place) else kept).append(name_and_key)
            if not names:
                for place in sorted((self.root / "downloads").iterdir()):
                    (removed if self._remove(place) else kept).append(("download", place.name))
                for file in (self.root / "addresses").iterdir():
                    file.unlink(missing_ok=True)
        except OSError as error:
            raise self.unwritable(error) from error
        return removed, kept

    def _remove(self, place: Path) -> bool:
        """Remove a folder unless it is locked; return whether it was removed."""
        lock = self._open_lock(place.name)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            (place / _ENTRY).unlink(missing_ok=True)  # first, so that a partly removed folder is not an entry
            shutil.rmtree(place)
            return True
        finally:
            os.close(lock)

    def known(self, address: str) -> KnownAddress | None:
        """Return the last known contents of an address, or None if their entry no longer exists."""
        try:
            found = KnownAddress.model_validate_json(self._address_file(address).read_bytes())
        except (OSError, ValidationError):
            return None
        return found if _read(self._place(found.key)) else None

    def note(self, address: str, key: str, fingerprint: str | None) -> None:
        """Store the contents of an address."""
        known = KnownAddress(key=key, fingerprint=fingerprint, fetched=datetime.now(UTC))
        write_whole(self._address_file(address), known.model_dump_json())

    def _address_file(self, address: str) -> Path:
        return self.root / "addresses" / f"{digest(address)}.json"

    @contextmanager
    def downloading(self, address: str) -> Iterator[Path]:
        """Yield the download folder of an address to one process at a time; it is removed if the block succeeds."""
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
    """Return the folder of the cache."""
    named = os.environ.get(FOLDER)
    return Path(named).absolute() if named else platformdirs.user_cache_path("absorption-explorer")


def digest(text: str) -> str:
    """Return a hash of a text that is a valid file name of fixed length."""
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_KEY_LENGTH]


def _read(place: Path) -> Entry | None:
    """Return the metadata of an entry, or None if it is missing or damaged; such entries are created again."""
    try:
        return Entry.model_validate_json((place / _ENTRY).read_bytes())
    except (OSError, ValidationError):
        return None


def write_whole(file: Path, text: str) -> None:
    """Write a file atomically."""
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(file)
