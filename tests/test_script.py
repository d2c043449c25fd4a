"""Every query can be exported as SQL, which runs in a plain DuckDB and gives the same result."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import pytest

from explorer import open_store
from explorer.store import SWEEPS
from queries import Store, catalog
from queries.literal import literal
from tests.questions import question_values
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Iterator

SAE = (0, 1000, 10)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Two suites, in a folder whose name must be quoted."""
    folder = tmp_path_factory.mktemp("it's") / "here's = some"
    with Store(write_tiny_suite(folder / "tiny"), write_tiny_suite(folder / "twin", name="twin")) as store:
        yield store


@pytest.fixture(scope="module")
def embedded() -> Iterator[Store]:
    with open_store(SWEEPS) as store:
        yield store


def assert_same(answer: pd.DataFrame, shown: pd.DataFrame) -> None:
    """Compare a result of DuckDB with the store's, which has None for NULL in texts and booleans."""
    texts = {
        name: answer[name].astype(object).where(answer[name].notna(), None)
        for name in answer.select_dtypes(["str", "boolean"])
    }
    pd.testing.assert_frame_equal(answer.assign(**texts), shown, check_dtype=False)


def runs(store: Store, name: str, params: dict[str, Any], times: int = 1) -> None:
    """Compare the last result of a script in a plain DuckDB with the store's result."""
    text = store.script(name, **params)
    with duckdb.connect() as bare:
        for _ in range(times):
            answer = bare.execute(text).df()
        made = bare.execute("SELECT count(*) FROM duckdb_tables() WHERE NOT temporary").fetchone()
    shown = store.fetch(name, **params)
    assert list(answer.columns) == list(catalog()[name].columns)
    assert_same(answer, shown)
    assert made == (0,)


@pytest.mark.parametrize("name", sorted(catalog()))
@pytest.mark.parametrize(
    "changed", [{}, {"tau": 0.1, "cosine_threshold": -1.0, "effect_margin": 0.5, "concept": "first-letter.t"}]
)
def test_script_of_every_query_runs_alone(tiny: Store, name: str, changed: dict[str, Any]) -> None:
    values = question_values(tiny, sae=SAE) | changed
    # Its definitions do not conflict with those of a second run, whatever the values.
    runs(tiny, name, {param: values[param] for param in catalog()[name].params}, times=1 if changed else 2)


@pytest.mark.parametrize("name", sorted(catalog()))
def test_script_of_every_query_of_the_embedded_suite_runs_alone(embedded: Store, name: str) -> None:
    sae = embedded.fetch("saes").iloc[0]
    key = (int(sae["layer"]), int(sae["width"]), int(sae["l0_nominal"]))
    values = question_values(embedded, suite=str(sae["suite"]), sae=key) | {"evidence_page": None}
    runs(embedded, name, {param: values[param] for param in catalog()[name].params})


@pytest.mark.parametrize(
    "text", ["'", "''); DROP TABLE saes; --", "a\0b'", '"', "$tau", "%", "\n", "\N{GRINNING FACE}", "getvariable('x')"]
)
def test_parameters_of_any_kind_are_quoted(tiny: Store, text: str) -> None:
    values = question_values(tiny, sae=SAE) | {"evidence_token": text, "words": [text, " short"], "search": text}
    for name in ("evidence", "word_activations", "search"):
        runs(tiny, name, {param: values[param] for param in catalog()[name].params})


@pytest.mark.parametrize("value", [None, True, 3, -0.1, 1e300, float("inf"), "it's", "a\0b'\0", [1, 2], ["a'b", "c"]])
def test_literals_round_trip(value: object) -> None:
    assert duckdb.sql(f"SELECT {literal(value)}").fetchone() == (value,)


def test_scripts_contain_only_needed_definitions_and_relative_paths(embedded: Store) -> None:
    text = embedded.script("k_sparse", suite=SWEEPS.name, sae="l4-w2048-l0-6", concept="first-letter.s", tau=0.05)
    assert "SET VARIABLE tau = '0.05'::DOUBLE;" in text
    assert "TEMP MACRO splits" in text
    for needless in ("contexts", "MACRO verdicts", "tested_tokens", "wilson"):
        assert needless not in text
    files = f"{os.path.relpath(SWEEPS)}/k_sparse.parquet" if SWEEPS.is_relative_to(Path.cwd()) else str(SWEEPS)
    assert files in text


def test_shared_scripts_contain_no_local_paths(tmp_path: Path) -> None:
    folder = tmp_path / "it's here"
    with Store(write_tiny_suite(folder / "tiny", saes=[SAE])) as store:
        values = question_values(store, sae=SAE)
        for name in catalog():
            params = {param: values[param] for param in catalog()[name].params}
            text = store.script(name, shared=True, **params)
            assert "s here" not in text
            with duckdb.connect() as bare:
                bare.execute(f"SET file_search_path = {literal(str(folder))}")
                answer = bare.execute(text).df()
            assert_same(answer, store.fetch(name, **params))
