"""An import reports every number that it does not import, and everything that `check` would reject."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from ingest import import_results
from queries import check_suite
from queries.schema import TABLES
from tests.result_files import edit
from tests.test_hostile_source import FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ingest.report import Report

UNHEARD_OF = "unheard_of"


def imported(root: Path, name: str) -> Report:
    _, report = import_results(root, root.parent / "suite", format=name)
    assert check_suite(root.parent / "suite") == []
    return report


def named(report: Report, file: str) -> set[str]:
    return {name for names, files in report.unused.items() for name in names if file in files}


@pytest.mark.parametrize("name", FORMATS)
def test_every_number_that_is_not_imported_is_named(tmp_path: Path, name: str) -> None:
    root = FORMATS[name][0](tmp_path / "results")
    for file in root.rglob("*.parquet"):
        edit(file, lambda frame: frame.assign(**{UNHEARD_OF: 1.5}))
    for file in root.rglob("*.json"):
        file.write_text(json.dumps(_with_a_number(json.loads(file.read_text("utf-8")))), "utf-8")
    for file in root.rglob("*.npz"):
        np.savez(file, np.load(file)["arr_0"], unheard_of=np.ones(3))
    report = imported(root, name)
    kinds = {file.rpartition(".")[2] for file in report.read}
    assert {"parquet"} <= kinds
    for read in report.read:
        if read.endswith((".parquet", ".json")):
            assert UNHEARD_OF in named(report, read), read
        if read.endswith(".npz"):
            assert any(UNHEARD_OF in reason for rejected, reason in report.rejected if rejected == read), read
    assert {"names", "files"} == {key for entry in report.as_dict()["unused"] for key in entry}


def _with_a_number(content: Any) -> Any:
    """Add a number to every object, at any depth."""
    if isinstance(content, dict):
        changed = {key: _with_a_number(value) for key, value in content.items()}
        return changed | ({UNHEARD_OF: 1.5} if content else {})
    return [_with_a_number(value) for value in content] if isinstance(content, list) else content


@pytest.mark.parametrize("name", FORMATS)
def test_numbers_that_are_imported_are_not_named(tmp_path: Path, name: str) -> None:
    root = FORMATS[name][0](tmp_path / "results")
    report = imported(root, name)
    taken = {column.name for table in TABLES.values() for column in table.columns} - {"layer", "l0", "cosine"}
    for names in report.unused:
        assert not taken.intersection(names) - {"num_split_features"}


#: Invalid values, by the ending of a column's name in files.
BAD = {"feat": -1, "f1": 1.5, "recall": 7.0, "latent": -5, "cos": 3.0, "rank": -1, "density": -0.5, "accuracy": 2.0}


def spoilt(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield, by column, the frame with an invalid value in its first row."""
    for column in frame.columns:
        first = frame[column].iloc[0]
        if isinstance(first, (list, np.ndarray)) and len(first) and np.issubdtype(np.asarray(first).dtype, np.number):
            bad: Any = [-7, *list(first)[1:]]
        elif pd.api.types.is_bool_dtype(frame[column]) or not pd.api.types.is_numeric_dtype(frame[column]):
            continue
        else:
            bad = -7
        values = list(frame[column])
        yield column, frame.assign(**{column: [bad, *values[1:]]})


@pytest.mark.parametrize("name", FORMATS)
def test_values_that_check_refuses_are_rejected(tmp_path: Path, name: str) -> None:
    """All columns of all tables have an invalid value, each in a different row."""
    root = FORMATS[name][0](tmp_path / "results")
    for file in root.rglob("*.parquet"):
        frame = pd.read_parquet(file)
        pieces = [piece.head(1) for _, piece in spoilt(frame)]
        pd.concat([*pieces, frame], ignore_index=True).to_parquet(file, index=False)
    report = imported(root, name)
    assert report.rejected
    suite = tmp_path / "suite"
    assert pq.read_metadata(suite / "measurements.parquet").num_rows > 0


def test_latents_out_of_range_are_rejected(tmp_path: Path) -> None:
    root = FORMATS["published"][0](tmp_path / "results")
    edit(root / "sae_split_feats.parquet", lambda frame: frame.assign(split_feats=[[-1]] * len(frame)))
    edit(
        root / "feature_absorption_results.parquet",
        lambda frame: frame.assign(second_ablation_feat=[10_000, *frame["second_ablation_feat"][1:]]),
    )
    report = imported(root, "published")
    assert [file for file, _ in report.rejected] == ["sae_split_feats.parquet", "table tested_tokens"]
    assert "less than the SAE's number of latents" in report.rejected[0][1]


def test_whole_floats_are_imported_as_integers(tmp_path: Path) -> None:
    root = FORMATS["published"][0](tmp_path / "results")
    _, before = import_results(root, tmp_path / "before", format="published")
    edit(
        root / "sae_split_feats.parquet",
        lambda frame: frame.assign(
            sae_width=frame["sae_width"].astype(float),
            num_true_positives=[1.5, *frame["num_true_positives"].astype(float)[1:]],
            split_feats=[[float(latent) for latent in latents] for latents in frame["split_feats"]],
        ),
    )
    report = imported(root, "published")
    assert not before.rejected
    (reason,) = (reason for file, reason in report.rejected if file == "sae_split_feats.parquet")
    assert reason == "num_true_positives: 1 values are not integers and are left empty"
    letters, same = (pq.read_table(tmp_path / suite / "measurements.parquet") for suite in ("suite", "before"))
    assert letters["split_latents"] == same["split_latents"]
    assert letters["num_true_positives"].null_count == same["num_true_positives"].null_count + 1
