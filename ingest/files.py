"""The one door to the files of a source: what is no plain file within it is not opened, what cannot be read is said.

A stranger made the source. A link may lead to any file of the importing user's, a pipe keeps whoever opens it waiting,
a device acts or never ends, and bytes that are not what their name says make libraries raise anything.
"""

from __future__ import annotations

import io
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from pydantic import ValidationError

from ingest import limits
from queries.manifest import first_problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Endings of what importers read, besides licences.
_READ = (".json", ".parquet", ".csv", ".npz", ".html", ".toml")
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_SHOWN = 200


class UnreadableError(Exception):
    """A file of a source cannot be read; the message is the reason and the fix, in one line."""


class Portions(io.BufferedReader):
    """A file that is read in portions.

    The readers of archives ask at once for a list of contents, or a name, of whatever length an archive claims.
    """

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)  # type: ignore[arg-type]  # takes whatever can be read into a buffer

    def read(self, size: int | None = -1, /) -> bytes:
        """Read `size` bytes, or all that are left; UnreadableError where they are more than a portion."""
        content = super().read(size if size is not None and 0 <= size <= limits.AT_ONCE else limits.AT_ONCE + 1)
        if len(content) > limits.AT_ONCE:
            raise UnreadableError("its list of contents, or a name in it, is too long; download it again")
        return content


@contextmanager
def reading(root: Path, file: Path, what: str, most: int) -> Iterator[BinaryIO]:
    """Open `file` for the block, in which it is read and decoded; whatever fails there is an UnreadableError.

    Parameters
    ----------
    root : Path
        The source.
    file : Path
    what : str
        What the file should be, as in "parquet file".
    most : int
        Bytes that it may have.

    Raises
    ------
    UnreadableError
        Where it is no plain file within `root`, or is too large, or cannot be read.
    """
    try:
        with _opened(root, file, what, most) as stream:
            yield stream
    except UnreadableError:
        raise
    except ValidationError as error:
        raise UnreadableError(f"{first_problem(error)}; fix the file or download it again") from error
    except Exception as error:  # libraries raise anything for bytes that they do not expect
        message = f"not a readable {what} ({reason(error)}); fix the file or download it again"
        raise UnreadableError(message) from error


def is_read(name: str) -> bool:
    """Tell by its name whether any importer reads a file."""
    return name.lower().endswith(_READ) or name.rpartition("/")[2].startswith("LICENSE")


def reason(error: BaseException) -> str:
    """Say what went wrong: the first line of what `error` says."""
    # That of the system also names the file, which the report does by itself.
    text = error.strerror if isinstance(error, OSError) and error.filename else str(error)
    line = next(iter((text or "").splitlines()), "")
    return line[:_SHOWN] if line else type(error).__name__


@contextmanager
def _opened(root: Path, file: Path, what: str, most: int) -> Iterator[BinaryIO]:
    """Open a plain file within `root`."""
    path = file.resolve(strict=True)
    if not path.is_relative_to(root.resolve()):
        message = f"is a link out of the source and is not followed; put the {what} itself there"
        raise UnreadableError(message)
    _check_kind(path.lstat().st_mode, what)
    # Should it have become something else by now, it neither keeps this process waiting nor leads elsewhere.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
        status = os.fstat(stream.fileno())
        _check_kind(status.st_mode, what)
        if status.st_size > most:
            message = f"has {status.st_size / limits.MB:,.0f} MB, {what}s up to {most / limits.MB:,.0f} MB are read"
            raise UnreadableError(message)
        yield stream


def _check_kind(mode: int, what: str) -> None:
    if not stat.S_ISREG(mode):
        message = f"is {_KINDS.get(stat.S_IFMT(mode), 'no file')}, not a file; put the {what} itself there"
        raise UnreadableError(message)
