"""The writer rejects invalid data, and leaves nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from ingest import IngestError, write_suite
from queries import Store, check_suite
from queries.manifest import Manifest, Method, Model, Sae
from queries.suite import read_manifest

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = Manifest(format_version=2, name="x", model=Model(name="m"), method=Method(metric="full"), saes=[], tables={})
ROW = {"sae": "l0-w1000-l0-10", "concept": "first-letter.s", "split_latents": [3]}


def _rows(*changes: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([ROW | change for change in changes])


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (_rows({}).drop_columns("concept"), "column 'concept' is missing"),
        (_rows({}, {"concept": "first-letter.t"}, {}), "'concept': 'first-letter.s', 'metric': 'full'} occurs twice"),
        (_rows({"num_tested": 2**40}), "column 'num_tested' is not INTEGER"),
        ([_rows({"sae": "b"}), _rows({"sae": "a"})], "comes after"),
        ([_rows({}), _rows({})], "comes after"),
    ],
)
def test_invalid_rows_are_refused(tmp_path: Path, rows: Any, reason: str) -> None:
    with pytest.raises(IngestError, match=f"^table 'measurements': .*{reason}.*; "):
        write_suite(tmp_path / "suite", MANIFEST, {"measurements": rows})
    assert not list(tmp_path.iterdir())


def test_unknown_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(IngestError, match=r"^table 'letters': is not a table of a suite; give one of saes, concepts, "):
        write_suite(tmp_path / "suite", MANIFEST, {"letters": _rows({})})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("saes", "reason"),
    [
        ([Sae(sae="a"), Sae(sae="a")], "table 'saes': {'sae': 'a'} occurs twice"),
        ([Sae(sae="a", repeat_of="b")], "repeat_of b is no SAE of the suite"),
    ],
)
def test_indistinguishable_saes_are_refused(tmp_path: Path, saes: list[Sae], reason: str) -> None:
    manifest = MANIFEST.model_copy(update={"saes": saes})
    with pytest.raises(IngestError, match=reason):
        write_suite(tmp_path / "suite", manifest, {"measurements": _rows({})})
    assert not list(tmp_path.iterdir())


def test_cosines_of_unlisted_saes_are_refused(tmp_path: Path) -> None:
    cosines = pa.table({"sae": ["../../x"], "concept": ["first-letter.s"], "latent": [0], "cosine": [0.5]})
    with pytest.raises(IngestError, match=r"^table 'cosines': '../../x' is not an SAE of the manifest; "):
        write_suite(tmp_path / "a" / "suite", MANIFEST, {"measurements": _rows({}), "cosines": cosines})
    assert not list(tmp_path.rglob("*.parquet"))


def test_saes_may_share_all_known_attributes(tmp_path: Path) -> None:
    """For example layer, width and L0; one of them has no known attributes at all."""
    at: dict[str, Any] = {"layer": 8, "width": 16_000, "l0": 20.0}
    saes = [Sae(sae="b", **at), Sae(sae="a", **at), Sae(sae="unknown"), Sae(sae="b-s1", seed=1, repeat_of="b", **at)]
    concepts = pa.table(
        {"concept": ["first-letter.s"], "family": ["first-letter"], "label": ["S"], "phrase": ["starts with S"]}
    )
    rows = _rows(*({"sae": sae.id} for sae in saes))
    write_suite(
        tmp_path / "x", MANIFEST.model_copy(update={"saes": saes}), {"measurements": rows, "concepts": concepts}
    )
    assert check_suite(tmp_path / "x") == []
    assert [sae.id for sae in read_manifest(tmp_path / "x").saes] == ["a", "b", "b-s1", "unknown"]
    with Store(tmp_path / "x") as store:
        listed = store.fetch("saes").set_index("sae")
        assert listed.index.tolist() == ["a", "b", "b-s1", "unknown"]
        assert listed.loc["unknown", ["layer", "width", "l0", "n_latents"]].isna().all()
