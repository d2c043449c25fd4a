"""Safe access to the files of a source, the only place that opens them: regular files within the source only.

The source is not trusted. A link may lead to any file of the importing user, opening a pipe may block, a device may
have side effects or be endless, and unexpected bytes make libraries raise any exception.
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

#: Suffixes of the files that importers read, besides licences.
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
    """A file of a source cannot be read; the message is one line with the reason and the fix."""


class Portions(io.BufferedReader):
    """A file with a limit on the size of single reads.

    The readers of archives read a list of contents, or a name, of any length that the archive claims, at once.
    """

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)  # type: ignore[arg-type]  # accepts any object with readinto

    def read(self, size: int | None = -1, /) -> bytes:
        """Read `size` bytes, or all remaining ones; UnreadableError if they exceed the limit."""
        content = super().read(size if size is not None and 0 <= size <= limits.AT_ONCE else limits.AT_ONCE + 1)
        if len(content) > limits.AT_ONCE:
            raise UnreadableError("its list of contents, or a name in it, is too long; download it again")
        return content


@contextmanager
def reading(root: Path, file: Path, what: str, most: int) -> Iterator[BinaryIO]:
    """Open `file` for a block that reads and decodes it; any exception in the block becomes an UnreadableError.

    Parameters
    ----------
    root : Path
        Folder of the source.
    file : Path
    what : str
        The expected kind of file, such as "parquet file", for messages.
    most : int
        Maximum size in bytes.

    Raises
    ------
    UnreadableError
        If it is not a regular file within `root`, or is too large, or cannot be read.
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
    """Return whether any importer reads files of this name."""
    return name.lower().endswith(_READ) or name.rpartition("/")[2].startswith("LICENSE")


def reason(error: BaseException) -> str:
    """Return the first line of an error's message."""
    # The message of an OSError contains the file name, which the report already has.
    text = error.strerror if isinstance(error, OSError) and error.filename else str(error)
    line = next(iter((text or "").splitlines()), "")
    return line[:_SHOWN] if line else type(error).__name__


@contextmanager
def _opened(root: Path, file: Path, what: str, most: int) -> Iterator[BinaryIO]:
    """Open a regular file within `root`."""
    path = file.resolve(strict=True)
    if not path.is_relative_to(root.resolve()):
        message = f"is a link out of the source and is not followed; put the {what} itself there"
        raise UnreadableError(message)
    _check_kind(path.lstat().st_mode, what)
    # These flags prevent blocking and following a link if the file was replaced meanwhile.
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
