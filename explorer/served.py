"""What a server serves: the suites it was started with, and those that its readers open, where that is allowed."""

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

    from explorer.store import Progress, Say
    from ingest.catalogue import Entry

#: Addresses at which nobody but this machine is listened to, and by which its own browsers ask.
_OWN_ADDRESSES = ("127.0.0.1", "::1", "localhost")
#: Environment variable with the origins whose websockets Bokeh takes in place of those that it is told.
_BOKEH_ORIGINS = "BOKEH_ALLOW_WS_ORIGIN"
#: Headers that a proxy adds; those of X-Forwarded-... have many names.
_FORWARDED, _FORWARDED_PREFIX = ("forwarded", "via", "x-real-ip"), "x-forwarded-"


class MayOpen(Enum):
    """What readers may open besides what is served."""

    NOTHING = "nothing"
    CATALOGUE = "catalogue"
    ANYTHING = "anything"


def may_open(*, wanted: bool | None, address: str | None, is_behind_proxy: bool) -> MayOpen:
    """Say what readers may open.

    Whoever may open anything reads the files of the server's owner, so only they may: where the server listens to its
    own machine alone, and not for a proxy.

    Parameters
    ----------
    wanted : bool or None
        What the owner says; None where they say nothing.
    address : str or None
        Where the server listens, None for everywhere.
    is_behind_proxy : bool
        Whether visitors are expected from elsewhere all the same, as also Bokeh's variable for their origins says.
    """
    is_alone = address in _OWN_ADDRESSES and not is_behind_proxy and not os.environ.get(_BOKEH_ORIGINS)
    if wanted is False or (wanted is None and not is_alone):
        return MayOpen.NOTHING
    return MayOpen.ANYTHING if is_alone else MayOpen.CATALOGUE


def is_local_request(headers: Mapping[str, str]) -> bool:
    """Tell whether a request comes from a browser of this machine and through no proxy, as far as its headers say."""
    try:
        host = urlsplit(f"//{headers.get('Host', '')}").hostname
    except ValueError:
        return False
    names = [name.lower() for name in headers]
    return host in _OWN_ADDRESSES and not any(
        name in _FORWARDED or name.startswith(_FORWARDED_PREFIX) for name in names
    )


class Served(Sequence[str]):
    """The suites of a server, which all of its processes share.

    A session has those that were there when it began, and keeps them.

    Parameters
    ----------
    paths : iterable of str
        With which it is started; without any, the embedded suites.
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
            # A file without a name, to which each process appends; it ends with the last one that has it.
            with TemporaryFile("ab+") as file:
                self._added = os.dup(file.fileno())
            finalize(self, os.close, self._added)

    def open(self, source: str, progress: Progress, say: Say) -> str:
        """Add the suites of a source, for sessions that begin from now on; return the name of the first.

        Raises
        ------
        SuiteError
            Where it may not be opened here, cannot be opened, or not beside the others.
        """
        names = {entry.name for entry in self.catalogue()}
        if self._added is None or (self.may_open is MayOpen.CATALOGUE and source not in names):
            raise SuiteError("this server does not open this source")
        places = [str(locate(place)) for place in suites_of(source, progress=progress, say=say)]
        new = [place for place in places if place not in self]
        with open_suites(*self, *new) as store:  # which fails where they do not go together
            name = next(name for name, suite in store.suites.items() if str(suite.root) == places[0])
        os.write(self._added, b"".join(json.dumps(place).encode() + b"\n" for place in new))
        return name

    def catalogue(self) -> list[Entry]:
        """List what can be opened by its name; nothing where nothing may be opened."""
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
        # One that is gone, as from a cache that was cleared, does not keep the others from being served.
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
