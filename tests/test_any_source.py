"""Commands accept any source: results, wherever they are, are imported into a cache, once."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner, Result

from explorer.cli import app
from ingest import cache as cache_module
from ingest import download, importer, limits, opening, web
from ingest.addresses import list_address
from ingest.web import PIECE, RemoteError
from tests.remote_results import ACCESS_KEY, COMMIT, TOKEN, Remote, remote_results
from tests.saebench_results import FULL, RECORDS, results_file, write_results
from tests.test_remote_suite import _httpfs
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

N_SAES = 2


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache_module.FOLDER, str(tmp_path / "cache"))
    monkeypatch.setattr(download, "PAUSES", (0.0, 0.0, 0.0))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_results(tmp_path_factory.mktemp("results") / "mine")


@pytest.fixture
def remote(tmp_path: Path, results: Path) -> Iterator[Remote]:
    shutil.copytree(results, tmp_path / "web/hub")
    shutil.copytree(results, tmp_path / "web/bucket/mine")
    shutil.make_archive(str(tmp_path / "web/mine"), "zip", results.parent, "mine")
    with zipfile.ZipFile(tmp_path / "web/mine.zip", "a") as archive:
        archive.writestr("mine/notes.txt", "x" * 4 * PIECE)  # not compressed
    with remote_results(tmp_path / "web") as remote:
        yield remote


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def info(source: object) -> dict[str, Any]:
    result = run("info", source, "--json")
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def refused(source: object) -> str:
    """Return the one-line error for a source, without the program's name."""
    result = run("info", source)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("absorption-explorer: ").strip()


def entries() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("cache", "list", "--json").stdout)["entries"]
    return found


# --- On this machine --------------------------------------------------------------------------------------------------


def test_results_are_imported_once_into_the_cache(results: Path, tmp_path: Path) -> None:
    before = sorted(results.parent.rglob("*"))
    first = run("info", results, "--json")
    assert json.loads(first.stdout)["n_saes"] == N_SAES
    assert f"{results}: imported; " in first.stderr
    assert run("info", results, "--json").stderr == ""
    # Equal content elsewhere shares the entry; changed content has another one.
    copy = shutil.copytree(results, tmp_path / "elsewhere/mine")
    assert info(copy)["suite"] == "mine"
    assert [(each["name"], each["source"]) for each in entries()] == [("mine", str(results))]
    (copy / RECORDS).unlink()
    assert info(copy)["n_saes"] == N_SAES
    assert len(entries()) == 2
    assert sorted(results.parent.rglob("*")) == before


def test_every_command_accepts_files_and_archives(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = shutil.make_archive(str(tmp_path / "mine"), "gztar", results.parent, "mine")
    assert info(archive)["suite"] == "mine"
    assert info(results / results_file(FULL))["n_saes"] == 1
    checked = run("check", archive)
    assert (checked.exit_code, checked.stdout.endswith("mine: no problems\n")) == (0, True)
    served: list[str] = []
    monkeypatch.setattr("explorer.server.serve", lambda paths, **_: served.extend(paths))
    assert run("serve", write_tiny_suite(tmp_path / "tiny"), archive).exit_code == 0
    assert served[0] == str(tmp_path / "tiny")
    assert served[1].startswith(str(tmp_path / "cache"))
    assert run("snapshot", archive, "-o", tmp_path / "page.html").exit_code == 0
    assert (tmp_path / "page.html").stat().st_size


def test_unusable_sources_are_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    assert refused(tmp_path / "photos").startswith(f"{tmp_path}/photos: contains no results in a known format; give")
    assert refused(tmp_path / "photos").endswith(", or the folder of a suite, which holds manifest.json")
    assert "no such folder" in refused(tmp_path / "none")
    assert refused("x" * 5_000).endswith(": cannot be read (File name too long)")
    assert refused("https://[::1/x.zip") == "https://[::1/x.zip: is no address (Invalid IPv6 URL)"
    assert refused("ftp://example.org/x").startswith(
        "ftp://example.org/x: is of a kind that is not read; give https://"
    )


def test_folder_of_several_suites_is_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_tiny_suite(tmp_path / "suites" / name, name=name)
    (tmp_path / "suites/README.md").write_text("Two suites.")
    assert refused(tmp_path / "suites").startswith(f"{tmp_path}/suites: contains 2 suites; give one of them")
    (tmp_path / "broken.zip").write_bytes(b"PK broken")
    assert refused(tmp_path / "broken.zip").startswith(f"{tmp_path}/broken.zip: cannot be unpacked")
    assert not (tmp_path / "cache/suites").exists() or not entries()
    # With several suites, the error lists them, because the command shows one.
    for name in ("one", "two"):
        write_tiny_suite(tmp_path / "both" / name, name=name)
    assert refused(tmp_path / "both").endswith(
        f"contains 2 suites; give one of them: {tmp_path}/both/one, {tmp_path}/both/two"
    )


# --- On web servers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/mine.zip", "/moved/mine.zip", "/mine.zip?download=1&token=secret"])
def test_archive_at_a_url_is_imported(remote: Remote, path: str) -> None:
    assert info(remote.url + path)["n_saes"] == N_SAES
    fetched = len(remote.requests)
    assert info(remote.url + path)["suite"] == "mine"
    assert len(remote.requests) - fetched <= 2  # requests that check the file, without a download
    (entry,) = entries()
    assert entry["source"] == remote.url + path.partition("?")[0]
    assert not list((cache_module.folder() / "downloads").iterdir())


@pytest.mark.parametrize("has_ranges", [True, False])
def test_interrupted_download_is_resumed(remote: Remote, has_ranges: bool) -> None:  # noqa: FBT001 - pytest hands it over
    remote.has_ranges = has_ranges
    # The first response answers the request that checks the file.
    remote.faults["/mine.zip"] = [0, 2 * PIECE, 503, PIECE]
    assert info(f"{remote.url}/mine.zip")["n_saes"] == N_SAES
    assert f"bytes={2 * PIECE}-" in remote.asked("/mine.zip")


def test_stalled_download_is_resumed(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "READ_SECONDS", 0.2)
    remote.faults["/mine.zip"] = [0, -2 * PIECE]
    assert info(f"{remote.url}/mine.zip")["n_saes"] == N_SAES
    assert remote.asked("/mine.zip")[-1] == f"bytes={2 * PIECE}-"


def test_unfinished_download_is_resumed_by_the_next_command(remote: Remote) -> None:
    remote.faults["/mine.zip"] = [0, 2 * PIECE, 503, 503, 503]
    assert refused(f"{remote.url}/mine.zip") == (
        f"{remote.url}/mine.zip: mine.zip: 503 Service Unavailable, 4 times in a row; run the command again"
    )
    assert json.loads(run("cache", "list", "--json").stdout)["unfinished_bytes"] == 2 * PIECE
    assert info(f"{remote.url}/mine.zip")["n_saes"] == N_SAES
    assert remote.asked("/mine.zip")[-1] == f"bytes={2 * PIECE}-"


def test_without_validators_results_are_downloaded_again_and_imported_once(remote: Remote) -> None:
    remote.has_validators = False
    assert info(f"{remote.url}/mine.zip")["n_saes"] == N_SAES
    assert "imported" not in run("info", f"{remote.url}/mine.zip").stderr
    assert len(entries()) == 1


def test_unavailable_sources_are_named_in_one_line(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    (remote.folder / "page.html").write_text("<h1>Results</h1>")
    (remote.folder / "notes.json").write_text("[]")
    assert refused(f"{remote.url}/none") == (
        f"{remote.url}/none: 404 Not Found, and has no manifest.json of a suite below it"
    )
    assert refused(f"{remote.url}/none.zip") == f"{remote.url}/none.zip: 404 Not Found"
    assert "is a web page; give the address of a suite, or of a file" in refused(f"{remote.url}/page.html")
    assert refused(f"{remote.url}/round/mine.zip") == f"{remote.url}/round/mine.zip: redirects more than 10 times"
    assert refused(f"{remote.url}/notes.json").startswith(
        f"{remote.url}/notes.json: contains no results in a known format"
    )
    remote.faults["/mine.zip"] = [0, *[500] * 4]
    assert "500 Internal Server Error, 4 times in a row" in refused(f"{remote.url}/mine.zip")
    monkeypatch.setattr(limits, "UNPACKED", 10)
    assert "has 0 MB, more than the 0 MB that is read at most" in refused(f"{remote.url}/mine.zip")


def test_change_during_the_download_is_detected(remote: Remote) -> None:
    archive = remote.folder / "mine.zip"
    remote.faults["/mine.zip"] = [0, archive.stat().st_size // 2]
    listing = list_address(f"{remote.url}/mine.zip")
    archive.write_bytes(archive.read_bytes() + b"\0")
    remote.faults.clear()
    (cache_module.folder()).mkdir()
    with pytest.raises(RemoteError, match=r"^mine\.zip: changed during the download; run the command again"):
        download.download(listing.files, cache_module.folder(), lambda *_: None)


def test_copy_is_shown_if_the_server_is_unreachable(remote: Remote, tmp_path: Path) -> None:
    assert info(f"{remote.url}/mine.zip")["n_saes"] == N_SAES
    with remote_results(tmp_path) as other:
        gone = other.url
    assert refused(f"{gone}/mine.zip") == f"{gone}/mine.zip: no connection to its server"
    remote.faults["/mine.zip"] = []
    for file in (
        cache_module.folder() / "addresses"
    ).iterdir():  # as if it had been downloaded from the unreachable server
        file.rename(file.with_stem(cache_module.digest(_address(f"{gone}/mine.zip"))))
    shown = run("info", f"{gone}/mine.zip")
    assert shown.exit_code == 0
    assert "no connection to its server; this is the copy that was fetched on " in shown.stderr


def _address(url: str) -> str:
    return json.dumps([url, (), cache_module.PROGRAM, "mine", "", "auto"])


# --- On Hugging Face, and in buckets ----------------------------------------------------------------------------------


def test_hugging_face_repository_is_imported(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", remote.url)
    assert "401 Unauthorized; where it is not public, put a token into HF_TOKEN" in refused("hf://datasets/me/mine")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    (remote.folder / "hub/weights.pt").write_bytes(b"large")
    assert info("hf://datasets/me/mine")["n_saes"] == N_SAES
    paths = [path for path, _, _ in remote.requests]
    assert f"/api/datasets/me/mine/tree/{COMMIT}" in paths
    assert "/hub/weights.pt" not in paths
    # The token is sent to the hub, not to the target of its redirect.
    assert {rights for path, _, rights in remote.requests if path.startswith("/hub/")} == {""}
    assert info(f"hf://datasets/me/mine@main/{results_file(FULL)}")["n_saes"] == 1
    assert info("hf://datasets/me/mine/eval_results")["n_saes"] == N_SAES
    (remote.folder / "hub" / RECORDS).with_suffix(".parquet").write_bytes(b"changed")
    assert refused("hf://me/mine").endswith("write it as hf://datasets/OWNER/NAME[@REVISION][/FOLDER]")


def test_bucket_is_imported(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", remote.url)
    assert "403 Forbidden" in refused("s3://bucket/mine")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert info("s3://bucket/mine")["n_saes"] == N_SAES
    assert info(f"s3://bucket/mine/{results_file(FULL)}")["n_saes"] == 1
    assert refused("s3://bucket/none.zip") == "s3://bucket/none.zip: 404 Not Found"
    assert refused("s3://bucket/none") == "s3://bucket/none: holds no files"


@pytest.mark.skipif(not _httpfs(), reason="no httpfs is installed")
def test_suite_in_a_bucket_is_read_in_place_and_checked_in_a_copy(
    remote: Remote, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_tiny_suite(remote.folder / "bucket/tiny", saes=[(0, 1000, 10)])
    shutil.copytree(remote.folder / "bucket/tiny", remote.folder / "tiny")
    monkeypatch.setenv("AWS_ENDPOINT_URL", remote.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    for source in ("s3://bucket/tiny", f"{remote.url}/tiny"):
        assert info(source)["suite"] == "tiny"
        assert not (tmp_path / "cache").exists()
    for source in ("s3://bucket/tiny", f"{remote.url}/tiny"):
        assert json.loads(run("check", source, "--json").stdout) == {"ok": True, "problems": []}
    assert len(entries()) == 1


# --- The cache --------------------------------------------------------------------------------------------------------


def test_one_process_fills_an_entry_and_others_wait(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = threading.Event()
    calls: list[object] = []
    really = importer.import_results

    def import_results(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        assert waits.wait(60)  # until the other process has arrived
        return really(*arguments, **options)

    def progress(what: str, *_: int) -> None:
        if what.startswith("Waiting for another process"):
            waits.set()

    monkeypatch.setattr(opening, "import_results", import_results)
    with ThreadPoolExecutor(2) as pool:
        first, second = [pool.submit(opening.suites_of, results, progress=progress) for _ in range(2)]
    assert first.result() == second.result()
    assert len(calls) == 1


def test_interrupted_import_downloads_nothing_again(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(opening, "import_results", interrupt)
        assert refused(f"{remote.url}/mine.zip") == "interrupted; run the same command again to continue"
    asked = len(remote.asked("/mine.zip"))
    assert info(f"{remote.url}/mine.zip")["n_saes"] == N_SAES
    assert len(remote.asked("/mine.zip")) == asked + 1  # the request that checks the file


def test_clear_removes_unused_entries(results: Path, cache: Path) -> None:
    (place,) = opening.suites_of(results)
    key = json.loads((cache / "suites").iterdir().__next__().joinpath("entry.json").read_text())["key"]
    kept = run("cache", "clear")
    assert kept.exit_code == 1
    assert "Kept, because another process uses it:\n  mine\n" in kept.stdout
    os.close(cache_module._HELD.pop(cache / "suites" / key))  # as at the end of that process
    assert run("cache", "clear", "other").stderr.startswith(
        "absorption-explorer: no entry of the cache is called other"
    )
    assert run("cache", "clear", "mine").stdout == f"{cache}: removed\n  mine\n"
    assert not os.path.exists(place)  # noqa: PTH110 - a location, which may be a URL
    assert info(results)["n_saes"] == N_SAES


def test_unusable_cache_is_named_in_one_line(
    results: Path, cache: Path, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.write_text("a file")
    why = "the cache cannot be written (Not a directory); make room, or name another with ABSORPTION_EXPLORER_CACHE"
    assert refused(results) == f"{cache}: {why}"
    cache.unlink()
    cache.mkdir()
    (cache / "cache.json").write_text('{"version": 2}')
    assert refused(results).startswith(
        f"{cache}: is the cache of another version of this program (2, this one knows 1)"
    )
    (cache / "cache.json").write_text("{")
    assert "cache.json: is damaged" in refused(results)
    (cache / "cache.json").unlink()
    usage = shutil.disk_usage(cache)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100))
        assert "the disk of the cache has room for" in refused(f"{remote.url}/mine.zip")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(importer, "write_tables", full)
        assert "the cache cannot be written (No space left on device); make room" in refused(results)
    assert info(results)["n_saes"] == N_SAES


def test_cache_may_change_while_it_is_listed(results: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info(results)
    (entry,) = entries()
    own = cache_module._read

    def cleared(place: Path) -> cache_module.Entry | None:
        found = own(place)
        shutil.rmtree(place, ignore_errors=True)
        return found

    monkeypatch.setattr(cache_module, "_read", cleared)
    listed = run("cache", "list", "--json")
    assert (listed.exit_code, listed.stderr) == (0, "")
    monkeypatch.setattr(cache_module, "_read", own)
    assert not (cache / "suites" / entry["key"]).exists()
    monkeypatch.setattr(
        cache_module.Cache,
        "entries",
        lambda _: os.listdir(cache / "cache.json"),  # noqa: PTH208 - as a folder without rights
    )
    refused = run("cache", "list")
    assert refused.stderr == f"absorption-explorer: {cache}/cache.json: cannot be read (Not a directory)\n"


def test_damaged_entry_is_imported_again(results: Path, cache: Path) -> None:
    assert info(results)["n_saes"] == N_SAES
    (entry,) = (cache / "suites").iterdir()
    (entry / "entry.json").write_text("{")
    assert info(results)["n_saes"] == N_SAES
    assert len(entries()) == 1
