"""Finding suites: the embedded ones of a checkout, or the folders that were named."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from queries import Store, SuiteError, locate

if TYPE_CHECKING:
    from collections.abc import Sequence

_DATA = Path(__file__).resolve().parent.parent / "data"
#: The suites of the checkout, in the order in which they are served: architectures at one layer, measured on several
#: families of concepts; layers, widths and L0s.
EMBEDDED = ARCHITECTURES, SWEEPS = _DATA / "smollm2-135m-architectures", _DATA / "smollm2-135m"
_SHARED: dict[tuple[str, ...], Store] = {}
_OPENING = Lock()


def open_store(*paths: Path | str) -> Store:
    """Open one or several suites.

    Parameters
    ----------
    *paths : Path or str
        Folders of suites, or URLs as text; without any, the embedded suites of the checkout.

    Returns
    -------
    Store
        Read-only and safe to share between threads and sessions.

    Raises
    ------
    SuiteError
        Where a suite cannot be opened; one line that names file and mend.
    """
    return Store(*(paths or _embedded()))


def open_suite(path: Path | str | None = None) -> Store:
    """Open one suite, the first of the embedded ones where none is named; errors are those of `open_store`."""
    return Store(path or _embedded()[0])


def _embedded() -> tuple[Path, ...]:
    if not all(folder.is_dir() for folder in EMBEDDED):
        message = "no suite given, and this installation holds no embedded one; name a suite's folder"
        raise SuiteError(message)
    return EMBEDDED


def shared_store(*paths: str) -> Store:
    """Open suites once for all sessions of a process; anew where their files were changed, or opening them failed.

    Sessions that have the former store keep it, and are told as soon as they ask what it cannot answer any more.
    """
    with _OPENING:
        store = _SHARED.get(paths)
        if store is None or store.changed():
            _SHARED.pop(paths, None)
            store = _SHARED[paths] = open_store(*paths)
            if not gc.get_freeze_count():
                # What stays for good, most of it code, is not searched for garbage each time that a session ends; that
                # took a sixth of a second, in which all sessions waited.
                gc.collect()
                gc.freeze()
        return store


def suites_of_panel_serve() -> list[str]:
    """Return the suites that the command line of ``panel serve`` names: what follows `--args`."""
    return sys.argv[sys.argv.index("--args") + 1 :] if "--args" in sys.argv else []


def without_folders(message: str, paths: Sequence[str]) -> str:
    """Leave out of a message where suites lie: the log tells the owner, a visitor need not know."""
    for path in paths:
        message = message.replace(f"{locate(path)}".rpartition("/")[0] + "/", "")
    return message


def give_up_questions() -> None:
    """End what the shared stores are being asked, for good."""
    for store in tuple(_SHARED.values()):
        store.give_up()


def close_stores() -> None:
    """Close the shared stores."""
    while _SHARED:
        _SHARED.popitem()[1].close()
