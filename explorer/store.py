"""Finding suites: the embedded one of a checkout, or the folders that were named."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from queries import Store, SuiteError

EMBEDDED = Path(__file__).resolve().parent.parent / "data" / "smollm2-135m"


def open_store(*paths: Path | str) -> Store:
    """Open one or several suites.

    Parameters
    ----------
    *paths : Path or str
        Folders of suites, or URLs as text; without any, the embedded suite of the checkout.

    Returns
    -------
    Store
        Read-only and safe to share between threads and sessions.

    Raises
    ------
    SuiteError
        Where a suite cannot be opened; one line that names file and mend.
    """
    if not paths and not EMBEDDED.is_dir():
        message = "no suite given, and this installation holds no embedded one; name a suite's folder"
        raise SuiteError(message)
    return Store(*(paths or (EMBEDDED,)))


@cache
def shared_store(*paths: str) -> Store:
    """Open suites once for all sessions of a process; a suite that failed is tried anew."""
    return open_store(*paths)
