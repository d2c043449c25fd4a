"""The suites of a server: those with which it was started, and those that visitors open, if that is allowed."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from enum import Enum
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, overload
from urllib.parse import urlsplit
from weakref import finalize

from explorer.store import EMBEDDED, open_suites, suites_of
from queries import SuiteError, locate
from queries.location import is_url
from queries.manifest import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from explorer.store import Log, Progress
    from ingest.catalogue import Entry

#: Addresses that only this machine can reach.
_OWN_ADDRESSES = ("127.0.0.1", "::1", "localhost")
#: Environment variable with origins for Bokeh's websockets, which overrides the option.
_BOKEH_ORIGINS = "BOKEH_ALLOW_WS_ORIGIN"
#: Headers that a proxy adds; those of X-Forwarded-... have many names.
_FORWARDED, _FORWARDED_PREFIX = ("forwarded", "via", "x-real-ip"), "x-forwarded-"


class MayOpen(Enum):
    """Which further sources visitors may open."""

    NOTHING = "nothing"
    CATALOGUE = "catalogue"
    ANYTHING = "anything"


def may_open(*, wanted: bool | None, address: str | None, is_behind_proxy: bool) -> MayOpen:
    """Return which further sources visitors may open.

    Visitors who may open anything can read the files of the server's owner. So this is allowed only if the server is
    reachable from its own machine only, and not behind a proxy.

    Parameters
    ----------
    wanted : bool or None
        The owner's choice; None for the default.
    address : str or None
        Address at which the server listens, None for all.
    is_behind_proxy : bool
        Whether visitors can come through a proxy; Bokeh's variable for origins implies the same.
    """
    is_alone = address in _OWN_ADDRESSES and not is_behind_proxy and not os.environ.get(_BOKEH_ORIGINS)
    if wanted is False or (wanted is None and not is_alone):
        return MayOpen.NOTHING
    return MayOpen.ANYTHING if is_alone else MayOpen.CATALOGUE


def is_local_request(headers: Mapping[str, str]) -> bool:
    """Return whether a request comes from this machine and not through a proxy, according to its headers."""
    try:
        host = urlsplit(f"//{headers.get('Host', '')}").hostname
    except ValueError:
        return False
    names = [name.lower() for name in headers]
    return host in _OWN_ADDRESSES and not any(
        name in _FORWARDED or name.startswith(_FORWARDED_PREFIX) for name in names
    )


class Served(Sequence[str]):
    """The suites of a server, shared by all of its processes.

    A session keeps the suites that were available when it began.

    Parameters
    ----------
    paths : iterable of str
        Suites with which it is started; by default the embedded ones.
    may_open : MayOpen

    Attributes
    ----------
    may_open : MayOpen
    """

    def __init__(self, paths: Iterable[str] = (), may_open: MayOpen = MayOpen.NOTHING) -> None:
        self.may_open = may_open
        self._first = tuple(paths)
        self._added: int | None = None
        if may_open is not MayOpen.NOTHING:
            self._first = self._first or tuple(map(str, EMBEDDED))
            # An unnamed file, to which each process appends; it is deleted when the last process closes it.
            with TemporaryFile("ab+") as file:
                self._added = os.dup(file.fileno())
            finalize(self, os.close, self._added)

    def open(self, source: str, progress: Progress, log: Log) -> str:
        """Add the suites of a source for new sessions; return the name of the first.

        Raises
        ------
        SuiteError
            If it may not be opened, cannot be opened, or not together with the others.
        """
        names = {entry.name for entry in self.catalogue()}
        if self._added is None or (self.may_open is MayOpen.CATALOGUE and source not in names):
            raise SuiteError("this server does not open this source")
        places = [str(locate(place)) for place in suites_of(source, progress=progress, log=log)]
        new = [place for place in places if place not in self]
        with open_suites(*self, *new) as store:  # fails if they cannot be opened together
            name = next(name for name, suite in store.suites.items() if str(suite.root) == places[0])
        os.write(self._added, b"".join(json.dumps(place).encode() + b"\n" for place in new))
        return name

    def catalogue(self) -> list[Entry]:
        """Return the entries of the catalogue that can be opened; empty if nothing may be opened."""
        if self.may_open is MayOpen.NOTHING:
            return []
        entries: list[Entry] = import_module("ingest.catalogue").read_catalogue().entries
        return entries

    @property
    def _all(self) -> tuple[str, ...]:
        if self._added is None:
            return self._first
        held = os.pread(self._added, os.fstat(self._added).st_size, 0)
        added = dict.fromkeys(json.loads(line) for line in held.splitlines())
        # A removed suite, for example from a cleared cache, must not prevent serving the others.
        return (*self._first, *(each for each in added if is_url(each) or Path(each, MANIFEST).exists()))

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        return self._all[index]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)
