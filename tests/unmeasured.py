"""Adds letters without any measurement to a suite."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from queries.first_letters import first_letters
from queries.schema import LETTERS, concept_id

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def list_letters(folder: Path, letters: Iterable[str] = LETTERS) -> Path:
    """Add letters to a suite's concepts; return the folder."""
    file, manifest = folder / "concepts.parquet", folder / "manifest.json"
    token_concepts = pq.read_table(folder / "token_concepts.parquet")
    listed = first_letters([*pq.read_table(file)["concept"].to_pylist(), *map(concept_id, letters)], token_concepts)
    pq.write_table(listed, file)
    content = json.loads(manifest.read_text("utf-8"))
    content["tables"]["concepts"]["rows"] = len(listed)
    manifest.write_text(json.dumps(content), "utf-8")
    return folder
