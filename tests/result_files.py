"""Files of synthetic results: write, change, omit and damage them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def save(path: Path, frame: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(path, index=False)


def edit(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    save(path, change(pd.read_parquet(path)))


def keep(root: Path, *names: str) -> None:
    """Remove all files except those with these names."""
    for file in [file for file in root.rglob("*") if file.is_file()]:
        if file.relative_to(root).as_posix() not in names:
            file.unlink()


def truncated(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def rowless(path: Path) -> None:
    edit(path, lambda frame: frame.head(0))


def columnless(path: Path) -> None:
    save(path, pd.DataFrame([]))
