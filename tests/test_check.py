"""Whatever is wrong with a suite is found, where it is, and nothing else is."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import write_suite
from queries import check_suite
from queries.check import LISTED_ROWS
from queries.first_letters import first_letters
from queries.manifest import Manifest, Method, Model, Sae
from queries.manifest_1 import former_id
from queries.schema import TABLES, concept_id
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from queries import Problem
    from queries.schema import Column, Table

#: Values that a column of a name must not hold.
BAD: dict[str, Any] = {
    "sae": "L0",
    "concept": "first-letter.S",
    "family": "First",
    "layer": -1,
    "l0": -1.0,
    "dead_fraction": 2.0,
    "latent": -1,
    "top_latent": 2**30,
    "split_latents": [0, 2**30],
    "f1": 1.5,
    "recall": -0.5,
    "probe_precision": 2.0,
    "sample_portion": 0.0,
    "num_probe_true_positives": -1,
    "num_true_positives": 2**30,
    "cosine": 1.5,
    "top_cosine": float("nan"),
    "top_effect": float("inf"),
    "cosines": [0.0, -2.0],
    "effects": [1.0],
    "density": 1.5,
    "position": -1,
    "activations": [1.0],
    "counts": [-1],
    "rank": -1,
    "other_sae": "l9-w9",
    "other_latent": 2**30,
    "overlap": 1.5,
    "shared_words": [0] * 1000,
}


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_suite(
        tmp_path_factory.mktemp("suites") / "tiny", dashboards=True, saes=[(0, 1000, 10), (0, 1000, 40)]
    )


@dataclass
class Copy:
    """A copy of the suite, of which one file is changed."""

    root: Path
    table: Table

    @property
    def file(self) -> Path:
        name = f"{self.table.name}/*.parquet" if self.table.partitioned else f"{self.table.name}.parquet"
        return min(self.root.glob(name))

    def read(self) -> pa.Table:
        return pq.read_table(self.file, partitioning=None)

    def write(self, data: pa.Table) -> None:
        # The manifest counts the rows, which is another test's.
        before = pq.read_metadata(self.file).num_rows
        pq.write_table(data, self.file)
        path = self.root / "manifest.json"
        manifest = json.loads(path.read_text("utf-8"))
        manifest["tables"][self.table.name]["rows"] += data.num_rows - before
        path.write_text(json.dumps(manifest), "utf-8")

    def set(self, column: str, row: int, value: Any) -> None:
        data = self.read()
        values = data[column].to_pylist()
        values[row] = value
        place = data.column_names.index(column)
        self.write(data.set_column(place, data.schema.field(place), pa.array(values, data.schema.field(place).type)))

    def problems(self) -> list[tuple[str, str | None, str | None, int | None]]:
        name = self.file.relative_to(self.root).as_posix()
        found = check_suite(self.root)
        assert {problem.file for problem in found} <= {name}, found
        assert all(problem.message and "\n" not in problem.message for problem in found)
        return [(problem.file, problem.table, problem.column, problem.row) for problem in found]


#: Those whose rows can be looked at one by one: what is wrong with the tables of keys, others feel.
TABLE = st.sampled_from(sorted({*TABLES} - {"saes", "concepts"}))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(name=TABLE, data=st.data())
def test_a_spoilt_value_is_found_where_it_is(suite: Path, name: str, data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        copy = Copy(shutil.copytree(suite, Path(folder) / "suite"), TABLES[name])
        rows = copy.read()
        columns = [column for column in copy.table.columns if column.name in rows.column_names]
        column: Column = data.draw(st.sampled_from([c for c in columns if c.required or c.name in BAD]))
        row = data.draw(st.integers(0, rows.num_rows - 1))
        spoilt = [None] if column.required else []
        spoilt += [BAD[column.name]] if column.name in BAD else []
        copy.set(column.name, row, data.draw(st.sampled_from(spoilt)))
        found = copy.problems()
        assert any(problem[1:] == (name, column.name, row) for problem in found)
        # A key that was spoilt may also be out of its order, or be its neighbour's.
        assert {problem[2] for problem in found} <= {column.name, None}
        assert {problem[3] for problem in found} <= {row, row + 1}


@settings(max_examples=20, deadline=None, derandomize=True)
@given(name=TABLE, data=st.data())
def test_repeated_and_misplaced_rows_are_found(suite: Path, name: str, data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        copy = Copy(shutil.copytree(suite, Path(folder) / "suite"), TABLES[name])
        rows = copy.read()
        first, second = sorted(
            data.draw(st.lists(st.integers(0, rows.num_rows - 1), min_size=2, max_size=2, unique=True))
        )
        # The first row again, before the second, then everything that was there.
        copy.write(pa.concat_tables([rows.slice(0, second), rows.slice(first, 1), rows.slice(second)]))
        assert copy.problems() == [(copy.file.relative_to(copy.root).as_posix(), name, None, second)]
        copy.write(
            pa.concat_tables(
                [rows.slice(0, first), rows.slice(second, 1), rows.slice(first, second - first), rows.slice(second + 1)]
            )
        )
        assert copy.problems() == [(copy.file.relative_to(copy.root).as_posix(), name, None, first + 1)]


@settings(max_examples=20, deadline=None, derandomize=True)
@given(name=TABLE, data=st.data())
def test_headers_and_damaged_files_are_found(suite: Path, name: str, data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        copy = Copy(shutil.copytree(suite, Path(folder) / "suite"), TABLES[name])
        rows, file = copy.read(), copy.file
        place = file.relative_to(copy.root).as_posix()
        column = data.draw(st.sampled_from(rows.column_names))
        pq.write_table(rows.drop_columns(column), file)
        assert copy.problems() == [(place, name, column, None)]
        index = rows.column_names.index(column)
        pq.write_table(rows.set_column(index, column, pa.nulls(rows.num_rows, pa.struct([("x", pa.int8())]))), file)
        assert {problem[:3] for problem in copy.problems()} == {(place, name, column)}
        content = (suite / place).read_bytes()
        cut = data.draw(st.integers(0, len(content) - 1))
        file.write_bytes(content[:cut])
        assert copy.problems() == [(place, name, None, None)]
        file.unlink()
        found = check_suite(copy.root)
        assert [(problem.file, problem.column, problem.row) for problem in found] == [(place, None, None)]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    saes=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 70_000), st.integers(-3, 400)), unique=True, max_size=4),
    letters=st.sets(st.sampled_from("abcdefghijklmnopqrstuvwxyz")),
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True, max_size=5),
    seed=st.randoms(use_true_random=False),
)
def test_whatever_the_writer_writes_has_no_problems(
    saes: list[tuple[int, int, int]], letters: set[str], texts: list[str], seed: Any
) -> None:
    records = [
        Sae(sae=former_id(layer, width, l0), layer=layer, width=width, l0=l0 if l0 >= 0 else None, n_latents=width)
        for layer, width, l0 in saes
    ]
    keys = [{"sae": sae.id, "concept": concept_id(letter)} for sae in records for letter in sorted(letters)]
    of = {sae.id: sae.n_latents or 0 for sae in records}

    def latent(key: dict[str, Any]) -> int:
        return int(seed.randrange(of[key["sae"]]))

    tested = [
        {**key, "token": text, "top_latent": latent(key), "top_effect": seed.uniform(-9, 9), "is_absorption": True}
        for key in keys
        for text in texts
    ]
    tables = {
        "measurements": [{**key, "split_latents": [latent(key)], "probe_f1": seed.random()} for key in keys],
        "k_sparse": [{**key, "k": k, "latent": latent(key), "f1": seed.random()} for key in keys for k in (1, 2, 50)],
        "tested_tokens": tested,
    }
    manifest = Manifest(
        format_version=2, name="x", model=Model(name="x"), method=Method(metric="full"), saes=records, tables={}
    )
    with TemporaryDirectory() as folder:
        root = Path(folder) / "suite"
        shuffled = {name: pa.Table.from_pylist(seed.sample(rows, len(rows))) for name, rows in tables.items() if rows}
        concepts = first_letters(map(concept_id, letters))
        write_suite(root, manifest, {"measurements": _nothing(), "concepts": concepts, **shuffled})
        assert check_suite(root) == []


def _nothing() -> pa.Table:
    return pa.table({name: pa.array([], "string") for name in ("sae", "concept")})


def test_what_lies_there_and_is_not_listed_is_found(suite: Path, tmp_path: Path) -> None:
    root = shutil.copytree(suite, tmp_path / "suite")
    (root / "more").mkdir()
    (root / "more" / "measurements.parquet").write_bytes((root / "measurements.parquet").read_bytes())
    manifest = json.loads((root / "manifest.json").read_text("utf-8"))
    manifest["tables"]["prompts"]["rows"] += 1
    manifest["tables"]["others"] = manifest["tables"]["prompts"]
    saes = pq.read_table(root / "saes.parquet")
    pq.write_table(saes.slice(0, 2), root / "saes.parquet")
    (root / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    found: list[Problem] = check_suite(root)
    assert ("manifest.json", "others") in {(problem.file, problem.table) for problem in found}
    assert ("manifest.json", "prompts") in {(problem.file, problem.table) for problem in found}
    assert "more/measurements.parquet" in {problem.file for problem in found}
    measured = [problem for problem in found if problem.file == "measurements.parquet"]
    assert {problem.message for problem in measured} == {"is of an SAE that the suite does not list"}
    # Of very many rows the first are listed, the others are counted.
    of_latents = [problem for problem in found if problem.file == "latents.parquet"]
    assert len(of_latents) == LISTED_ROWS + 1
    assert of_latents[-1].row is None
    assert "more rows like this" in of_latents[-1].message


def test_damage_that_no_value_shows_is_found(suite: Path, tmp_path: Path) -> None:
    copy = Copy(shutil.copytree(suite, tmp_path / "suite"), TABLES["tested_tokens"])
    copy.set("top_effect", 0, -2.5)
    (problem,) = check_suite(copy.root)
    assert (problem.file, problem.table, problem.row) == ("tested_tokens.parquet", "tested_tokens", None)
    assert "its checksum is not the one in manifest.json" in problem.message


def test_rows_of_other_concepts_and_saes_are_found(suite: Path, tmp_path: Path) -> None:
    """Joins would leave them out without a word."""
    root = shutil.copytree(suite, tmp_path / "suite")
    copy = Copy(root, TABLES["tested_tokens"])
    copy.set("concept", copy.read().num_rows - 1, "first-letter.zz")
    assert copy.problems() == [("tested_tokens.parquet", "tested_tokens", "concept", copy.read().num_rows - 1)]
    (problem,) = check_suite(root)
    assert problem.message == "is of a concept that the suite does not list"

    root = shutil.copytree(suite, tmp_path / "other")
    files = sorted((root / "cosines").iterdir())
    files[1].write_bytes(files[0].read_bytes())
    found = check_suite(root)
    assert {problem.file for problem in found} == {"cosines/l0-w1000-l0-40.parquet"}
    assert {problem.message.partition(" (")[0] for problem in found} == {"is of another SAE than its file"}
