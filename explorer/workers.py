"""Processes that serve one port: replaced whenever one ends, and ended with the process that started them."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from threading import Thread
from time import monotonic, sleep

from explorer.log import log_event

#: A worker that ends sooner than this after its start ended early: the next one may, too.
_EARLY_SECONDS = 30
_LONGEST_PAUSE = 30.0
_FORK_AGAIN_SECONDS = 1


def fork_workers(number: int) -> int:
    """Return in each of `number` processes its place among them.

    They end when the calling process has ended, be it killed. That process stays in here and replaces each worker that
    ends, until a handler of a signal raises SystemExit; it then waits for all of them.

    Parameters
    ----------
    number : int

    Returns
    -------
    int
        Counted from 0; a worker that replaces another takes its place.
    """
    # Workers hear the end of this pipe when the first process is gone.
    heard, held = os.pipe()
    first = os.getpid()
    try:
        place, pause = _fork_and_replace(number)
    finally:
        os.close(held)
        if os.getpid() == first:
            with suppress(ChildProcessError):
                while True:
                    os.wait()
    # Until the server takes signals itself.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    Thread(target=_follow, args=[heard], daemon=True).start()
    sleep(pause)
    return place


def pause_before(early: int) -> float:
    """Return the seconds that a worker waits which replaces one, after so many in a row that ended early."""
    return min(2.0 ** (early - 2), _LONGEST_PAUSE) if early > 1 else 0.0


def _fork_and_replace(number: int) -> tuple[int, float]:
    """Return in each worker its place and what it has to wait, in the first process never."""
    # By process: its place, when its work begins, and how many at that place ended early before.
    running: dict[int, tuple[int, float, int]] = {}
    missing = [(place, 0) for place in range(number)]
    while True:
        while missing:
            place, early = missing[-1]
            try:
                pid = os.fork()
            except OSError as error:
                log_event("a worker cannot be started", why=error.strerror)
                sleep(_FORK_AGAIN_SECONDS)
                continue
            if not pid:
                return place, pause_before(early)
            running[pid] = place, monotonic() + pause_before(early), early
            missing.pop()
        pid, status = os.wait()
        if pid not in running:
            continue
        place, begun, early = running.pop(pid)
        early = early + 1 if monotonic() - begun < _EARLY_SECONDS else 0
        how = f"killed by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "ended"
        log_event(f"worker {how}, restarting", worker=pid, pause=pause_before(early))
        missing.append((place, early))


def _follow(heard: int) -> None:
    """End this process once nobody holds the other end of the pipe."""
    os.read(heard, 1)
    os.kill(os.getpid(), signal.SIGTERM)
