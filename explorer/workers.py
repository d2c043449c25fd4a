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


def fork_workers(number: int) -> None:
    """Return in each of `number` processes, which end when the calling process has ended, be it killed.

    The calling process stays in here and replaces each worker that ends, until a handler of a signal raises SystemExit;
    it then waits for all of them.

    Parameters
    ----------
    number : int
    """
    # Workers hear the end of this pipe when the first process is gone.
    heard, held = os.pipe()
    first = os.getpid()
    try:
        pause = _fork_and_replace(number)
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


def pause_before(early: int) -> float:
    """Return the seconds that a worker waits which replaces one, after so many in a row that ended early."""
    return min(2.0 ** (early - 2), _LONGEST_PAUSE) if early > 1 else 0.0


def _fork_and_replace(number: int) -> float:
    """Return in each worker what it has to wait, in the first process never."""
    running: dict[int, tuple[float, int]] = {}  # by process: when its work begins, and how many ended early before
    missing = [0] * number
    while True:
        while missing:
            early = missing[-1]
            try:
                pid = os.fork()
            except OSError as error:
                log_event("a worker cannot be started", why=error.strerror)
                sleep(_FORK_AGAIN_SECONDS)
                continue
            if not pid:
                return pause_before(early)
            running[pid] = monotonic() + pause_before(early), early
            missing.pop()
        pid, status = os.wait()
        if pid not in running:
            continue
        begun, early = running.pop(pid)
        early = early + 1 if monotonic() - begun < _EARLY_SECONDS else 0
        how = f"killed by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "ended"
        log_event(f"worker {how}, restarting", worker=pid, pause=pause_before(early))
        missing.append(early)


def _follow(heard: int) -> None:
    """End this process once nobody holds the other end of the pipe."""
    os.read(heard, 1)
    os.kill(os.getpid(), signal.SIGTERM)
