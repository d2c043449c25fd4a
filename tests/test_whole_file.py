"""If the disk is full, existing files remain unchanged, and no partial files are left."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from explorer import Explorer, FigureError, SnapshotError, figures, open_store, save_snapshot
from explorer.whole_file import whole_file
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOM = 10_000


@contextmanager
def full_disk() -> Iterator[None]:
    """Limit files to `ROOM` bytes, which fails like a full disk, with another error number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("before", [None, b"what was there"], ids=["new", "replaced"])
def test_file_is_complete_or_unchanged(tmp_path: Path, before: bytes | None) -> None:
    path = tmp_path / "file"
    if before:
        path.write_bytes(before)
    with full_disk(), pytest.raises(OSError, match="File too large"), whole_file(path) as file:
        file.write(bytes(2 * ROOM))
    with pytest.raises(KeyboardInterrupt), whole_file(path):
        raise KeyboardInterrupt
    assert [each.read_bytes() for each in tmp_path.iterdir()] == ([before] if before else [])
    with whole_file(path) as file:
        file.write(b"all of it")
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"all of it"]


def test_snapshot_and_figure_report_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "in_browser", lambda _: [bytes(2 * ROOM)])
    target = tmp_path / "target"
    target.mkdir()
    with open_store(write_tiny_suite(tmp_path / "tiny", saes=((0, 1000, 10),))) as store:
        explorer = Explorer(store, letter="s")
        with full_disk():
            with pytest.raises(SnapshotError, match=r"snapshot\.html: cannot be written \(File too large\)"):
                save_snapshot(store, target / "snapshot.html", letter="s")
            with pytest.raises(FigureError, match=r"cosine\.svg cannot be written: File too large"):
                explorer.save_figure("cosine", target / "cosine.svg")
    assert list(target.iterdir()) == []
