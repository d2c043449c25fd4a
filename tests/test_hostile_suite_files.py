"""Opening or checking a malicious suite does no harm: each attack ends in one line that names the file."""

from __future__ import annotations

import ast
import json
import os
import shutil
import struct
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from explorer import SnapshotError, open_store, save_snapshot
from explorer.model import choices_of
from explorer.state import ExplorerState
from ingest import IngestError, write_suite
from queries import QueryError, Store, SuiteError, catalog, check_suite
from queries.connection import connect
from queries.manifest import MAX_LATENTS, MAX_MANIFEST_BYTES, MAX_SAES, THRESHOLD_BOUNDS, Manifest, Method, Model
from queries.schema import TABLES
from queries.suite import checksum
from tests.questions import question_values
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Callable

SAE = (0, 1000, 10)
pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_suite(tmp_path_factory.mktemp("suites") / "tiny", saes=[SAE])


@pytest.fixture
def own(suite: Path, tmp_path: Path) -> Path:
    """A suite that the test may modify."""
    return Path(shutil.copytree(suite, tmp_path / "own"))


def _edit(root: Path, *place: str | int, value: Any) -> None:
    """Replace a value of the manifest."""
    file = root / "manifest.json"
    manifest = holder = json.loads(file.read_text("utf-8"))
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    file.write_text(json.dumps(manifest), "utf-8")


def _refused(root: Path, file: str) -> str:
    """Return the error line with which both opening and checking reject a suite."""
    with pytest.raises(SuiteError) as failure:
        Store(root)
    line = str(failure.value)
    (problem,) = check_suite(root)
    assert problem.file == file
    assert problem.message in line
    assert line.startswith(str(root / file))
    for text in (line, problem.message):
        assert len(text.splitlines()) == 1
        assert len(text) < 500
    return line


# --- The manifest --------------------------------------------------------------------------------------------------

OUTSIDE: list[tuple[tuple[str | int, ...], Any]] = [
    *(
        (("method", name), value)
        for name, (low, high) in THRESHOLD_BOUNDS.items()
        for value in (float("nan"), float("inf"), -float("inf"), low - 0.5, high + 0.5)
    ),
    (("title",), "x" * 20_000),
    (("name",), "x" * 300),
    (("tables", "measurements", "rows"), -1),
    (("tables", "measurements", "rows"), 10**4000),
    (("method", "notes"), ["x"] * 2000),
    (("method", "notes"), ["x" * 9000] * 30),
    (("provenance", "checks"), {"digits": 10**4000}),
    (("provenance", "checks"), {"number": float("inf")}),
    (("provenance", "checks"), {"x" * 20_000: 1}),
    (("provenance", "corpus"), [{"text": "x" * 9000}] * 30),
    (("x" * 9000,), 1),
]


@pytest.mark.parametrize(("place", "value"), OUTSIDE, ids=[f"{place[-1]!s:.20} {v!s:.20}" for place, v in OUTSIDE])
def test_undisplayable_manifest_values_are_refused(own: Path, place: tuple[str | int, ...], value: Any) -> None:
    _edit(own, *place, value=value)
    assert "fix the manifest" in _refused(own, "manifest.json")


#: Columns of an SAE, with invalid values.
OF_SAE: list[tuple[str, Any]] = [
    (name, value)
    for name, values in {
        "layer": (-1,),
        "width": (-1,),
        "num_latents": (-1, MAX_LATENTS + 1, 2**31 - 1),
        "l0": (float("nan"), -1.0, 1e300),
        "tokens_seen": (-1,),
        "variance_explained": (float("inf"), 1e300),
        "dead_fraction": (-0.1, 1.1),
        "hook": ("x" * 20_000,),
        "sae": ("../x", "A", "x" * 300),
        "attributes": ([("x", "y" * 20_000)],),
    }.items()
    for value in values
]


def _edit_sae(root: Path, **columns: Any) -> None:
    file = root / "saes.parquet"
    rows = pq.read_table(file).to_pylist()
    rows[0] |= columns
    pq.write_table(pa.Table.from_pylist(rows, pq.read_schema(file)), file, store_schema=False)


@pytest.mark.parametrize(("name", "value"), OF_SAE, ids=[f"{name} {value!s:.20}" for name, value in OF_SAE])
def test_undisplayable_saes_are_refused(own: Path, name: str, value: Any) -> None:
    _edit_sae(own, **{name: value})
    with pytest.raises(SuiteError) as failure:
        Store(own)
    line = str(failure.value)
    assert line.startswith(f"{own}/saes.parquet: ")
    assert len(line.splitlines()) == 1
    assert [str(problem) for problem in check_suite(own)] == [f"manifest.json: {line}"]


@pytest.mark.parametrize("name", THRESHOLD_BOUNDS)
@pytest.mark.parametrize("end", [0, 1])
def test_thresholds_at_the_bounds_are_accepted(own: Path, name: str, end: int) -> None:
    _edit(own, "method", name, value=THRESHOLD_BOUNDS[name][end])
    assert check_suite(own) == []
    with open_store(own) as store:
        assert getattr(ExplorerState(choices_of(store)), name) == THRESHOLD_BOUNDS[name][end]


def _endless(file: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _circle(file: Path) -> None:
    file.unlink()
    file.symlink_to(file)


def _outside(file: Path) -> None:
    suite = next(folder for folder in file.parents if (folder / "manifest.json").exists())
    file.symlink_to(file.rename(suite.parent / "elsewhere"))


def _huge(file: Path) -> None:
    os.truncate(file, 2**30)


@pytest.mark.parametrize("name", ["manifest.json", "measurements.parquet", "cosines/l0-w1000-l0-10.parquet"])
@pytest.mark.parametrize("spoil", [_endless, _pipe, _circle, _outside])
def test_only_plain_files_of_the_suite_are_opened(own: Path, name: str, spoil: Callable[[Path], None]) -> None:
    spoil(own / name)
    _refused(own, name)


@pytest.mark.parametrize(
    "content",
    [
        b'{"a":' * 100_000,
        b"[" * 100_000,
        b'{"x":' + b"1" * 4000 + b"}",
        b"{" + b",".join(b'"k%d":1' % number for number in range(500_000)) + b"}",
        b'{"format_version": 1' + b" " * MAX_MANIFEST_BYTES + b"}",
        b'{"format_version": 1, "name": "\\ud800"}',
        b"\xff\xfe{",
    ],
    ids=["objects in objects", "lists in lists", "digits", "keys", "spaces", "surrogate", "no UTF-8"],
)
def test_invalid_manifests_are_refused_in_one_line(own: Path, content: bytes) -> None:
    (own / "manifest.json").write_bytes(content)
    _refused(own, "manifest.json")


def test_manifest_is_not_read_beyond_its_limit(own: Path) -> None:
    _huge(own / "manifest.json")
    assert f"more than {MAX_MANIFEST_BYTES:,} bytes" in _refused(own, "manifest.json")


def test_byte_order_mark_is_ignored(own: Path) -> None:
    file = own / "manifest.json"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert check_suite(own) == []


def test_number_of_saes_is_limited_and_the_maximum_opens_in_seconds(own: Path) -> None:
    schema = pq.read_schema(own / "saes.parquet")
    sae = {"layer": 0, "width": 1000, "num_latents": 1024}
    ids = ["l0-w1000-l0-10", "l0-w1000-l0-10-s1", *(f"x{number:05}" for number in range(MAX_SAES - 1))]
    saes = pa.Table.from_pylist([sae | {"sae": name} for name in ids], schema)
    _write(own, "saes", saes)
    with pytest.raises(SuiteError, match=rf"saes\.parquet: .*{MAX_SAES + 1:,} rows, {MAX_SAES:,} at most"):
        Store(own)
    _write(own, "saes", saes.slice(0, MAX_SAES))
    assert check_suite(own) == []
    with Store(own) as store:
        assert len(store.fetch("saes")) == MAX_SAES


def test_writer_refuses_suites_that_cannot_be_opened(tmp_path: Path) -> None:
    method = Method(metric="full").model_copy(update={"tau": 5.0})
    manifest = Manifest(format_version=2, name="x", model=Model(name="m"), method=method, saes=[], tables={})
    nothing = pa.table({name: pa.array([], "string") for name in ("sae", "concept")})
    with pytest.raises(IngestError, match=r"method\.tau"):
        write_suite(tmp_path / "suite", manifest, {"measurements": nothing})
    assert list(tmp_path.iterdir()) == []


# --- Parquet -------------------------------------------------------------------------------------------------------


def _equal(value: str, number: int) -> pa.Array:
    """Return a column of equal texts, which a file stores once."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(number, "int32")), pa.array([value]))


def _write(root: Path, table: str, rows: pa.Table) -> None:
    pq.write_table(
        rows, root / f"{table}.parquet", store_schema=False, compression="zstd", dictionary_pagesize_limit=2**30
    )
    _edit(root, "tables", table, value={"rows": rows.num_rows, "columns": {}})


def _tokens(number: int, text: str = " the") -> dict[str, Any]:
    return {
        "token_id": pa.array(np.arange(number, dtype="int32")),
        "token": _equal(text, number),
    }


def test_too_many_rows_of_a_table_are_refused(own: Path) -> None:
    most = TABLES["tokens"].max_rows
    _write(own, "tokens", pa.table(_tokens(most + 1)))
    assert (own / "tokens.parquet").stat().st_size < 20 * 2**20
    line = _refused(own, "tokens.parquet")
    assert f"{most + 1:,} rows, {most:,} at most" in line


@pytest.mark.parametrize(("table", "column"), [("measurements", "split_latents"), ("contexts", "activations")])
def test_values_of_lists_count_towards_the_limit(
    own: Path, monkeypatch: pytest.MonkeyPatch, table: str, column: str
) -> None:
    """Equal values take hardly any space in a file, but each takes memory."""
    rows = pq.read_table(own / f"{table}.parquet")
    kind = rows.schema.field(column).type
    each = 100_000 // len(rows) + 1
    lists = pa.ListArray.from_arrays(
        pa.array(np.arange(len(rows) + 1, dtype="int32") * each), pa.array(np.zeros(each * len(rows)), kind.value_type)
    )
    _write(own, table, rows.set_column(rows.column_names.index(column), column, lists))
    monkeypatch.setitem(TABLES, table, replace(TABLES[table], max_bytes=400_000))
    assert "in memory, 0 MB at most" in _refused(own, f"{table}.parquet")


def test_long_text_stored_once_is_refused(own: Path) -> None:
    """DuckDB would expand it to thousands before its memory limit applies."""
    _write(own, "tokens", pa.table(_tokens(30_000, "x" * 10_000_000)))
    assert (own / "tokens.parquet").stat().st_size < 2**20
    assert "has a text of 10,000,000 bytes" in _refused(own, "tokens.parquet")


def _footer(content: bytes) -> bytes:
    return b"PAR1" + content + struct.pack("<I", len(content)) + b"PAR1"


#: Footers in Thrift's compact protocol: a list that announces 2**27 and 2**31 - 1 columns, or 2**27 row groups.
_MANY_COLUMNS = b"\x15\x02\x19\xfc" + b"\x80\x80\x80\x40"
_MOST_COLUMNS = b"\x15\x02\x19\xfc" + b"\xff\xff\xff\xff\x07"
_MANY_GROUPS = b"\x15\x02\x19\x1c\x48\x01a\x15\x00\x00\x16\x02\x19\xfc" + b"\x80\x80\x80\x40"


@pytest.mark.parametrize(
    "content",
    [
        _footer(_MANY_COLUMNS),
        _footer(_MOST_COLUMNS),
        _footer(_MANY_GROUPS),
        _footer(b"\x15\x02\x0c" + b"\x1c" * 1_000_000),
        b"PAR1" + struct.pack("<I", 2**32 - 1) + b"PAR1",
        b"PAR1" + b"\x00" * 100 + struct.pack("<I", 50) + b"PARE",
    ],
    ids=["2**27 columns", "2**31 columns", "2**27 row groups", "nested", "longer than the file", "encrypted"],
)
def test_footers_that_allocate_memory_are_refused(own: Path, content: bytes) -> None:
    (own / "tokens.parquet").write_bytes(content)
    assert "not a readable parquet file" in _refused(own, "tokens.parquet")


@pytest.mark.parametrize("way", ["columns", "structs"])
def test_too_many_columns_are_refused(own: Path, way: str) -> None:
    more: dict[str, pa.Array] = {f"c{number}": pa.nulls(3, pa.int8()) for number in range(1000)}
    if way == "structs":
        kind = pa.int8()
        for _ in range(300):
            kind = pa.struct([("a", kind)])
        more = {"deep": pa.nulls(3, kind)}
    _write(own, "tokens", pa.table(_tokens(3) | more))
    _refused(own, "tokens.parquet")


def test_check_finds_rows_out_of_order_across_row_groups(own: Path) -> None:
    """It reads files in batches, and must compare rows across the boundary of batches."""
    rows = pq.read_table(own / "cosines/l0-w1000-l0-10.parquet")
    file = own / "cosines/l0-w1000-l0-10.parquet"
    with pq.ParquetWriter(file, rows.schema) as writer:
        for start in range(0, len(rows), 700):
            writer.write_table(rows.slice(start, 700))
    _edit(own, "tables", "cosines", "checksums", value={"cosines/l0-w1000-l0-10.parquet": checksum(file)})
    assert check_suite(own) == []
    swapped = pa.concat_tables([rows.slice(0, 699), rows.slice(700, 1), rows.slice(699, 1), rows.slice(701)])
    pq.write_table(swapped, file, row_group_size=700)
    assert [problem.row for problem in check_suite(own)] == [700]


# --- Names of folders ----------------------------------------------------------------------------------------------


NAMES = ("plain", "s*e", "s?e", "s[ab]e", "**", "[!x]e", "s[*]e")


@pytest.fixture(scope="module")
def neighbours(suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a suite under each of the names, next to others that match the names as patterns."""
    folder = tmp_path_factory.mktemp("neighbours")
    for name in NAMES:
        shutil.copytree(suite, folder / name)
    other = write_tiny_suite(folder / "sae", seed=1, saes=[SAE, (3, 1000, 40)])
    for name in ("sbe", "ae"):
        shutil.copytree(other, folder / name)
    return folder


@pytest.mark.parametrize("name", NAMES[1:])
def test_folder_name_is_not_used_as_a_pattern(neighbours: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Files in neighbouring folders that match the name as a pattern are never read."""
    assert check_suite(neighbours / name) == []
    with Store(neighbours / name) as store, Store(neighbours / "plain") as expected:
        values = question_values(expected, sae=SAE)
        for query in ("concept_counts", "compared_cosines", "latent_contexts"):
            params = {param: values[param] for param in catalog()[query].params}
            frame = expected.fetch(query, **params)
            assert store.fetch(query, **params).equals(frame)
            for here in (neighbours, Path("/")):
                monkeypatch.chdir(here)
                with duckdb.connect() as bare:
                    assert len(bare.execute(store.script(query, **params)).df()) == len(frame)


# --- The database --------------------------------------------------------------------------------------------------


def test_database_that_needs_more_memory_fails_and_writes_nothing(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("queries.connection._MEMORY_LIMIT", "100MB")
    with Store(suite) as store:
        with pytest.raises(duckdb.OutOfMemoryException):
            store._connection.cursor().execute("CREATE TEMP TABLE x AS SELECT hash(range) FROM range(100_000_000)")
        assert len(store.fetch("saes")) == 2  # one with a further seed
    assert list(tmp_path.iterdir()) == []


def test_all_databases_are_opened_in_one_place() -> None:
    root = Path(__file__).parents[1]
    files = [file for room in ("queries", "ingest", "explorer", "measure") for file in (root / room).rglob("*.py")]
    calls = {
        file.name
        for file in files
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "connect" and getattr(node.value, "id", "") == "duckdb"
    }
    assert calls == {"connection.py"}


def test_database_without_a_suite_reads_no_file(suite: Path) -> None:
    with connect() as connection, pytest.raises(duckdb.PermissionException):
        connection.execute("FROM read_parquet($file)", {"file": str(suite / "measurements.parquet")})


# --- Snapshots -----------------------------------------------------------------------------------------------------


def test_snapshot_of_latents_out_of_range_is_refused(own: Path, tmp_path: Path) -> None:
    file = own / "cosines/l0-w1000-l0-10.parquet"
    rows = pq.read_table(file)
    latents = rows["latent"].to_numpy().copy()
    latents[-1] = 2**31 - 1
    place = rows.column_names.index("latent")
    pq.write_table(rows.set_column(place, "latent", pa.array(latents, "int32")), file)
    with open_store(own) as store, pytest.raises((SnapshotError, QueryError), match="import the suite again"):
        save_snapshot(store, tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()


def test_snapshot_of_too_many_latents_is_refused(own: Path, tmp_path: Path) -> None:
    _edit_sae(own, num_latents=MAX_LATENTS)
    with (
        open_store(own) as store,
        pytest.raises(SnapshotError, match=f"has {MAX_LATENTS:,} latents, a snapshot can contain"),
    ):
        save_snapshot(store, tmp_path / "x.html")
