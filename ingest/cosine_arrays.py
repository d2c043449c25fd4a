"""The cosines of one SAE: 26 npz files become one parquet file."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile

import numpy as np
import pyarrow as pa

from ingest.jobs import Outcome
from ingest.writer import write_cosines

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_ARRAY = "arr_0"
_HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
#: A cosine may exceed 1 by what float16 rounds.
_LARGEST = 1.001


def count_latents(files: Mapping[str, Path]) -> int | None:
    """Return how many latents most of the arrays of one SAE have; None where none can be read."""
    lengths = Counter(length for file in files.values() if (length := _length(file)))
    return lengths.most_common(1)[0][0] if lengths else None


def _length(file: Path) -> int | None:
    """Read the length of an array from its header."""
    try:
        with ZipFile(file) as archive, archive.open(f"{_ARRAY}.npy") as stream:
            shape, _, _ = _HEADER_READERS[np.lib.format.read_magic(stream)](stream)
    except (OSError, EOFError, BadZipFile, KeyError, ValueError):
        return None
    return shape[0] if len(shape) == 1 else None


def write_arrays(folder: Path, sae: tuple[int, int, int], n_latents: int, files: Mapping[str, Path]) -> Outcome:
    """Write the cosines of one SAE into the suite that grows in `folder`.

    Parameters
    ----------
    folder : Path
    sae : (int, int, int)
        Layer, nominal width and L0.
    n_latents : int
        Length that the arrays must have.
    files : mapping of str to Path
        An npz file a letter.

    Returns
    -------
    Outcome
        The file, and the arrays that were left out; no file where none is left.
    """
    arrays: dict[str, np.ndarray] = {}
    rejected: list[tuple[Path, str]] = []
    for letter, file in sorted(files.items()):
        try:
            arrays[letter], remark = _read(file, n_latents)
        except (OSError, EOFError, BadZipFile, KeyError, ValueError) as error:
            remark = f"{error or type(error).__name__}; fetch the file again"
        if remark:
            rejected.append((file, remark))
    if not arrays:
        return Outcome((), tuple(rejected))
    letters = pa.array(list(arrays))
    data = pa.table(
        {
            "letter": letters.take(pa.array(np.repeat(np.arange(len(arrays)), n_latents))),
            "latent": np.tile(np.arange(n_latents, dtype=np.int32), len(arrays)),
            "cosine": pa.concat_arrays(list(arrays.values())),
        }
    )
    return Outcome((write_cosines(folder, sae, data),), tuple(rejected))


def _read(file: Path, n_latents: int) -> tuple[pa.Array, str]:
    """Read one array; also say what had to be left empty. ValueError where it cannot stand."""
    with np.load(file) as archive:
        values = archive[_ARRAY]
    if values.shape != (n_latents,):
        message = f"the array has shape {values.shape}, the SAE's others have ({n_latents},)"
        raise ValueError(message)
    if not np.issubdtype(values.dtype, np.floating):
        message = f"the array holds {values.dtype}, not cosines"
        raise ValueError(message)
    strange = ~(np.abs(values) <= _LARGEST)  # NaN compares as false
    empty = int(strange.sum())
    if empty == n_latents:
        message = "no value of the array is a cosine"
        raise ValueError(message)
    remark = f"{empty:,} values are no cosines (not finite, or beyond 1) and are left empty" if empty else ""
    return pa.array(values.astype(np.float32), mask=strange), remark
