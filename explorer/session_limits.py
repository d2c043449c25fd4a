"""Defaults for the number of processes, the number of sessions per process, and how long sessions are kept."""

from __future__ import annotations

import logging
import os
import re
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

_LOG = logging.getLogger("explorer")

#: Default seconds for which a server keeps a session without a browser, as in Bokeh.
SESSION_SECONDS = 15
#: Environment variable with the maximum number of sessions per process.
MAX_SESSIONS = "ABSORPTION_EXPLORER_MAX_SESSIONS"
#: Environment variable with the number of processes of the command.
NUM_PROCS = "ABSORPTION_EXPLORER_NUM_PROCS"
#: Memory of a process without sessions, including its cache of results and a large query, and of a session that has
#: shown all pages, MB; measured and rounded up.
PROCESS_MB, SESSION_MB = 1_000, 15
#: Minimum number of sessions, independent of the memory.
_MIN_SESSIONS = 10


@cache
def max_sessions(given: str) -> int:
    """Return the maximum number of sessions of this process: `given`, or by default according to the memory."""
    if given.isdecimal() and int(given) > 0:
        return int(given)
    if given:
        _LOG.error(
            "%s is not an integer above 0; the number of sessions is limited by the memory instead", MAX_SESSIONS
        )
    return default_max_sessions()


def default_max_sessions(num_procs: int = 1) -> int:
    """Return how many sessions each of `num_procs` processes can hold in the available memory."""
    return max(_MIN_SESSIONS, int((_memory_mb() / num_procs - PROCESS_MB) / SESSION_MB))


def default_num_procs() -> int:
    """Return the number of processes: one per processor, limited by the memory of each with its sessions."""
    if sys.platform != "linux":  # elsewhere, a process with threads cannot be forked safely
        return 1
    processors = [float(len(os.sched_getaffinity(0)))]
    for folder in _control_groups():
        with suppress(OSError, ValueError):  # "max" is no limit
            quota, period = map(int, (folder / "cpu.max").read_text().split())
            processors.append(quota / period)
    return max(1, min(int(min(processors)), int(_memory_mb() / (2 * PROCESS_MB))))


def _memory_mb() -> float:
    """Return the free memory of this machine, or the limit of its control group or container if that is less."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6]
    with suppress(OSError):
        free = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        found += [int(free[1]) / 1e3] if free else []
    for folder in _control_groups():
        with suppress(OSError, ValueError):  # "max" is no limit
            found.append(int((folder / "memory.max").read_text()) / 1e6)
    return min(found)


def _control_groups() -> list[Path]:
    """Return the folder of this process's control group and its parents; empty if there are none."""
    with suppress(OSError):
        group = Path("/sys/fs/cgroup", Path("/proc/self/cgroup").read_text().rpartition("0::/")[2].strip())
        return [group, *group.parents]
    return []
