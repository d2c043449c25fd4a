"""Every query has the same result for a suite of the first layout before and after its upgrade."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
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
from queries.manifest_1 import former_key
from queries.suite import read_manifest
from queries.upgrade import upgrade_suite
from tests.questions import ask, question_values

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Ids of the SAEs, with their keys in the first layout; two of them have no known L0.
SAES = {"l0-w1000-l0-10": (0, 1000, 10), "l3-w1000-l0-40": (3, 1000, 40), "l3-w1000": (3, 1000, -1)} | {
    "l3-w1000-2": (3, 1000, -2)
}
#: Columns that the first layout does not have.
_ADDED_SINCE = ["seed", "num_tokens"]
FIRST = Path(__file__).parent / "layout_1" / "tiny"


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny suite as it was written in the first layout."""
    return Path(shutil.copytree(FIRST, tmp_path_factory.mktemp("first") / "tiny"))


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
def test_every_query_returns_the_same_after_the_upgrade(stores: tuple[Store, Store], name: str) -> None:
    former, newest = stores
    for sae in SAES.values():
        for letter in ("s", "t", "q"):
            values = question_values(former, sae=sae, letter=letter)
            assert values == question_values(newest, sae=sae, letter=letter)
            answers = [ask(store, name, values) for store in (newest, former)]
            if name == "layer_cosines":  # two SAEs of the same width and unknown L0 may be in any order
                answers = [answer.sort_values([*answer], ignore_index=True) for answer in answers]
            # The first layout stores the seed of an SAE only with further ones.
            pd.testing.assert_frame_equal(*(answer.drop(columns=_ADDED_SINCE, errors="ignore") for answer in answers))


def test_upgraded_suite_is_valid_and_keeps_other_files(first: Path, second: Path) -> None:
    assert check_suite(second) == []
    assert (second / "LICENSES.txt").read_text() == "all of them\n"
    assert not list(second.rglob("letters.parquet")) + list(second.rglob("layer=*"))
    former, newest = read_manifest(first), read_manifest(second)
    own = [sae for sae in newest.saes if sae.repeat_of is None]
    assert sorted(sae.id for sae in own) == sorted(sae.id for sae in former.saes)
    assert [sae.model_copy(update={"seed": None}) for sae in own] == former.saes
    assert "saes" not in json.loads((second / MANIFEST).read_text())
    assert [family.family for family in newest.families] == ["first-letter"]


def test_further_seeds_become_saes(first: Path, second: Path) -> None:
    saes = {sae.id: sae for sae in read_manifest(second).saes}
    again = saes["l3-w1000-l0-40-s1"]
    assert (again.repeat_of, again.seed, again.layer, again.width) == ("l3-w1000-l0-40", 1, 3, 1000)
    assert (again.l0_nominal, again.variance_explained) == (40, None)
    assert saes["l3-w1000-l0-40"].seed == 0
    again = pd.read_parquet(second / "measurements.parquet").set_index(["sae", "concept"])["num_absorbed"]
    former = pd.read_parquet(first / "repeats.parquet").query("layer == 3 and width == 1000 and seed == 1")
    expected = {f"first-letter.{row.letter}": row.num_absorbed for row in former.itertuples()}
    assert again["l3-w1000-l0-40-s1"].to_dict() == expected


def test_command_upgrades_once(first: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(first, folder)
    assert CliRunner().invoke(app, ["upgrade", str(folder)]).exit_code == 0
    again = CliRunner().invoke(app, ["upgrade", str(folder)])
    assert again.exit_code == 2
    assert "has the newest layout already; nothing was changed" in again.stderr
    assert check_suite(folder) == []


def test_leftovers_of_a_killed_upgrade_are_ignored(first: Path, second: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(first, folder)
    (tmp_path / ".tiny.partial" / "cosines").mkdir(parents=True)
    (tmp_path / ".tiny.partial" / "cosines" / "left.parquet").write_text("half of it")
    upgrade_suite(folder)
    written = {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert written == {file.relative_to(second): file.read_bytes() for file in second.rglob("*") if file.is_file()}


def test_unreadable_suite_is_not_changed(first: Path, tmp_path: Path) -> None:
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
    ("changed", "message"),
    [
        ({"sae": "L0-W1000"}, "L0-W1000: sae: only small letters, digits, dots, underscores and hyphens are allowed"),
        (
            {"sae": "../elsewhere"},
            "../elsewhere: sae: only small letters, digits, dots, underscores and hyphens are allowed",
        ),
        ({"sae": "l3-w1000-l0-40"}, "sae l3-w1000-l0-40 occurs twice; give each SAE its own"),
        ({"repeat_of": "a"}, "repeat_of a is no SAE of the suite"),
        ({"sae": None}, "None: sae: Input should be a valid string"),
        ({"layer": -1}, "layer: Input should be greater than or equal to 0"),
        ({"num_latents": 2**30}, "n_latents: Input should be less than or equal to"),
        ({"seed": -1}, "seed: Input should be greater than or equal to 0"),
    ],
)
def test_inconsistent_table_of_saes_is_refused_in_one_line(
    second: Path, tmp_path: Path, changed: dict[str, object], message: str
) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(second, folder)
    _change(folder, **changed)
    with pytest.raises(SuiteError) as refused:
        Store(folder)
    assert str(refused.value).startswith(f"{folder}/saes.parquet: ")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert [str(problem) for problem in check_suite(folder)] == [f"manifest.json: {refused.value}"]


def test_first_layout_can_be_read(first: Path) -> None:
    assert check_suite(first) == []
    saes = read_manifest(first).saes
    assert [sae.id for sae in saes] == list(SAES)
    assert {sae.id: former_key(sae.id) for sae in saes} == SAES
    assert [(sae.l0, sae.l0_nominal) for sae in saes] == [(10.25, 10), (40.25, 40), (None, None), (None, None)]
    assert {sae.title for sae in saes} == {None, "made up"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"l0": 10}, "sae l0-w1000-l0-10 occurs twice"),
        ({"layer": -1}, "saes.1.layer: Input should be greater than or equal to 0"),
        ({"l0_measured": float("nan")}, "not finite"),
        ({"hook": 3}, "saes.1.hook: Input should be a valid string"),
        ({"taw": 3}, "saes.1.taw: Extra inputs are not permitted"),
    ],
)
def test_inconsistent_manifest_of_the_first_layout_is_refused_in_one_line(
    first: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    folder = Path(shutil.copytree(first, tmp_path / "tiny"))
    manifest = json.loads((folder / MANIFEST).read_text())
    sae = manifest["saes"][0] | {"layer": 0, "width": 1000, "l0": 10}
    manifest["saes"] = [sae, sae | {"l0": 11} | change]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(SuiteError) as refused:
        Store(folder)
    assert message in str(refused.value)
    assert str(refused.value).startswith(f"{folder}/{MANIFEST}: ")
    assert "\n" not in str(refused.value)


def test_suite_without_required_tables_is_refused(second: Path, tmp_path: Path) -> None:
    for name in ("saes", "concepts", "measurements"):
        folder = tmp_path / name
        shutil.copytree(second, folder)
        (folder / f"{name}.parquet").unlink()
        with pytest.raises(SuiteError, match=f"{name}.parquet: missing, but manifest.json lists table '{name}'"):
            Store(folder)
