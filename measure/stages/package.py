"""Stage: download and unpack a Debian package, for the text in its files."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

from measure.errors import MeasureError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def unpack_debian(package: str, folder: Path) -> None:
    """Download a Debian package with apt-get and unpack it into `folder`, without installing it.

    Raises
    ------
    MeasureError
        If apt-get is missing or does not find the package.
    """
    try:
        subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True, capture_output=True, text=True)
        (archive,) = folder.glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", archive, folder], check=True, capture_output=True, text=True)
        archive.unlink()
    except (OSError, subprocess.CalledProcessError) as error:
        why = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
        message = f"text: package {package!r} cannot be fetched ({why}); run apt-get update, or give the text as files"
        raise MeasureError(message) from error


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:  # noqa: ARG001 - a stage's signature
    """Run the stage."""
    unpack_debian(settings["debian"], out)
    progress(1)
