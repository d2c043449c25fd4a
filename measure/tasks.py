"""Tasks that read and write folders; a folder is named by a digest of everything that its contents depend on."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import importlib
import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from measure.errors import MeasureError, NoRoomError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

#: Version of the stages' output. Increase it when the output of any stage changes; earlier outputs are then not used.
VERSION = 3
#: Errors of a full or read-only file system.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class Task:
    """A run of a stage.

    Attributes
    ----------
    stage : str
        Module of `measure.stages` whose function `run` is called.
    settings : mapping
        The arguments of the stage, serialisable as JSON.
    needs : mapping of str to Task
        The tasks whose folders it reads, by name.
    label : str
        Description for messages; not part of the digest.
    """

    stage: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    needs: Mapping[str, Task] = field(default_factory=dict)
    label: str = ""

    @cached_property
    def digest(self) -> str:
        """Identifies the task's output."""
        known = [VERSION, self.stage, self.settings, {name: need.digest for name, need in self.needs.items()}]
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]

    def folder(self, work: Path) -> Path:
        """Return the folder of its output in `work`."""
        return work / self.stage / self.digest

    def is_done(self, work: Path) -> bool:
        """Return whether its output exists."""
        return self.folder(work).is_dir()


def in_order(*tasks: Task) -> list[Task]:
    """Return the tasks and their dependencies in topological order, each once."""
    found: dict[str, Task] = {}

    def visit(task: Task) -> None:
        # Each task is visited once: the number of paths to a shared dependency grows exponentially.
        if task.digest not in found:
            for need in task.needs.values():
                visit(need)
            found[task.digest] = task

    for task in tasks:
        visit(task)
    return list(found.values())


@contextmanager
def alone(work: Path) -> Iterator[None]:
    """Lock a work folder against other measurements.

    Raises
    ------
    MeasureError
        If another measurement has locked it.
    """
    try:
        lock = os.open(work, os.O_RDONLY)
    except OSError as error:
        message = f"{work}: cannot be opened ({error.strerror}); give another folder with --work"
        raise MeasureError(message) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"{work}: another measurement is at work there; wait for it, or give another --work"
            raise MeasureError(message) from error
        yield
    finally:
        os.close(lock)


def perform(task: Task, work: Path, progress: Callable[[float], None] = lambda _: None) -> Path:
    """Run a task whose dependencies are done, completely or not at all; return its folder.

    Output is written to a temporary folder and then renamed, so an interrupted task is repeated. The lock (`alone`)
    ensures that a task runs only once at a time, so its other temporary folders are left over from killed processes.

    Raises
    ------
    MeasureError
        If the task fails, or its output cannot be written.
    """
    folder = task.folder(work)
    if folder.is_dir():
        return folder
    growing = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        for left in folder.parent.glob(f".{folder.name}.*"):
            shutil.rmtree(left, ignore_errors=True)
        growing.mkdir(parents=True)
        stage = importlib.import_module(f"measure.stages.{task.stage}")
        stage.run(task.settings, {name: need.folder(work) for name, need in task.needs.items()}, growing, progress)
        growing.rename(folder)
    except OSError as error:
        kind = NoRoomError if error.errno in _NO_ROOM else MeasureError
        fix = "make room there" if kind is NoRoomError else "fix that"
        message = f"{error.filename or growing}: {error.strerror or error}; {fix}, or give another --work"
        raise kind(message) from error
    finally:
        shutil.rmtree(growing, ignore_errors=True)
    return folder
