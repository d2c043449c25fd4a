"""Unpack archives with results, without trusting the names and sizes in them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tarfile
import zipfile
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Any, BinaryIO, NamedTuple

from ingest import limits
from ingest.files import Portions, UnreadableError, reading
from queries.conform import IngestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_COMPRESSIONS: dict[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
#: Suffixes of files that are results, not archives.
_RESULTS = (".json", ".parquet", ".csv")
_MAGIC = max(map(len, _COMPRESSIONS))


class _Member(NamedTuple):
    """A file of an archive, or a folder, which has no content."""

    name: str
    size: int
    content: IO[bytes] | None


def is_result(path: Path) -> bool:
    """Return whether a file is a result rather than an archive, judging by its name."""
    return path.is_file() and path.suffix.lower() in _RESULTS


@contextmanager
def unpacked(path: Path, target: Path) -> Iterator[Path]:
    """Yield the path of results, or that of an archive's temporarily unpacked contents.

    Parameters
    ----------
    path : Path
        A folder, a JSON, parquet or CSV file, or a zip or tar file. If an archive contains a single folder and nothing
        else, that folder is yielded.
    target : Path
        Path of the suite to be written. Archives are unpacked next to it, where the suite needs disk space, too.

    Raises
    ------
    IngestError
        If there is nothing at `path`; or the archive cannot be unpacked, has members outside the folder or other than
        files and folders, or exceeds `ingest.limits`.
    """
    if path.is_dir() or is_result(path):
        yield path
        return
    if not path.exists():
        message = f"{path}: no such folder; give the folder that holds the results"
        raise IngestError(message)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = TemporaryDirectory(prefix=f".{target.name}.source-", dir=target.parent)
    except OSError as error:
        message = f"{target}: cannot be written ({error.strerror}); choose another folder with --to"
        raise IngestError(message) from error
    with scratch:
        folder = Path(scratch.name)
        try:
            # A link to the archive is the user's own, so it is followed.
            with reading(path.resolve().parent, path, "archive", limits.UNPACKED) as stream:
                _unpack(stream, path.stat().st_size, folder)
        except UnreadableError as error:
            message = f"{path}: cannot be unpacked: {error}"
            raise IngestError(message) from error
        inside = list(folder.iterdir())
        yield inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _unpack(stream: BinaryIO, size: int, folder: Path) -> None:
    """Unpack an archive of `size` bytes into `folder`."""
    free = int(limits.FREE_SHARE * shutil.disk_usage(folder).free)
    most = min(limits.UNPACKED, max(limits.UNPACKED_ANYWAY, limits.RATIO * size), free)
    total = 0
    for number, member in enumerate(_members(stream), 1):
        total += member.size
        _check_number(number)
        if total > most:
            why = "the disk has room for" if most == free else "an archive of its size holds"
            raise UnreadableError(
                f"unpacked it takes more than the {most / limits.MB:,.0f} MB that {why}; unpack it yourself"
            )
        place = folder / _within(member.name)
        if member.content is None:
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        with member.content, place.open("wb") as file:
            shutil.copyfileobj(member.content, file)


def _check_number(number: int) -> None:
    if number > limits.ENTRIES:
        raise UnreadableError(f"it holds more than {limits.ENTRIES:,} files; give the results only")


def _within(name: str) -> PurePosixPath:
    """Return the relative path of a member; UnreadableError if it is outside the folder or nested too deeply."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise UnreadableError(f"{name[:100]!r} in it would be outside of the folder; unpack it yourself")
    if len(path.parts) > limits.DEPTH:
        raise UnreadableError(f"{name[:100]!r} in it is more than {limits.DEPTH} folders deep; unpack it yourself")
    return path


def _members(stream: BinaryIO) -> Iterator[_Member]:
    """Yield the members of a zip or (compressed) tar file."""
    magic = stream.read(_MAGIC)
    stream.seek(0)
    if magic.startswith(b"PK"):  # not zipfile.is_zipfile, which is also true for a tar that ends with an npz file
        with Portions(stream) as portions, zipfile.ZipFile(portions) as archive:
            members = archive.infolist()
            _check_number(len(members))  # before the first is unpacked
            for info in members:
                yield _Member(info.filename, info.file_size, None if info.is_dir() else archive.open(info))
        return
    uncompressed = next((way(stream) for start, way in _COMPRESSIONS.items() if magic.startswith(start)), stream)
    # Other modes read a whole header into memory, however long it is.
    with Portions(uncompressed) as portions, tarfile.open(fileobj=portions, mode="r:") as tar:
        for member in tar:
            if not (member.isfile() or member.isdir()):
                raise UnreadableError(f"{member.name[:100]!r} in it is a link or a device; unpack it yourself")
            yield _Member(member.name, member.size, tar.extractfile(member))
        # The checksum of a compressed file is at its end, so the rest is read, too; only short padding is allowed.
        portions.read()
