from __future__ import annotations

import re
from typing import TYPE_CHECKING

from queries.schema_doc import SCHEMA_DOC, render_schema
from queries.suite import read_suite

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_committed_file_matches_the_contracts() -> None:
    assert SCHEMA_DOC.read_text("utf-8") == render_schema(), "run python -m queries.schema_doc"


def test_documented_example_writes_a_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", render_schema(), re.DOTALL)
    exec(example, {})  # noqa: S102 - the example is the project's own
    assert read_suite(tmp_path / "data" / "mine").columns["measurements"]
