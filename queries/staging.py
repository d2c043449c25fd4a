"""Builds a suite in a folder beside the target, so that an incomplete suite is never read."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from queries.conform import IngestError
from queries.manifest import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


#: In an incomplete suite, the file that processes lock while they may write there.
_LOCK = ".held"


@contextmanager
def staged(target: Path, *, force: bool = False) -> Iterator[Path]:
    """Provide a folder for building a suite, and move it to `target` if the block succeeds.

    An error leaves nothing behind, and a suite at `target` is kept until the new one is complete. Only an interruption
    (Ctrl-C, or the process is killed) leaves the folder, `.NAME.partial` beside the target; the next call continues
    with that folder and its contents.

    Parameters
    ----------
    target : Path
        Folder of the suite.
    force : bool
        Replace an existing suite.

    Raises
    ------
    IngestError
        If `target` exists and may not be replaced, another process is building it, or it cannot be written.
    """
    _check_target(target, force=force)
    folder = target.parent / f".{target.name}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{target}: cannot be written ({error.strerror}); choose another folder with --to"
        raise IngestError(message) from error
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        message = f"{target}: another import is writing it; wait until it ends, or give another folder"
        raise IngestError(message) from error
    try:
        _wait_for_others(folder)
        yield folder
        _check_target(target, force=force)
        (folder / _LOCK).unlink(missing_ok=True)
        _move(folder, target)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        # Parquet files are written by Arrow, whose errors have a number but not always a file name.
        why = f"{error.filename or folder}: {error.strerror or error}"
        message = f"{why}; nothing was written to {target}: free space there, or give another folder"
        raise IngestError(message) from error
    except Exception:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def hold(folder: Path) -> None:
    """Lock the suite being built in `folder` until this process ends."""
    held = os.open(folder / _LOCK, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_SH)


def _wait_for_others(folder: Path) -> None:
    """Wait until the remaining processes of a killed import have stopped writing."""
    held = os.open(folder / _LOCK, os.O_RDONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
    finally:
        os.close(held)


def _check_target(target: Path, *, force: bool) -> None:
    """Raise IngestError if `target` exists and must not be replaced."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not force:
        message = f"{target}: exists already; give another folder, or --force to replace it"
        raise IngestError(message)
    folders = [target] if (target / MANIFEST).exists() or not target.is_dir() else list(target.iterdir())
    if not all((folder / MANIFEST).is_file() for folder in folders):
        message = f"{target}: is not a suite (no {MANIFEST}), so --force does not replace it; give another folder"
        raise IngestError(message)


def _move(folder: Path, target: Path) -> None:
    """Replace `target` by `folder`."""
    if not target.exists():
        folder.rename(target)
        return
    former = target.parent / f".{target.name}.former"
    shutil.rmtree(former, ignore_errors=True)
    target.rename(former)
    try:
        folder.rename(target)
    except OSError:
        former.rename(target)
        raise
    shutil.rmtree(former, ignore_errors=True)
