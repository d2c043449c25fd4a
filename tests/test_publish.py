"""Suites are written as static sites completely or not at all, and nothing else is touched."""

from __future__ import annotations

import errno
import fcntl
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from explorer import publish
from explorer.cli import app
from explorer.publish import PublishError, publish_site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queries import Store


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["publish", *map(str, arguments)])


def test_command_replaces_its_own_files_only_and_only_with_force(
    site_store: Store, site_suites: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    written = run(site_suites[1], "--to", folder)
    assert written.exit_code == 0, written.stderr
    assert re.fullmatch(rf"{folder}: \d+ files, \d\.\d MB\n", written.stdout)
    for name in ("CNAME", "suites/stale.bin"):
        (folder / name).write_text("mine")
    refused = run(site_suites[1], "--to", folder)
    assert refused.stderr == (
        f"absorption-explorer: {folder}: contains a site already; give another folder, or --force to replace it\n"
    )
    assert run(site_suites[1], "--to", folder, "--force").exit_code == 0
    assert (folder / "CNAME").read_text() == "mine"
    assert not (folder / "suites" / "stale.bin").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
    assert set(site_store.suites) == {"tiny", "several"}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--to", "mine"], "{here}/mine: is not empty, and no site was published there; give another folder"),
        (["--to", "mine", "--force"], "{here}/mine: is not empty, and no site was published there; give another"),
        (["--to", "mine/file"], "{here}/mine/file: is not a folder"),
        (["--to", "no/site"], "{here}/no/site: cannot be written (No such file or directory)"),
        (["--to", "mine/file/site"], "{here}/mine/file/site: cannot be written (Not a directory)"),
    ],
)
def test_invalid_input_is_reported_in_one_line(
    site_suites: list[Path], tmp_path: Path, arguments: list[str], line: str
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    result = run(site_suites[1], arguments[0], tmp_path / arguments[1], *arguments[2:])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"absorption-explorer: {line.format(here=tmp_path)}")
    assert result.stderr.count("\n") == 1
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["mine", "mine/file"]


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            r"written \(No space left on device\); make",
        ),
        (PermissionError(errno.EACCES, "Permission denied"), r"site: cannot be written \(Permission denied\); give"),
        (KeyboardInterrupt(), None),
    ],
)
def test_failed_publish_leaves_no_files(
    site_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, message: str | None
) -> None:
    write = Path.write_bytes

    def fail(path: Path, content: bytes) -> int:
        if path.suffix == ".cos":
            raise failure
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else PublishError, match=message):
        publish_site(site_store, tmp_path / "site")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def two_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reduce a site to two small files, because only their replacement is tested."""
    monkeypatch.setattr(publish, "_files", lambda *_: iter([("index.html", b"new"), ("suites/a.bin", b"new")]))


def everything(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("two_files")
@pytest.mark.parametrize("at", range(1, 7))
@pytest.mark.parametrize("failure", [KeyboardInterrupt(), PermissionError(errno.EACCES, "Permission denied")])
def test_interrupted_replacement_restores_the_former_site(
    site_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, at: int
) -> None:
    folder = tmp_path / "site"
    publish_site(site_store, folder)
    for name in (".git/HEAD", "CNAME"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
    (folder / "index.html").write_text("former")
    was, rename, calls = everything(folder), Path.rename, []

    def fail(path: Path, target: Path) -> Path:
        calls.append(path)
        if len(calls) == at:
            raise failure
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else PublishError):
        publish_site(site_store, folder, force=True)
    assert everything(folder) == was
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
    monkeypatch.undo()


@pytest.mark.usefixtures("two_files")
def test_site_is_replaced_within_its_folder(site_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "site").symlink_to(tmp_path / "disk")
    monkeypatch.chdir(tmp_path / "site")
    publish_site(site_store, Path())
    publish_site(site_store, Path(), force=True)
    assert sorted(everything(Path.cwd())) == ["index.html", "site.json", "suites/a.bin"]
    assert (tmp_path / "site").is_symlink()
    # Files that are not of the former site are not replaced, and are found before the work begins.
    (tmp_path / "disk" / "site.json").write_text('{"written": ["index.html", "site.json"]}')
    with pytest.raises(PublishError, match=r"suites: is not part of the site"):
        publish_site(site_store, Path(), force=True)
    (tmp_path / "disk" / "site.json").write_text("[]")
    with pytest.raises(PublishError, match=r"site\.json: names no site; name another folder"):
        publish_site(site_store, Path(), force=True)
    assert sorted(everything(Path.cwd())) == ["index.html", "site.json", "suites/a.bin"]


@pytest.mark.usefixtures("two_files")
def test_simultaneous_publishes_write_one_site(
    site_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "site"

    def meanwhile(*_: object) -> Iterator[tuple[str, bytes]]:
        yield "index.html", b"late"
        with monkeypatch.context() as other:
            other.setattr(publish, "_files", lambda *_: iter([("index.html", b"first")]))
            other.setattr("os.getpid", lambda: 1)
            publish_site(site_store, folder)

    monkeypatch.setattr(publish, "_files", meanwhile)
    with pytest.raises(PublishError, match="site: contains a site already"):
        publish_site(site_store, folder)
    assert everything(folder).pop("index.html") == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


@pytest.mark.usefixtures("two_files")
@pytest.mark.parametrize("exists", [True, False])
def test_leftovers_of_a_killed_publish_are_removed(site_store: Store, tmp_path: Path, *, exists: bool) -> None:
    folder = tmp_path / "site"
    if exists:
        folder.mkdir()
    left, used = (folder / f".partial.{pid}" if exists else tmp_path / f".site.partial.{pid}" for pid in "12")
    for each in (left, used):
        (each / "suites").mkdir(parents=True)
    held = os.open(used, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    if exists:  # another process is writing to the folder
        with pytest.raises(PublishError, match="is not empty"):
            publish_site(site_store, folder)
    else:
        publish_site(site_store, folder)
    os.close(held)
    assert (left.exists(), used.exists()) == (False, True)
    publish_site(site_store, folder, force=True)
    assert not used.exists()


def test_unreadable_folder_is_reported_in_one_line(
    site_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> Iterator[Path]:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", fail)
    with pytest.raises(PublishError, match=r"cannot be written \(Permission denied\)"):
        publish_site(site_store, tmp_path)
