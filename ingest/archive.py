"""Results that come as an archive, unpacked without trust in the names inside."""

from __future__ import annotations

import tarfile
import zipfile
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ingest.conform import IngestError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def unpacked(path: Path, target: Path) -> Iterator[Path]:
    """Give the folder of the results at `path`: itself, or for the block's time an unpacked archive.

    Parameters
    ----------
    path : Path
        A folder, or a zip or tar file. If that holds one folder and nothing else, it is this folder.
    target : Path
        The archive is unpacked beside it, where the suite will need room as well.

    Raises
    ------
    IngestError
        Where there is neither, or a member would lie outside the folder, or is a link out of it.
    """
    if path.is_dir():
        yield path
        return
    if not path.exists():
        message = f"{path}: no such folder; give the folder that holds the results"
        raise IngestError(message)
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{target.name}.source-", dir=target.parent) as scratch:
        folder = Path(scratch)
        try:
            _unpack(path, folder)
        except (tarfile.TarError, zipfile.BadZipFile, OSError, ValueError) as error:
            message = f"{path}: cannot be unpacked ({error}); unpack it yourself and give the folder"
            raise IngestError(message) from error
        inside = list(folder.iterdir())
        yield inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _unpack(path: Path, folder: Path) -> None:
    if tarfile.is_tarfile(path):
        with tarfile.open(path) as tar:
            tar.extractall(folder, filter="data")  # refuses absolute names, "..", devices and links that lead out
        return
    if not zipfile.is_zipfile(path):
        message = "neither a folder nor a zip or tar archive"
        raise ValueError(message)
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not (folder / member.filename).resolve().is_relative_to(folder.resolve()):
                message = f"{member.filename!r} would lie outside of it"
                raise ValueError(message)
        archive.extractall(folder)  # noqa: S202 - names were checked; zipfile makes no links
