"""A folder beside the target in which a suite grows until it is whole, so that nobody ever reads half of one."""

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


#: In a growing suite, the file that its processes hold while they may write there.
_HELD = ".held"


@contextmanager
def staged(target: Path, *, force: bool = False) -> Iterator[Path]:
    """Give a folder to build a suite in, and move it to `target` when the block ends well.

    An error leaves nothing behind, and a suite that was at `target` stays whole until its successor is. Only an
    interruption (Ctrl-C, or the process is killed) leaves the folder, `.NAME.partial` beside the target; the next call
    gives the same folder with what lies in it.

    Parameters
    ----------
    target : Path
        Where the suite goes.
    force : bool
        Replace the suite that is there.

    Raises
    ------
    IngestError
        Where `target` exists and may not be replaced, another process is building it, or its place cannot be written.
    """
    _refuse(target, force=force)
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
        message = f"{target}: another import is writing it; wait for it, or give another folder"
        raise IngestError(message) from error
    try:
        _wait_for_others(folder)
        yield folder
        _refuse(target, force=force)
        (folder / _HELD).unlink(missing_ok=True)
        _move(folder, target)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        # Parquet files are written by Arrow, whose errors carry their number but not always their name.
        why = f"{error.filename or folder}: {error.strerror or error}"
        message = f"{why}; nothing was written to {target}: make room there, or give another folder"
        raise IngestError(message) from error
    except Exception:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def hold(folder: Path) -> None:
    """Keep others from the suite that grows in `folder`, until this process ends."""
    held = os.open(folder / _HELD, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_SH)


def _wait_for_others(folder: Path) -> None:
    """Wait until the processes of an import that was killed have noticed, and write no more."""
    held = os.open(folder / _HELD, os.O_RDONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
    finally:
        os.close(held)


def _refuse(target: Path, *, force: bool) -> None:
    """Refuse a target that would be lost."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not force:
        message = f"{target}: exists already; give another folder, or --force to replace it"
        raise IngestError(message)
    folders = [target] if (target / MANIFEST).exists() or not target.is_dir() else list(target.iterdir())
    if not all((folder / MANIFEST).is_file() for folder in folders):
        message = f"{target}: is no suite (it holds no {MANIFEST}), so --force does not replace it; give another folder"
        raise IngestError(message)


def _move(folder: Path, target: Path) -> None:
    """Put `folder` in the place of `target`."""
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
