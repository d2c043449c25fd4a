"""What the writer refuses, and that a refusal leaves nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from ingest import IngestError, write_suite
from queries.manifest import Manifest, Method, Model

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = Manifest(format_version=1, name="x", model=Model(name="m"), method=Method(metric="full"), saes=[], tables={})
ROW = {"layer": 0, "width": 1000, "l0": 10, "letter": "s", "split_latents": [3]}


def _letters(*changes: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([ROW | change for change in changes])


@pytest.mark.parametrize(
    ("letters", "reason"),
    [
        (_letters({}).drop_columns("letter"), "column 'letter' is missing"),
        (_letters({}, {"letter": "t"}, {}), "'letter': 's'} stands twice"),
        (_letters({"width": 2**40}), "column 'width' is no INTEGER"),
        ([_letters({"layer": 1}), _letters({"layer": 0})], "comes after"),
        ([_letters({}), _letters({})], "comes after"),
    ],
)
def test_rows_that_break_the_contract_are_refused(tmp_path: Path, letters: Any, reason: str) -> None:
    with pytest.raises(IngestError, match=f"^table 'letters': .*{reason}.*; "):
        write_suite(tmp_path / "suite", MANIFEST, {"letters": letters})
    assert not list(tmp_path.iterdir())
