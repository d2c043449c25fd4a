"""Opens suites, the embedded ones or given ones, and shares stores between sessions."""

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
    Log = Callable[[str], None]

_HERE = Path(__file__).resolve().parent
#: A wheel contains suites within this package, a checkout beside it.
_DATA = within if (within := _HERE / "data").is_dir() else _HERE.parent / "data"
#: Suites of several architectures at one layer, with several families of concepts; of several layers, widths and L0s.
ARCHITECTURES, SWEEPS = _DATA / "smollm2-135m-architectures", _DATA / "smollm2-135m"
#: Embedded suites of this installation, in the order in which they are served: a checkout has both, a wheel the first.
EMBEDDED = tuple(folder for folder in (ARCHITECTURES, SWEEPS) if folder.is_dir())
_SHARED: dict[tuple[str, ...], Store] = {}
#: Stores that were replaced; closed when their last user leaves.
_FORMER: list[Store] = []
#: Number of sessions and requests that use each store.
_USERS: Counter[Store] = Counter()
_OPENING = Lock()
_LOG = logging.getLogger("explorer")


def open_store(*sources: Path | str, progress: Progress = lambda *_: None, log: Log = _LOG.info) -> Store:
    """Open one or several suites; results in other formats are first imported into the cache.

    Parameters
    ----------
    *sources : Path or str
        Suites, or results in any format that can be imported: folders, files, archives, URLs as text, names of the
        catalogue. By default, the embedded suites.
    progress : callable
        Called with a description, the amount done and the total amount.
    log : callable
        Called with one line for each message of an import.

    Returns
    -------
    Store
        Read-only and safe to share between threads and sessions.

    Raises
    ------
    SuiteError
        If a suite cannot be opened; one line that names file and fix.
    """
    return open_suites(*suites_of(*sources, progress=progress, log=log))


def open_suite(
    source: Path | str | None = None, *, progress: Progress = lambda *_: None, log: Log = _LOG.info
) -> Store:
    """Open one suite, by default the first embedded one; see `open_store`."""
    found = suites_of(source, progress=progress, log=log) if source is not None else embedded_suites()[:1]
    if len(found) > 1:
        message = f"{source}: contains {len(found)} suites; give one of them: {', '.join(map(str, found))}"
        raise SuiteError(message)
    return Store(*found)


def suites_of(
    *sources: Path | str, progress: Progress = lambda *_: None, log: Log = _LOG.info, fetch_suites: bool = False
) -> list[Path | str]:
    """Return the locations of the suites of sources; see `ingest.opening.suites_of`, which does so for one source."""
    if not sources:
        return []
    # Loaded only if something may have to be imported.
    of_one = import_module("ingest.opening").suites_of
    return [
        place for source in sources for place in of_one(source, progress=progress, log=log, fetch_suites=fetch_suites)
    ]


def open_suites(*paths: Path | str) -> Store:
    """Open suites without importing; by default the embedded ones."""
    return Store(*(paths or embedded_suites()))


def embedded_suites() -> tuple[Path, ...]:
    """Return the folders of the embedded suites; SuiteError if there are none."""
    if not EMBEDDED:
        message = "no suite given, and this installation has no embedded one; give a suite's folder"
        raise SuiteError(message)
    return EMBEDDED


def shared_store(*paths: str) -> Store:
    """Open suites once for all sessions of a process; again if their files were changed, or if opening failed.

    Sessions with the former store (`acquire_store`) keep it; queries that it can no longer run fail with the reason.
    """
    with _OPENING:
        return _shared(paths)


def acquire_store(*paths: str) -> tuple[Store, Callable[[], None]]:
    """Return the shared store, and a function that releases it; it remains open until then."""
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
        # A visitor has opened another suite in addition: new sessions use the new store.
        _FORMER.extend(_SHARED.pop(key) for key in tuple(_SHARED) if set(key) < set(paths))
        _close_unused()
        if not gc.get_freeze_count():
            # Excludes permanent objects, most of them code, from the garbage collection after each session, which took
            # a sixth of a second and blocked all sessions.
            gc.collect()
            gc.freeze()
    return store


def _close_unused() -> None:
    for store in [each for each in _FORMER if _USERS[each] <= 0]:
        _FORMER.remove(store)
        del _USERS[store]
        store.close()


def suites_of_panel_serve() -> list[str]:
    """Return the suites on the command line of ``panel serve``, after `--args`."""
    return sys.argv[sys.argv.index("--args") + 1 :] if "--args" in sys.argv else []


def without_folders(message: str, paths: Sequence[str]) -> str:
    """Remove the folders of suites from a message for visitors; the log contains them for the owner."""
    for path in paths:
        message = message.replace(f"{locate(path)}".rpartition("/")[0] + "/", "")
    return message


def cancel_queries() -> None:
    """Cancel all queries of the shared stores, permanently."""
    for store in (*_SHARED.values(), *_FORMER):
        store.cancel()


def close_stores() -> None:
    """Close the shared stores."""
    while _SHARED:
        _SHARED.popitem()[1].close()
    while _FORMER:
        _FORMER.pop().close()
    _USERS.clear()
