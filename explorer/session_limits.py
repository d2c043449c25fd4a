"""How many processes serve, how many sessions each holds, and for how long, where nobody says anything else."""

from __future__ import annotations

import logging
import os
import re
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

_LOG = logging.getLogger("explorer")

#: How long a server keeps a session that no browser is connected to, where nothing else is said; Bokeh's own default.
SESSION_SECONDS = 15
#: Environment variable with the number of sessions that a process holds at most.
MAX_SESSIONS = "ABSORPTION_EXPLORER_MAX_SESSIONS"
#: Environment variable with the number of processes of the command.
NUM_PROCS = "ABSORPTION_EXPLORER_NUM_PROCS"
#: What a process takes without sessions, its cache of answers and a long question included, and what each session does
#: once its reader has seen all pages, MB; measured, and rounded up.
PROCESS_MB, SESSION_MB = 1_000, 15
#: Whatever the memory, so many are held.
_FEWEST = 10


@cache
def max_sessions(given: str) -> int:
    """Return how many sessions this process holds: as many as `given` says, or else as the memory is enough for."""
    if given.isdecimal() and int(given) > 0:
        return int(given)
    if given:
        _LOG.error("%s is not an integer above 0: as many sessions are held as the memory is enough for", MAX_SESSIONS)
    return default_max_sessions()


def default_max_sessions(num_procs: int = 1) -> int:
    """Return how many sessions each of so many processes can hold in the memory that is there."""
    return max(_FEWEST, int((_memory_mb() / num_procs - PROCESS_MB) / SESSION_MB))


def default_num_procs() -> int:
    """Return how many processes serve: one a processor, as far as the memory is enough for each and its sessions."""
    if sys.platform != "linux":  # where a process that has threads can be forked
        return 1
    processors = [float(len(os.sched_getaffinity(0)))]
    for folder in _control_groups():
        with suppress(OSError, ValueError):  # "max" is no limit
            quota, period = map(int, (folder / "cpu.max").read_text().split())
            processors.append(quota / period)
    return max(1, min(int(min(processors)), int(_memory_mb() / (2 * PROCESS_MB))))


def _memory_mb() -> float:
    """Return what this machine has free, or what its control group or container may take, if that is less."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6]
    with suppress(OSError):
        free = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        found += [int(free[1]) / 1e3] if free else []
    for folder in _control_groups():
        with suppress(OSError, ValueError):  # "max" is no limit
            found.append(int((folder / "memory.max").read_text()) / 1e6)
    return min(found)


def _control_groups() -> list[Path]:
    """List the folder of this process's control group and those above it, none where there are none."""
    with suppress(OSError):
        group = Path("/sys/fs/cgroup", Path("/proc/self/cgroup").read_text().rpartition("0::/")[2].strip())
        return [group, *group.parents]
    return []
