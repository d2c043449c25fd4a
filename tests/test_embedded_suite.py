"""The embedded suite and the tiny suite of the tests conform to the contracts."""

# ruff: noqa: S608 - the only values in statements are paths of suites

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from explorer.store import SWEEPS
from queries.schema import LETTERS, TABLES, Table, concept_id
from queries.suite import read_manifest
from tests.tiny_sae import LETTERS as TINY_LETTERS
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from pathlib import Path

    from queries.manifest import Manifest, Sae


@dataclass(frozen=True)
class Opened:
    root: Path
    manifest: Manifest
    letters: str

    def files(self, table: Table) -> list[Path]:
        return sorted(self.root.glob(f"{table.name}/*.parquet" if table.partitioned else f"{table.name}.parquet"))

    @property
    def own(self) -> list[Sae]:
        """Its SAEs, without repeated trainings."""
        return [sae for sae in self.manifest.saes if sae.repeat_of is None]

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Run `sql`, in which {table} is replaced by a table's file."""
        names = {name: f"'{self.root / name}.parquet'" for name in TABLES}
        with duckdb.connect() as connection:
            return connection.execute(sql.format(**names)).fetchall()


@pytest.fixture(scope="module", params=["embedded", "tiny"])
def suite(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    if request.param == "embedded":
        return Opened(SWEEPS, read_manifest(SWEEPS), LETTERS)
    root = write_tiny_suite(tmp_path_factory.mktemp("suites") / "tiny", neuronpedia=True, dashboards=True)
    return Opened(root, read_manifest(root), "".join(TINY_LETTERS))


def test_files_match_manifest_and_contract(suite: Opened) -> None:
    assert {path.stem for path in suite.root.glob("*.parquet")} | {"cosines"} == set(suite.manifest.tables)
    for name, entry in suite.manifest.tables.items():
        table = TABLES[name]
        # Columns added since the embedded suite was measured are optional, and read as NULL.
        held = [column for column in table.columns if column.name in entry.columns or column.required]
        assert entry.columns == {column.name: column.type for column in held}
        assert held == list(table.columns) or suite.root == SWEEPS
        key = ", ".join(table.key)
        rows = 0
        with duckdb.connect() as connection:
            for file in suite.files(table):
                read = f"read_parquet('{file}', hive_partitioning = false, file_row_number = true)"
                described = connection.execute(f"DESCRIBE FROM {read}").fetchall()
                assert [column[:2] for column in described[:-1]] == list(entry.columns.items()), file
                number, ascending = connection.execute(
                    "SELECT count(*), count(*) FILTER (key > before)"
                    f" FROM (SELECT row({key}) AS key, lag(key) OVER (ORDER BY file_row_number) AS before FROM {read})"
                ).fetchall()[0]
                assert ascending == number - 1, f"{file}: not sorted, or a key occurs twice"
                rows += number
        assert rows == entry.rows, name


def test_every_letter_of_every_sae_has_a_row(suite: Opened) -> None:
    rows = suite.ask("SELECT sae, string_agg(concept[14:], '' ORDER BY concept) FROM {measurements} GROUP BY ALL")
    assert sorted(rows) == sorted((sae.id, suite.letters) for sae in suite.manifest.saes)


def test_split_latents_follow_from_the_f1_curve(suite: Opened) -> None:
    tau = suite.manifest.method.tau
    curves = suite.ask(
        "SELECT any_value(split_latents), list(latent ORDER BY k), list(f1 ORDER BY k), list(k ORDER BY k)"
        " FROM {measurements} JOIN {k_sparse} USING (sae, concept) WHERE k <= 15 GROUP BY sae, concept"
    )
    assert len(curves) == len(suite.own) * len(suite.letters)
    for split, ranked, f1, k in curves:
        assert k == list(range(1, 16))
        number = 1
        while number < len(f1) and f1[number] > f1[number - 1] + tau:
            number += 1
        assert split == ranked[:number]
    assert {len(split) for split, *_ in curves} > {1, 2}


def test_verdicts_follow_from_the_stored_scores(suite: Opened) -> None:
    method = suite.manifest.method
    rows = suite.ask(
        "SELECT is_absorption, top_effect, coalesce(second_effect, 0), top_cosine, list_max(split_activations)"
        " FROM {tested_tokens}"
    )
    verdict, top, second, cosine, split = (np.array(column) for column in zip(*rows, strict=True))
    conditions = (top <= 0, np.abs(top) - np.abs(second) >= method.effect_margin, cosine >= method.cosine_threshold)
    assert (split < 1e-8).all()
    np.testing.assert_array_equal(verdict, np.logical_and.reduce(conditions))
    # For each condition, the suite has tokens that fail it alone; otherwise the check above would show little.
    assert verdict.any()
    assert all((~verdict & ~condition).any() for condition in conditions[1:])


def test_tested_tokens_match_the_counts_of_their_letters(suite: Opened) -> None:
    rows = suite.ask(
        "SELECT sae, concept, num_tested, count(tested.token), sample_portion, num_candidates,"
        "   num_split_silent, num_probe_true_positives - num_true_positives,"
        "   bool_and(tested.token IS NULL OR coalesce(tokens.is_test, false))"
        " FROM {measurements} LEFT JOIN {tested_tokens} AS tested USING (sae, concept)"
        " LEFT JOIN {tokens} AS tokens ON tokens.token_id = tested.token_id AND tokens.token = tested.token"
        f" WHERE sae IN {tuple(sae.id for sae in suite.own)} GROUP BY ALL"
    )
    assert len(rows) == len(suite.own) * len(suite.letters)
    for *_, num_tested, stored, portion, candidates, silent, missed, all_test in rows:
        assert num_tested == stored == candidates * portion
        assert candidates <= min(silent, missed)
        assert all_test


def test_cosines_have_a_row_group_for_every_letter(suite: Opened) -> None:
    for sae in suite.own:
        assert sae.cosines
        file = pq.ParquetFile(suite.root / "cosines" / f"{sae.id}.parquet")
        assert file.num_row_groups == len(suite.letters)
        for place, letter in enumerate(suite.letters):
            group = file.metadata.row_group(place)
            for column, value in enumerate((sae.id, concept_id(letter))):
                statistics = group.column(column).statistics
                assert (statistics.min, statistics.max, group.num_rows) == (value, value, sae.n_latents)
    number = sum(sae.n_latents or 0 for sae in suite.own)
    assert suite.manifest.tables["cosines"].rows == len(suite.letters) * number


def test_scores_of_tested_tokens_agree_with_the_cosines(suite: Opened) -> None:
    compared, largest = suite.ask(
        "SELECT count(*), max(abs(tested.top_cosine - cosines.cosine)) FROM {tested_tokens} AS tested"
        f" JOIN '{suite.root}/cosines/*.parquet' AS cosines ON (cosines.sae, cosines.concept, cosines.latent)"
        " = (tested.sae, tested.concept, tested.top_latent)"
    )[0]
    assert compared == suite.manifest.tables["tested_tokens"].rows
    assert largest < 1e-5


@pytest.mark.parametrize("name", ["contexts", "logits", "histograms", "token_activations", "latents"])
def test_row_groups_of_large_tables_lie_within_one_sae(suite: Opened, name: str) -> None:
    metadata = pq.read_metadata(suite.root / f"{name}.parquet")
    for place in range(metadata.num_row_groups):
        group = metadata.row_group(place)
        statistics = group.column(0).statistics
        assert statistics.min == statistics.max


def test_embedded_suite_is_redistributable() -> None:
    manifest = read_manifest(SWEEPS)
    shipped = {record["source"] for record in manifest.provenance.corpus if record["contexts_shipped"]}
    with duckdb.connect() as connection:
        sources = connection.execute(f"SELECT DISTINCT source FROM '{SWEEPS}/contexts.parquet'").fetchall()
    assert {source for (source,) in sources} <= shipped
    notices = (SWEEPS / "LICENSES.txt").read_text("utf-8")
    assert all(source in notices for source in shipped)
