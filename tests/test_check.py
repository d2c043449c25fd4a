"""`check` finds every error in a suite, with its position, and reports nothing else."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
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
    from collections.abc import Iterator

    from queries import Problem
    from queries.schema import Column, Table

#: Invalid values, by name of the column.
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
    """A copy of the suite in which one file can be changed."""

    root: Path
    table: Table

    @property
    def file(self) -> Path:
        name = f"{self.table.name}/*.parquet" if self.table.partitioned else f"{self.table.name}.parquet"
        return min(self.root.glob(name))

    def read(self) -> pa.Table:
        return pq.read_table(self.file, partitioning=None)

    def write(self, data: pa.Table) -> None:
        # The manifest contains the number of rows, which another test checks.
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

    @property
    def name(self) -> str:
        return self.file.relative_to(self.root).as_posix()

    def problems(self) -> list[tuple[str, str | None, str | None, int | None]]:
        """Return the problems, which must all be in this file."""
        found = problems_by_file(self.root)
        assert {*found} <= {self.name}, found
        return found.get(self.name, [])


def problems_by_file(root: Path) -> dict[str, list[tuple[str, str | None, str | None, int | None]]]:
    found: dict[str, list[tuple[str, str | None, str | None, int | None]]] = {}
    for problem in check_suite(root):
        assert problem.message
        assert "\n" not in problem.message
        place = (problem.file, problem.table, problem.column, problem.row)
        found.setdefault(problem.file, []).append(place)
    return found


#: Tables that can be tested together: an error in a table of keys causes problems in others, but an error in one of
#: these does not, so all get an error at once.
TABLES_OF_ROWS = sorted({*TABLES} - {"saes", "concepts"})


@contextmanager
def copies(suite: Path) -> Iterator[list[Copy]]:
    """A copy of the suite, once per table."""
    with TemporaryDirectory() as folder:
        root = shutil.copytree(suite, Path(folder) / "suite")
        yield [Copy(root, TABLES[name]) for name in TABLES_OF_ROWS]


@pytest.mark.parametrize("seed", range(8))
def test_invalid_values_are_located(suite: Path, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - the same each time
    with copies(suite) as tables:
        spoilt: list[tuple[Copy, str, int]] = []
        for copy in tables:
            rows = copy.read()
            columns = [column for column in copy.table.columns if column.name in rows.column_names]
            column: Column = random.choice([c for c in columns if c.required or c.name in BAD])
            row = random.randrange(rows.num_rows)
            values = [None] if column.required else []
            values += [BAD[column.name]] if column.name in BAD else []
            copy.set(column.name, row, random.choice(values))
            spoilt.append((copy, column.name, row))
        found = problems_by_file(tables[0].root)
        assert {*found} == {copy.name for copy, *_ in spoilt}
        for copy, name, row in spoilt:
            problems = found[copy.name]
            assert any(problem[1:] == (copy.table.name, name, row) for problem in problems)
            # An invalid key may also be out of order or a duplicate; a column may be checked against another one.
            held = {column.name for column in copy.table.columns if column.rule and name in column.rule.sql}
            assert {problem[2] for problem in problems} <= {name, None, *held}
            assert {problem[3] for problem in problems} <= {row, row + 1}


@pytest.mark.parametrize("seed", range(5))
def test_repeated_and_misplaced_rows_are_found(suite: Path, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - the same each time
    with copies(suite) as tables:
        drawn = []
        for copy in tables:
            rows = copy.read()
            first, second = sorted(random.sample(range(rows.num_rows), 2))
            drawn.append((copy, rows, first, second))
        # A duplicate of the first row before the second one, followed by all former rows.
        for copy, rows, first, second in drawn:
            copy.write(pa.concat_tables([rows.slice(0, second), rows.slice(first, 1), rows.slice(second)]))
        expected = {copy.name: [(copy.name, copy.table.name, None, second)] for copy, _, _, second in drawn}
        assert problems_by_file(tables[0].root) == expected
        for copy, rows, first, second in drawn:
            before, between, after = rows.slice(0, first), rows.slice(first, second - first), rows.slice(second + 1)
            copy.write(pa.concat_tables([before, rows.slice(second, 1), between, after]))
        expected = {copy.name: [(copy.name, copy.table.name, None, first + 1)] for copy, _, first, _ in drawn}
        assert problems_by_file(tables[0].root) == expected


@pytest.mark.parametrize("seed", range(5))
def test_headers_and_damaged_files_are_found(suite: Path, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - the same each time
    with copies(suite) as tables:
        root = tables[0].root
        rows = {copy.file: copy.read() for copy in tables}
        names = {copy.file: (copy.name, copy.table.name) for copy in tables}
        columns = {file: random.choice(held.column_names) for file, held in rows.items()}
        for file, held in rows.items():
            pq.write_table(held.drop_columns(columns[file]), file)
        assert problems_by_file(root) == {
            name: [(name, table, columns[file], None)] for file, (name, table) in names.items()
        }
        for file, held in rows.items():
            index = held.column_names.index(columns[file])
            other = pa.nulls(held.num_rows, pa.struct([("x", pa.int8())]))
            pq.write_table(held.set_column(index, columns[file], other), file)
        found = {name: {problem[:3] for problem in problems} for name, problems in problems_by_file(root).items()}
        assert found == {name: {(name, table, columns[file])} for file, (name, table) in names.items()}
        for file, (name, _) in names.items():
            content = (suite / name).read_bytes()
            file.write_bytes(content[: random.randrange(len(content))])
        assert problems_by_file(root) == {name: [(name, table, None, None)] for name, table in names.values()}
        for file in rows:
            file.unlink()
        found_missing = [(problem.file, problem.column, problem.row) for problem in check_suite(root)]
        assert sorted(found_missing) == sorted((name, None, None) for name, _ in names.values())


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    saes=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 70_000), st.integers(-3, 400)), unique=True, max_size=4),
    letters=st.sets(st.sampled_from("abcdefghijklmnopqrstuvwxyz")),
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True, max_size=5),
    seed=st.randoms(use_true_random=False),
)
def test_written_suites_have_no_problems(
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


def test_unlisted_files_and_wrong_counts_are_found(suite: Path, tmp_path: Path) -> None:
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
    assert {problem.message for problem in measured} == {"belongs to an SAE that the suite does not list"}
    # Only the first rows are listed; the others are counted.
    of_latents = [problem for problem in found if problem.file == "latents.parquet"]
    assert len(of_latents) == LISTED_ROWS + 1
    assert of_latents[-1].row is None
    assert "more rows like this" in of_latents[-1].message


def test_damage_is_found_by_checksum(suite: Path, tmp_path: Path) -> None:
    copy = Copy(shutil.copytree(suite, tmp_path / "suite"), TABLES["tested_tokens"])
    copy.set("top_effect", 0, -2.5)
    (problem,) = check_suite(copy.root)
    assert (problem.file, problem.table, problem.row) == ("tested_tokens.parquet", "tested_tokens", None)
    assert "its checksum is not the one in manifest.json" in problem.message


def test_rows_of_other_concepts_and_saes_are_found(suite: Path, tmp_path: Path) -> None:
    """Joins would silently omit them."""
    root = shutil.copytree(suite, tmp_path / "suite")
    copy = Copy(root, TABLES["tested_tokens"])
    copy.set("concept", copy.read().num_rows - 1, "first-letter.zz")
    assert copy.problems() == [("tested_tokens.parquet", "tested_tokens", "concept", copy.read().num_rows - 1)]
    (problem,) = check_suite(root)
    assert problem.message == "belongs to a concept that the suite does not list"

    root = shutil.copytree(suite, tmp_path / "other")
    files = sorted((root / "cosines").iterdir())
    files[1].write_bytes(files[0].read_bytes())
    found = check_suite(root)
    assert {problem.file for problem in found} == {"cosines/l0-w1000-l0-40.parquet"}
    assert {problem.message.partition(" (")[0] for problem in found} == {"is not the SAE of its file"}
