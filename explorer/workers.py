"""Worker processes that serve one port; replaced when one ends, and ended with the process that started them."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from threading import Thread
from time import monotonic, sleep

from explorer.log import log_event

#: A worker that ends sooner than this after its start counts as having ended early, as its successor may.
_EARLY_SECONDS = 30
_LONGEST_PAUSE = 30.0
_FORK_AGAIN_SECONDS = 1
#: Signals that the first process waits for. It blocks them: their handlers could run in functions that `os.fork` calls,
#: where Python ignores exceptions, or too late, after a call of `os.wait` that had just begun.
_ENDS = {signal.SIGTERM, signal.SIGINT}
_SIGNALS = {*_ENDS, signal.SIGCHLD}


def fork_workers(number: int) -> int:
    """Fork `number` worker processes, and return in each of them its number.

    They end when the calling process has ended, even if it was killed. That process remains in this function and
    replaces each worker that ends, until SIGTERM or SIGINT; it then waits for all of them and exits.

    Parameters
    ----------
    number : int

    Returns
    -------
    int
        Counted from 0; a worker that replaces another has the same number.
    """
    # Workers notice that the first process has ended by the end of this pipe.
    read_end, write_end = os.pipe()
    first = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        place, pause = _fork_and_replace(number)
    finally:
        os.close(write_end)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        if os.getpid() == first:
            with suppress(ChildProcessError):
                while True:
                    os.wait()
    # Until the server installs its own signal handlers; one of Python's would have to wait for `sleep` to end.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Thread(target=_end_with_first_process, args=[read_end], daemon=True).start()
    sleep(pause)
    return place


def pause_before(early: int) -> float:
    """Return the seconds that a new worker waits, after `early` consecutive workers that ended early."""
    return min(2.0 ** (early - 2), _LONGEST_PAUSE) if early > 1 else 0.0


def _fork_and_replace(number: int) -> tuple[int, float]:
    """Return in each worker its number and the seconds to wait; never returns in the first process."""
    # By process: its number, when its work begins, and how many of its predecessors in a row ended early.
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
        if signal.sigwait(_SIGNALS) in _ENDS:
            sys.exit()
        # One signal may stand for several processes that ended.
        for pid in list(running):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended:
                continue
            place, begun, early = running.pop(pid)
            early = early + 1 if monotonic() - begun < _EARLY_SECONDS else 0
            how = f"killed by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "ended"
            log_event(f"worker {how}, restarting", worker=pid, pause=pause_before(early))
            missing.append((place, early))


def _end_with_first_process(read_end: int) -> None:
    """End this process when the other end of the pipe is closed."""
    os.read(read_end, 1)
    os.kill(os.getpid(), signal.SIGTERM)
