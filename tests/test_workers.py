"""Workers are replaced without limit but with pauses, and end with the process that started them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from explorer.workers import pause_before
from tests.browser import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 60
#: More than Tornado replaces; each ends as soon as it starts, and the last one ends the first process.
WORKERS = 120
_SCRIPT = f"""
import os, signal, sys, time
from explorer import workers
workers.pause_before = lambda early: 0
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: sys.exit())
first = os.getpid()
workers.fork_workers(2)
with open(sys.argv[1], "a") as book:
    book.write("worker\\n")
if len(open(sys.argv[1]).readlines()) >= {WORKERS}:
    os.kill(first, signal.SIGTERM)
    time.sleep({SECONDS})  # until it is terminated
os.kill(os.getpid(), signal.SIGKILL) if os.getpid() % 2 else os._exit(int(os.getpid() % 4 == 0))
"""


def test_workers_are_replaced_without_limit(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _SCRIPT, f"{tmp_path}/book"]
    done = subprocess.run(command, cwd=ROOT, timeout=SECONDS, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len((tmp_path / "book").read_text(encoding="utf-8").splitlines()) >= WORKERS


def test_restarts_of_failing_workers_are_delayed() -> None:
    assert [pause_before(early) for early in range(5)] == [0, 0, 1, 2, 4]
    assert pause_before(1000) == 30
