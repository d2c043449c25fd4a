"""Malicious results: each bad file is one line in the report, nothing outside is read, the rest is imported.

Every kind of file of every format is tried in place of itself, so that a new way to read one shows here.
"""

from __future__ import annotations

import fcntl
import gzip
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest import IngestError, import_results, limits
from queries import check_suite
from queries.schema import LETTERS
from tests import absorption_atlas_results, own_tables, published_results, sae_spelling_results, saebench_results
from tests.dashboard_page import dashboard_page
from tests.result_files import edit

if TYPE_CHECKING:
    from collections.abc import Callable

ARRAY = "probe_sae_cos_sims/layer_8/width_64/l0_9/letter_q.npz"
PAGE = "non_canonical_dashboards/layer_8/width_64/average_l0_9_feature_3.html"


def write_published(root: Path) -> Path:
    published_results.write_published_results(root)
    (root / PAGE).parent.mkdir(parents=True)
    for latent in (3, 5):
        (root / PAGE).with_name(f"average_l0_9_feature_{latent}.html").write_text(dashboard_page(latent), "utf-8")
    return root


#: By format, its writer and a file of each kind: all of them are damaged at once, and something is left to import.
FORMATS: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "published": (
        write_published,
        (
            *("manifest.json", "LICENSES.txt", "feature_absorption_results.parquet", "k_sparse_results.parquet"),
            *("top_feat_precision_recall.parquet", "english_tokens.parquet", "prompts.parquet"),
            *(f"latent_{stem}.parquet" for stem in ("stats", "examples", "logits", "histograms", "token_activations")),
            *(ARRAY, PAGE),
        ),
    ),
    "sae-spelling": (
        sae_spelling_results.write_results,
        tuple(getattr(sae_spelling_results, name) for name in ("TESTED", "RAW", "ENCODER", "METADATA")),
    ),
    "saebench": (
        saebench_results.write_results,
        (
            saebench_results.results_file(saebench_results.FULL),
            saebench_results.results_file(saebench_results.FULL, "core"),
            *(getattr(saebench_results, name) for name in ("TESTED", "RAW", "RECORDS", "METADATA")),
        ),
    ),
    "absorption-atlas": (
        absorption_atlas_results.write_one_model,
        tuple(getattr(absorption_atlas_results, name) for name in ("GATE", "ALL_LAST", "DETAIL", "PROJECTIONS")),
    ),
    "tables": (
        own_tables.write_results,
        tuple(getattr(own_tables, name) for name in ("LATENTS", "SAES", "K_SPARSE", "DESCRIPTION")),
    ),
}
#: A file of scores, by format; if it lacks latents, these are read from the file beside it.
SCORES = {"sae-spelling": sae_spelling_results.K_SPARSE, "saebench": saebench_results.METRICS}


def to_a_secret(file: Path, secret: Path) -> str:
    """Replace the file by a link to a readable file."""
    file.rename(secret)
    file.symlink_to(secret)
    return "is a link out of the source"


def to_nothing(file: Path, secret: Path) -> str:
    file.unlink()
    file.symlink_to(secret.with_name("none"))
    return "No such file"


def to_itself(file: Path, _: Path) -> str:
    file.unlink()
    file.symlink_to(file.name)
    return "ymlink loop"


def to_a_device(file: Path, _: Path) -> str:
    file.unlink()
    file.symlink_to("/dev/zero")
    return "is a link out of the source"


def a_pipe(file: Path, _: Path) -> str:
    file.unlink()
    os.mkfifo(file)
    return "is a pipe"


def a_folder(file: Path, _: Path) -> str:
    file.unlink()
    (file / "within").mkdir(parents=True)
    return "is a folder"


def endless(file: Path, _: Path) -> str:
    with file.open("wb") as stream:
        stream.truncate(2**36)
    return " MB"


@pytest.mark.parametrize("make", [to_a_secret, to_nothing, to_itself, to_a_device, a_pipe, a_folder, endless])
@pytest.mark.parametrize("name", FORMATS)
def test_only_plain_files_of_the_source_are_read(tmp_path: Path, name: str, make: Callable[[Path, Path], str]) -> None:
    write, files = FORMATS[name]
    root = write(tmp_path / "results")
    if name in SCORES:
        edit(root / SCORES[name], lambda frame: frame.drop(columns=[each for each in frame if each.endswith("_feats")]))
    expected = {file: make(root / file, tmp_path / f"secret-{n}") for n, file in enumerate(files)}
    _, report = import_results(root, tmp_path / "suite")
    assert sorted(file for file, _ in report.rejected) == sorted(files)
    assert {file: reason for file, reason in report.rejected if expected[file] not in reason} == {}
    assert report.read
    assert not report.read & set(files)
    assert check_suite(tmp_path / "suite") == []


def test_folders_are_searched_without_following_links(tmp_path: Path) -> None:
    root = saebench_results.write_results(tmp_path / "results[*]?\n")
    (tmp_path / "outside").mkdir()
    shutil.copytree(root / "artifacts", tmp_path / "outside" / "artifacts")
    (root / "elsewhere").symlink_to(tmp_path / "outside")
    (root / "eval_results" / "again").symlink_to(root)
    deep = root.joinpath(*"a" * 40)
    deep.mkdir(parents=True)
    _, report = import_results(root, tmp_path / "suite[*]?")
    link = "is a link to a folder and is not followed; put the folder itself there"
    assert dict(report.rejected) == {
        str(Path(*"a" * 33)): "is more than 32 folders deep; move it up",
        "elsewhere": link,
        "eval_results/again": link,
    }


def _npy(shape: str, content: bytes = b"", kind: str = "<f4") -> bytes:
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (53 - len(header) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + content


def _npz(content: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("arr_0.npy", content)
    return stream.getvalue()


def _patched(archive: bytes, local: int, central: int, value: bytes) -> bytes:
    """Change two bytes in both headers of each member of a zip file."""
    for signature, place in ((b"PK\3\4", local), (b"PK\1\2", central)):
        parts = archive.split(signature)
        archive = signature.join([parts[0], *(part[: place - 4] + value + part[place - 2 :] for part in parts[1:])])
    return archive


def _encrypted(archive: bytes) -> bytes:
    return _patched(archive, 6, 8, b"\x01\x00")


def _deflate64(archive: bytes) -> bytes:
    return _patched(archive, 8, 10, b"\x09\x00")


def _corrupt(archive: bytes) -> bytes:
    middle = len(archive) // 2
    return archive[:middle] + b"\xff" * 20 + archive[middle + 20 :]


def test_arrays_are_limited_by_their_content_not_their_header(tmp_path: Path) -> None:
    root = published_results.write_published_results(tmp_path / "results")
    values = np.random.default_rng(0).uniform(-1, 1, 64).astype("<f4").tobytes()
    good = _npy("(64,)", values)
    bad = {
        "a": _npz(_npy("(1099511627776,)")),
        "b": _npz(_npy("(64,)")),
        "c": _npz(_npy("(64, ")),
        "d": _npz(_npy("(" * 2000)),
        "e": _npz(_npy("(-64,)")),
        "f": _npz(_npy("(64,)", values, "<U536870911")),
        "g": _npz(b"\x93NUMPY\x09\x09" + good),
        "h": _npz(b"none"),
        "i": _encrypted(_npz(good)),
        "j": _deflate64(_npz(good)),
        "k": _corrupt(_npz(good, zipfile.ZIP_LZMA)),
        "l": _corrupt(_npz(good, zipfile.ZIP_DEFLATED)),
        "m": _npz(good + bytes(50 * limits.MB), zipfile.ZIP_DEFLATED),
        "n": good,
        "o": b"\x80\x04.",
    }
    for letter, content in bad.items():
        (root / ARRAY).with_name(f"letter_{letter}.npz").write_bytes(content)
    for letter in LETTERS:  # all contain the same wrong value
        (root / f"probe_sae_cos_sims/layer_4/width_64/l0_7/letter_{letter}.npz").write_bytes(_npz(_npy(f"({2**31},)")))
    manifest, report = import_results(root, tmp_path / "suite")
    assert sorted(Path(file).stem[-1] for file, _ in report.rejected if "layer_8" in file) == sorted(bad)
    assert sum("layer_4" in file for file, _ in report.rejected) == len(LETTERS)
    assert [sae.n_latents for sae in manifest.saes] == [64, 64]
    assert check_suite(tmp_path / "suite") == []


@pytest.mark.parametrize(
    "content",
    [
        "[" * 200_000,
        '{"model":' * 200_000,
        '{"model": 1' + "0" * 5000 + "}",
        '{"model": "\\ud800"}',
        '{"model": "m", "corpus": [{"a": ' + "[" * 900 + "]" * 900 + "}]}",
    ],
)
def test_invalid_json_is_rejected_alone(tmp_path: Path, content: str) -> None:
    roots = (published_results.write_published_results(tmp_path / "published"), tmp_path / "saebench")
    saebench_results.write_results(roots[1])
    results, records = saebench_results.results_file(saebench_results.FULL), saebench_results.RECORDS
    for root, files in zip(roots, (["manifest.json"], [results, records]), strict=True):
        for file in files:
            (root / file).write_text(content, "utf-8")
        shutil.rmtree(root / "probe_sae_cos_sims", ignore_errors=True)
        _, report = import_results(root, tmp_path / f"suite-{root.name}")
        assert sorted(file for file, _ in report.rejected) == sorted(files)
        assert all("\n" not in reason for _, reason in report.rejected)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("d_sae", 2**70),
        ("d_sae", 2**31),
        ("d_sae", 2**30),
        ("sae_lens_id", "width_99m"),
        ("sae_lens_id", "x" * 20_000),
        ("hook_layer", 2**31),
        ("hook_name", "blocks." + "9" * 5000),
        ("sae_lens_id", "width_2pow99999999999"),
        ("sae_lens_id", "width_" + "9" * 5000 + "k"),
        ("sae_lens_id", "layer_5/\n\x1b[31m*?['\""),
        ("f1_jump_threshold", 1e300),
    ],
)
def test_out_of_range_numbers_reject_their_file_only(tmp_path: Path, place: str, value: object) -> None:
    root = saebench_results.write_results(tmp_path / "results")
    file = root / saebench_results.results_file(saebench_results.FULL)
    results = json.loads(file.read_text("utf-8"))
    if place in ("d_sae", "sae_lens_id"):
        del results["sae_cfg_dict"]["d_sae"]
    if place == "hook_name":
        del results["sae_cfg_dict"]["hook_layer"]
    holder = {"sae_lens_id": results, "f1_jump_threshold": results["eval_config"]}.get(place, results["sae_cfg_dict"])
    holder[place] = value
    file.write_text(json.dumps(results), "utf-8")
    manifest, _ = import_results(root, tmp_path / "suite")
    assert "/".join(saebench_results.OLD) in [sae.title for sae in manifest.saes]
    assert check_suite(tmp_path / "suite") == []


@pytest.mark.parametrize("kind", ["rows", "text", "texts", "list", "columns"])
def test_tables_are_limited_by_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(limits, "ROWS", 100_000)
    monkeypatch.setattr(limits, "TABLE", 4 * limits.MB)
    root = published_results.write_published_results(tmp_path / "results")
    shutil.rmtree(root / "probe_sae_cos_sims")
    rows = {
        "rows": pa.table({"token": pa.repeat("a", 200_000), "letter": pa.repeat("a", 200_000)}),
        "text": pa.table({"token": pa.repeat("a" * 10_000, 1_000), "letter": pa.repeat("a", 1_000)}),
        "list": pa.table({"token": ["a"], "letter": pa.array([["a"] * 2_000_000])}),
        "texts": pa.table({"token": pa.repeat(pa.scalar(["a" * 10_000] * 10), 100), "letter": pa.repeat("a", 100)}),
        "columns": pa.Table.from_arrays([pa.array(["a"])] * 2, names=["token", "token"]),
    }[kind]
    pq.write_table(rows, root / "english_tokens.parquet", compression="zstd")
    _, report = import_results(root, tmp_path / "suite")
    assert [file for file, _ in report.rejected] == ["english_tokens.parquet"]


def test_file_layout_does_not_change_imported_tables(tmp_path: Path) -> None:
    root = published_results.write_published_results(tmp_path / "results")
    import_results(root, tmp_path / "plain" / "suite")
    for file in root.glob("*.parquet"):
        # Many row groups, and dictionary encoding that ends within one.
        pq.write_table(pq.read_table(file), file, row_group_size=7, dictionary_pagesize_limit=1, data_page_size=100)
    _, report = import_results(root, tmp_path / "other" / "suite")
    assert report.rejected == []
    assert _content(tmp_path / "other" / "suite") == _content(tmp_path / "plain" / "suite")


# --- Archives ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results that are imported without workers."""
    return sae_spelling_results.write_results(tmp_path_factory.mktemp("archives") / "results")


def _archived(root: Path, folder: Path, kind: str) -> Path:
    return Path(shutil.make_archive(str(folder / "archive"), kind, root.parent, root.name))


@pytest.mark.parametrize("kind", ["tar", "gztar", "bztar", "xztar", "zip"])
def test_incomplete_archives_are_refused(small: Path, tmp_path: Path, kind: str) -> None:
    archive = _archived(small, tmp_path, kind)
    whole = archive.read_bytes()
    manifest, _ = import_results(archive, tmp_path / "data" / "suite")
    assert manifest.saes
    shutil.rmtree(tmp_path / "data")
    for content in (whole[: len(whole) // 2], *([_corrupt(whole)] if kind != "tar" else []), whole[:300], b"", b"PK"):
        archive.write_bytes(content)
        _refused(archive, tmp_path)


def _refused(archive: Path, folder: Path, reason: str = "cannot be unpacked") -> None:
    with pytest.raises(IngestError, match=reason) as caught:
        import_results(archive, folder / "data" / "suite")
    assert "\n" not in str(caught.value)
    assert not list((folder / "data").iterdir())


@pytest.mark.parametrize("spoil", [_encrypted, _deflate64])
def test_unsupported_archives_are_refused(small: Path, tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    archive = _archived(small, tmp_path, "zip")
    archive.write_bytes(spoil(archive.read_bytes()))
    _refused(archive, tmp_path)


def _tar(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return path


def _member(name: str, **fields: Any) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(member, field, value)
    return member


@pytest.mark.parametrize(
    "member",
    [
        _member("../outside"),
        _member("/outside"),
        _member("a/" * 40 + "deep"),
        _member("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        _member("link", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
        _member("pipe", type=tarfile.FIFOTYPE),
        _member("device", type=tarfile.CHRTYPE, devmajor=1, devminor=5),
    ],
    ids=lambda member: f"{member.type.decode()} {member.name[:9]}",
)
def test_archives_with_other_members_are_refused(tmp_path: Path, member: tarfile.TarInfo) -> None:
    _refused(_tar(tmp_path / "results.tar.gz", member), tmp_path, "cannot be unpacked: .*unpack it yourself")
    assert not list(tmp_path.rglob("outside"))


def test_archives_are_unpacked_within_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UNPACKED_ANYWAY", 2 * limits.MB)
    bomb = _tar(tmp_path / "bomb.tar.gz", *(_member(f"file {n}", size=limits.MB) for n in range(20)))
    assert bomb.stat().st_size * limits.RATIO > 2 * limits.MB
    _refused(bomb, tmp_path, r"unpacked it takes more than the \d+ MB")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(20):
            archive.writestr(f"file {number}", bytes(limits.MB))
    _refused(tmp_path / "bomb.zip", tmp_path, r"unpacked it takes more than the \d+ MB")

    monkeypatch.setattr(limits, "ENTRIES", 10)
    many = _tar(tmp_path / "many.tar.gz", *(_member(f"file {n}") for n in range(11)))
    _refused(many, tmp_path, "holds more than 10 files")

    monkeypatch.setattr(limits, "AT_ONCE", 10_000)
    long_name = _member("x", type=tarfile.GNUTYPE_LONGNAME, size=2**33).tobuf(tarfile.GNU_FORMAT)
    with gzip.open(tmp_path / "name.tar.gz", "wb") as stream:
        stream.write(long_name + bytes(100_000))
    _refused(tmp_path / "name.tar.gz", tmp_path, "too long")


def test_pipes_and_devices_are_refused_as_archives(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tar")
    for path in (tmp_path / "pipe.tar", Path("/dev/zero")):
        _refused(path, tmp_path, r"cannot be unpacked: is a \w+, not a file")


# --- Workers -------------------------------------------------------------------------------------------------------

_IMPORT = """
import os, signal, sys
from pathlib import Path
from ingest import import_results, jobs

jobs.SMALL = 0

def kill(_, done, total):
    if total > 1 and done == 1:
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    import_results(Path(sys.argv[1]), Path(sys.argv[2]), progress=kill)
"""


def _content(suite: Path) -> dict[str, bytes]:
    return {path.relative_to(suite).as_posix(): path.read_bytes() for path in suite.rglob("*") if path.is_file()}


def test_killed_import_leaves_no_process_and_is_resumed(tmp_path: Path) -> None:
    root = write_published(tmp_path / "results")
    import_results(root, tmp_path / "whole" / "suite")
    script = tmp_path / "killed.py"
    script.write_text(_IMPORT, "utf-8")
    target = tmp_path / "data" / "suite"
    killed = subprocess.Popen([sys.executable, script, root, target], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert killed.wait() == -signal.SIGKILL
        import_results(root, target)
        # Its workers have inherited the pipe, which closes with the last of them.
        assert killed.communicate(timeout=30)[0] == b""
    finally:
        with suppress(ProcessLookupError):
            os.killpg(killed.pid, signal.SIGKILL)
    assert _content(target) == _content(tmp_path / "whole" / "suite")
    assert [path.name for path in target.parent.iterdir()] == ["suite"]


def test_import_waits_for_the_workers_of_a_killed_one(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ".suite.partial"
    folder.mkdir()
    (folder / ".held").touch()
    worker = os.open(folder / ".held", os.O_RDONLY)
    fcntl.flock(worker, fcntl.LOCK_SH)
    lock, waited = fcntl.flock, []

    def until_it_ends(file: int, how: int) -> None:
        try:
            lock(file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            waited.append(how)
            os.close(worker)
            lock(file, how)

    monkeypatch.setattr(fcntl, "flock", until_it_ends)
    import_results(small, tmp_path / "suite")
    assert waited == [fcntl.LOCK_EX]
