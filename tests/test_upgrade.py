"""A suite of the first layout answers every question as before when it is rewritten in the second."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from explorer.cli import app
from ingest import IngestError
from queries import Store, SuiteError, catalog, check_suite
from queries.manifest import MANIFEST
from queries.suite import read_manifest
from queries.upgrade import upgrade_suite
from tests.questions import ask, question_values
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Two of them of no known L0.
SAES = ((0, 1000, 10), (3, 1000, 40), (3, 4000, -1), (3, 4000, -2))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first") / "tiny"
    write_tiny_suite(folder, saes=SAES, neuronpedia=True, dashboards=True)
    (folder / "LICENSES.txt").write_text("all of them")
    return folder


@pytest.fixture(scope="module")
def second(first: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("second") / "tiny"
    shutil.copytree(first, folder)
    upgrade_suite(folder)
    return folder


@pytest.fixture(scope="module")
def stores(first: Path, second: Path) -> Iterator[tuple[Store, Store]]:
    with Store(first) as former, Store(second) as newest:
        yield former, newest


@pytest.mark.parametrize("name", sorted(catalog()))
def test_every_question_has_the_answer_that_it_had(stores: tuple[Store, Store], name: str) -> None:
    former, newest = stores
    for sae in SAES:
        for letter in ("s", "t", "q"):
            values = question_values(former, sae=sae, letter=letter)
            assert values == question_values(newest, sae=sae, letter=letter)
            pd.testing.assert_frame_equal(ask(newest, name, values), ask(former, name, values))


def test_what_is_written_keeps_its_contracts_and_all_that_lay_beside_it(first: Path, second: Path) -> None:
    assert check_suite(second) == []
    assert (second / "LICENSES.txt").read_text() == "all of them"
    assert not list(second.rglob("letters.parquet")) + list(second.rglob("layer=*"))
    former, newest = read_manifest(first), read_manifest(second)
    own = [sae for sae in newest.saes if sae.repeat_of is None]
    assert sorted(sae.id for sae in own) == sorted(sae.id for sae in former.saes)
    known = {sae.key: sae for sae in former.saes}
    assert [sae.model_copy(update={"sae": None, "seed": None}) for sae in own] == [known[sae.key] for sae in own]
    assert "saes" not in json.loads((second / MANIFEST).read_text())
    assert [family.family for family in newest.families] == ["first-letter"]


def test_further_seeds_become_saes(first: Path, second: Path) -> None:
    saes = {sae.id: sae for sae in read_manifest(second).saes}
    again = saes["l3-w1000-l0-40-s1"]
    assert (again.repeat_of, again.seed, again.key) == ("l3-w1000-l0-40", 1, (3, 1000, 40))
    assert saes["l3-w1000-l0-40"].seed == 0
    again = pd.read_parquet(second / "measurements.parquet").set_index(["sae", "concept"])["num_absorbed"]
    former = pd.read_parquet(first / "repeats.parquet").query("layer == 3 and width == 1000 and seed == 1")
    expected = {f"first-letter.{row.letter}": row.num_absorbed for row in former.itertuples()}
    assert again["l3-w1000-l0-40-s1"].to_dict() == expected


def test_the_command_upgrades_once(first: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(first, folder)
    assert CliRunner().invoke(app, ["upgrade", str(folder)]).exit_code == 0
    again = CliRunner().invoke(app, ["upgrade", str(folder)])
    assert again.exit_code == 2
    assert "has the newest layout already; nothing was changed" in again.stderr
    assert check_suite(folder) == []


def test_what_a_killed_upgrade_left_is_no_part_of_the_suite(first: Path, second: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(first, folder)
    (tmp_path / ".tiny.partial" / "cosines").mkdir(parents=True)
    (tmp_path / ".tiny.partial" / "cosines" / "left.parquet").write_text("half of it")
    upgrade_suite(folder)
    written = {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert written == {file.relative_to(second): file.read_bytes() for file in second.rglob("*") if file.is_file()}


def test_a_suite_that_cannot_be_read_stays_as_it_is(first: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(first, folder)
    (folder / "tested_tokens.parquet").write_bytes(b"PAR1 no more")
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    with pytest.raises((SuiteError, IngestError)):
        upgrade_suite(folder)
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before
    assert [file.name for file in tmp_path.iterdir()] == ["tiny"]


def _change(folder: Path, **columns: object) -> None:
    """Write values into the first row of the table of SAEs."""
    file = folder / "saes.parquet"
    rows = pq.read_table(file).to_pylist()
    rows[0] |= columns
    pq.write_table(pa.Table.from_pylist(rows, pq.read_schema(file)), file, store_schema=False)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"sae": "L0-W1000"}, "L0-W1000: sae: String should match pattern"),
        ({"sae": "../elsewhere"}, "../elsewhere: sae: String should match pattern"),
        ({"sae": "l3-w1000-l0-40"}, "sae l3-w1000-l0-40 stands twice; give each SAE its own"),
        ({"layer": 3, "l0": 40.0, "l0_nominal": 40}, "layer, width, l0 (3, 1000, 40) stands twice"),
        ({"repeat_of": "a"}, "repeat_of a is no SAE of the suite"),
        ({"layer": -1}, "layer: Input should be greater than or equal to 0"),
        ({"num_latents": 2**30}, "n_latents: Input should be less than or equal to"),
        ({"seed": -1}, "seed: Input should be greater than or equal to 0"),
    ],
)
def test_a_table_of_saes_that_misleads_is_refused_in_one_line(
    second: Path, tmp_path: Path, changed: dict[str, object], said: str
) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(second, folder)
    _change(folder, **changed)
    with pytest.raises(SuiteError) as refused:
        Store(folder)
    assert str(refused.value).startswith(f"{folder}/saes.parquet: ")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert [str(problem) for problem in check_suite(folder)] == [f"manifest.json: {refused.value}"]


def test_without_its_saes_or_concepts_a_suite_is_refused(second: Path, tmp_path: Path) -> None:
    for name in ("saes", "concepts", "measurements"):
        folder = tmp_path / name
        shutil.copytree(second, folder)
        (folder / f"{name}.parquet").unlink()
        with pytest.raises(SuiteError, match=f"{name}.parquet: missing, but manifest.json lists table '{name}'"):
            Store(folder)
