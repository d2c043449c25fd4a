"""Convert the cosines of one SAE, an npz file per letter, to one parquet file."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import contextmanager
from io import BytesIO
from itertools import chain
from typing import IO, TYPE_CHECKING, Any, BinaryIO
from zipfile import ZipFile

import numpy as np
import pyarrow as pa

from ingest import limits
from ingest.files import Portions, UnreadableError, reading
from ingest.jobs import Outcome
from queries.manifest import MAX_LATENTS
from queries.writer import write_cosines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_WHAT = "npz file"
_MEMBER = "arr_0.npy"
_HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
#: Number of bytes that surely contain the header of an array.
_BEGINNING = 16 * 1024
#: A cosine may exceed 1 by the rounding of float16.
_LARGEST = 1.001


def count_latents(root: Path, files: Mapping[str, Path]) -> int | None:
    """Return the most common length of the arrays of one SAE; None if none can be read."""
    lengths: Counter[int] = Counter()
    for file in files.values():
        try:
            with reading(root, file, _WHAT, limits.FILE) as stream, _member(stream) as (member, _):
                shape, _, _ = _header(member)
        except UnreadableError:  # reported by the job that converts it
            continue
        if len(shape) == 1 and 0 < shape[0] <= MAX_LATENTS:
            lengths[shape[0]] += 1
    return lengths.most_common(1)[0][0] if lengths else None


def write_arrays(folder: Path, sae: str, n_latents: int, root: Path, files: Mapping[str, Path]) -> Outcome:
    """Write the cosines of one SAE into the unfinished suite in `folder`.

    Parameters
    ----------
    folder : Path
    sae : str
    n_latents : int
        Required length of the arrays.
    root : Path
        Folder of the source; files must not be links to outside of it.
    files : mapping of str to Path
        An npz file per concept.

    Returns
    -------
    Outcome
        The file, and the arrays that were omitted; no file if all of them were.
    """
    rejected: list[tuple[Path, str]] = []

    def pieces() -> Iterator[pa.Table]:
        for concept, file in sorted(files.items()):
            try:
                with reading(root, file, _WHAT, limits.FILE) as stream:
                    cosines, remark = _read(stream, n_latents)
            except UnreadableError as error:
                rejected.append((file, str(error)))
                continue
            if remark:
                rejected.append((file, remark))
            names = {name: pa.repeat(value, n_latents) for name, value in (("sae", sae), ("concept", concept))}
            yield pa.table({**names, "latent": latents, "cosine": cosines})

    latents = pa.array(np.arange(n_latents, dtype=np.int32))
    arrays = pieces()
    first = next(arrays, None)
    written = () if first is None else (write_cosines(folder, sae, chain([first], arrays)),)
    return Outcome(written, tuple(rejected))


def _read(stream: BinaryIO, n_latents: int) -> tuple[pa.Array, str]:
    """Return one array, and a remark about values that became NULL; UnreadableError if it is invalid."""
    with _member(stream) as (member, others):
        shape, kind, beginning = _header(member)
        if shape != (n_latents,):
            message = f"the array has shape {shape}, the SAE's others have ({n_latents},); download it again"
            raise UnreadableError(message)
        if not np.issubdtype(kind, np.floating):
            message = f"the array holds {kind}, not cosines; download it again"
            raise UnreadableError(message)
        content = beginning.read()
        content += member.read(n_latents * kind.itemsize - len(content))
        values = np.frombuffer(content, kind, n_latents)
    invalid = ~(np.abs(values) <= _LARGEST)  # NaN compares as false
    empty = int(invalid.sum())
    if empty == n_latents:
        raise UnreadableError("no value of the array is a cosine; download it again")
    remarks = [f"{empty:,} values are not cosines (not finite, or beyond 1) and are left empty"] if empty else []
    remarks += [f"holds other arrays beside {_MEMBER}, which are not imported: {', '.join(others)}"] if others else []
    return pa.array(values.astype(np.float32), mask=invalid), "; ".join(remarks)


@contextmanager
def _member(stream: BinaryIO) -> Iterator[tuple[IO[bytes], list[str]]]:
    """Open the array in an npz file, if its size is plausible; also return the names of other arrays in the file."""
    size = os.fstat(stream.fileno()).st_size
    with Portions(stream) as portions, ZipFile(portions) as archive, archive.open(_MEMBER) as member:
        if archive.getinfo(_MEMBER).file_size > limits.RATIO * size:
            message = f"the array is more than {limits.RATIO} times as large as the file; download it again"
            raise UnreadableError(message)
        yield member, [name for name in archive.namelist() if name != _MEMBER]


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], BytesIO]:
    """Return shape and type of an array, and the bytes after the header that were already read."""
    beginning = BytesIO(member.read(_BEGINNING))
    version = np.lib.format.read_magic(beginning)
    if version not in _HEADER_READERS:
        message = f"the array is of version {version}, which holds no cosines; download it again"
        raise UnreadableError(message)
    shape, _, kind = _HEADER_READERS[version](beginning)
    return shape, kind, beginning
