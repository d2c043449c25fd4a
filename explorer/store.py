"""Finding suites: the embedded ones, or the folders that were named."""

from __future__ import annotations

import gc
import logging
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from queries import Store, SuiteError, locate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Progress = Callable[[str, int, int], None]
    Say = Callable[[str], None]

_HERE = Path(__file__).resolve().parent
#: A wheel holds suites within this package, a checkout beside it.
_DATA = within if (within := _HERE / "data").is_dir() else _HERE.parent / "data"
#: Architectures at one layer, measured on several families of concepts; layers, widths and L0s.
ARCHITECTURES, SWEEPS = _DATA / "smollm2-135m-architectures", _DATA / "smollm2-135m"
#: Those of this installation, in the order in which they are served: a checkout has both, a wheel the first.
EMBEDDED = tuple(folder for folder in (ARCHITECTURES, SWEEPS) if folder.is_dir())
_SHARED: dict[tuple[str, ...], Store] = {}
#: Stores whose place another one has taken; the last that uses one closes it.
_FORMER: list[Store] = []
#: How many sessions and requests use each store.
_USERS: Counter[Store] = Counter()
_OPENING = Lock()
_LOG = logging.getLogger("explorer")


def open_store(*sources: Path | str, progress: Progress = lambda *_: None, say: Say = _LOG.info) -> Store:
    """Open one or several suites; results of others are imported into the cache first.

    Parameters
    ----------
    *sources : Path or str
        Suites, or results in any format that can be imported: folders, files, archives, URLs as text, names of the
        catalogue. Without any, the embedded suites.
    progress : callable
        Told what is being done, how much of it is done and how much there is.
    say : callable
        Told, in a line, what a reader should know of an import.

    Returns
    -------
    Store
        Read-only and safe to share between threads and sessions.

    Raises
    ------
    SuiteError
        Where a suite cannot be opened; one line that names file and fix.
    """
    return open_suites(*suites_of(*sources, progress=progress, say=say))


def open_suite(
    source: Path | str | None = None, *, progress: Progress = lambda *_: None, say: Say = _LOG.info
) -> Store:
    """Open one suite, the first of the embedded ones where none is named; all else is as in `open_store`."""
    found = suites_of(source, progress=progress, say=say) if source is not None else embedded_suites()[:1]
    if len(found) > 1:
        message = f"{source}: holds {len(found)} suites; give one of them: {', '.join(map(str, found))}"
        raise SuiteError(message)
    return Store(*found)


def suites_of(
    *sources: Path | str, progress: Progress = lambda *_: None, say: Say = _LOG.info, fetch_suites: bool = False
) -> list[Path | str]:
    """Return where the suites of sources lie; see `ingest.opening.suites_of`, which does so for one."""
    if not sources:
        return []
    # What imports is loaded only where there may be something to import.
    of_one = import_module("ingest.opening").suites_of
    return [
        place for source in sources for place in of_one(source, progress=progress, say=say, fetch_suites=fetch_suites)
    ]


def open_suites(*paths: Path | str) -> Store:
    """Open suites where they are; without any, the embedded ones."""
    return Store(*(paths or embedded_suites()))


def embedded_suites() -> tuple[Path, ...]:
    """Return the folders of the embedded suites; a SuiteError says where there are none."""
    if not EMBEDDED:
        message = "no suite given, and this installation holds no embedded one; name a suite's folder"
        raise SuiteError(message)
    return EMBEDDED


def shared_store(*paths: str) -> Store:
    """Open suites once for all sessions of a process; again where their files were changed, or opening them failed.

    Sessions that have the former store (`use`) keep it, and are told as soon as they ask what it cannot answer.
    """
    with _OPENING:
        return _shared(paths)


def use(*paths: str) -> tuple[Store, Callable[[], None]]:
    """Take the shared store, and keep it open until what stands beside it is called."""
    with _OPENING:
        store = _shared(paths)
        _USERS[store] += 1

    def leave() -> None:
        with _OPENING:
            _USERS[store] -= 1
            _close_unused()

    return store, leave


def _shared(paths: tuple[str, ...]) -> Store:
    store = _SHARED.get(paths)
    if store is None or store.changed():
        _FORMER.extend(_SHARED.pop(key) for key in tuple(_SHARED) if key == paths)
        store = _SHARED[paths] = open_suites(*paths)
        # A reader has opened another suite beside them: sessions that begin from now on have the new store.
        _FORMER.extend(_SHARED.pop(key) for key in tuple(_SHARED) if set(key) < set(paths))
        _close_unused()
        if not gc.get_freeze_count():
            # What stays for good, most of it code, is not searched for garbage each time that a session ends; that
            # took a sixth of a second, in which all sessions waited.
            gc.collect()
            gc.freeze()
    return store


def _close_unused() -> None:
    for store in [each for each in _FORMER if _USERS[each] <= 0]:
        _FORMER.remove(store)
        del _USERS[store]
        store.close()


def suites_of_panel_serve() -> list[str]:
    """Return the suites that the command line of ``panel serve`` names: what follows `--args`."""
    return sys.argv[sys.argv.index("--args") + 1 :] if "--args" in sys.argv else []


def without_folders(message: str, paths: Sequence[str]) -> str:
    """Omit of a message where suites lie: the log tells the owner, a visitor need not know."""
    for path in paths:
        message = message.replace(f"{locate(path)}".rpartition("/")[0] + "/", "")
    return message


def cancel_queries() -> None:
    """End what the shared stores are being asked, for good."""
    for store in (*_SHARED.values(), *_FORMER):
        store.cancel()


def close_stores() -> None:
    """Close the shared stores."""
    while _SHARED:
        _SHARED.popitem()[1].close()
    while _FORMER:
        _FORMER.pop().close()
    _USERS.clear()
