"""Pieces of work with folders between them, each named by all that decides on what is in it."""

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

#: Of what stages write; a change of any stage that changes its output raises it, and makes former output unknown.
VERSION = 3
#: No room is left, or none that may be written to.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class Task:
    """One piece of work.

    Attributes
    ----------
    stage : str
        Module of this package whose function `run` does it.
    settings : mapping
        What it is configured by, in JSON's terms.
    needs : mapping of str to Task
        Whose folders it reads.
    label : str
        What it is for, to be shown; decides nothing.
    """

    stage: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    needs: Mapping[str, Task] = field(default_factory=dict)
    label: str = ""

    @cached_property
    def digest(self) -> str:
        """Names what the task makes."""
        known = [VERSION, self.stage, self.settings, {name: need.digest for name, need in self.needs.items()}]
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]

    def folder(self, work: Path) -> Path:
        """Return where below `work` its output lies."""
        return work / self.stage / self.digest

    def is_done(self, work: Path) -> bool:
        """Tell whether its output is there."""
        return self.folder(work).is_dir()


def in_order(*tasks: Task) -> list[Task]:
    """Return the tasks and all that they need, each once and after what it needs."""
    found: dict[str, Task] = {}

    def visit(task: Task) -> None:
        # Many need the same: to go down all ways to each would take as long as there are ways.
        if task.digest not in found:
            for need in task.needs.values():
                visit(need)
            found[task.digest] = task

    for task in tasks:
        visit(task)
    return list(found.values())


@contextmanager
def alone(work: Path) -> Iterator[None]:
    """Keep other measurements from a work folder.

    Raises
    ------
    MeasureError
        Where one is at work there.
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
    """Do a task whose needs are done, all of it or nothing; return its folder.

    Output is written to a temporary folder and then renamed, so an interrupted task is repeated. Only one process at a
    time, of one measurement, runs a task (`alone`); a temporary folder beside it was left by a process that died.

    Raises
    ------
    MeasureError
        Where it cannot be done, or cannot be written.
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
