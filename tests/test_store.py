"""The store: threads, limits, the lock on files, immutable results, and suites that cannot be opened."""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import queries.store
from explorer.store import acquire_store, close_stores, shared_store
from queries import CancelToken, Query, QueryError, Store, SuiteError, catalog
from queries.schema import TABLES, concept_id
from tests.questions import DECIDING, FAMILY, ask, keys, question_values, sae_id
from tests.tiny_sae import LETTERS
from tests.tiny_suite import write_tiny_suite
from tests.unmeasured import list_letters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SAES = ((0, 1000, 10), (3, 1000, 40))
#: Each has a further seed.
NUM_SAES = 2 * len(SAES)
SAE = {"suite": "tiny", "layer": 0, "width": 1000, "l0": 10}

#: Runs longer than any test, in small steps that can be interrupted.
SLOW = "SELECT count(*) AS number FROM range(10_000_000) AS a, range(10_000_000) AS b WHERE (a.range + b.range) % 7 = 3"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_suite(tmp_path_factory.mktemp("suites") / "tiny", saes=SAES, dashboards=True)


@pytest.fixture(scope="module")
def store(folder: Path) -> Iterator[Store]:
    with Store(folder) as opened:
        yield opened


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A suite that the test may modify."""
    return write_tiny_suite(tmp_path / "own", saes=SAES[:1], dashboards=True)


def _inject(monkeypatch: pytest.MonkeyPatch, **statements: str) -> None:
    """Add queries without parameters to the catalogue."""
    added = {name: Query(name, "", {}, {}, sql) for name, sql in statements.items()}
    monkeypatch.setattr(queries.store, "catalog", lambda: catalog() | added)


# --- Answers -------------------------------------------------------------------------------------------------------


def test_threads_receive_their_own_results(folder: Path) -> None:
    """Two threads on one cursor lose results without an error; all results here are different."""
    questions: list[dict[str, Any]] = [
        {"suite": "tiny", "layer": layer, "width": width, "l0": l0, "letter": letter}
        for layer, width, l0 in SAES
        for letter in LETTERS
    ] * 4
    expected: dict[tuple[int, str], pd.Series] = {}
    for layer, width, l0 in SAES:
        rows = pd.read_parquet(folder / "cosines" / f"{sae_id(layer, width, l0)}.parquet")
        expected |= {(layer, letter): rows.loc[rows["concept"] == concept_id(letter), "cosine"] for letter in LETTERS}
    assert {len(cosines) for cosines in expected.values()} == {1024}
    start = threading.Barrier(8)

    with Store(folder) as store, ThreadPoolExecutor(8) as pool:

        def ask(worker: int) -> list[bool]:
            start.wait()
            answers = []
            for question in questions[worker::8] + questions[: worker + 1]:
                store._cache.clear()  # every query runs on the database
                frame = store.fetch("cosines", **keys(**question))
                answers.append(np.array_equal(frame["cosine"], expected[question["layer"], question["letter"]]))
            return answers

        answered = [right for answers in pool.map(ask, range(8)) for right in answers]
    assert len(answered) == len(questions) + sum(range(1, 9))
    assert all(answered)


def test_wrong_parameters_raise_errors(store: Store) -> None:
    with pytest.raises(TypeError, match="random_tokens takes suite, concept, seed, not suite"):
        store.fetch("random_tokens", suite="tiny")
    with pytest.raises(KeyError):
        store.fetch("nonsense")


def _ask_all(store: Store) -> dict[str, pd.DataFrame]:
    values = question_values(store, sae=SAES[0], letter="t")
    return {name: ask(store, name, values) for name in catalog()}


def _spoil(frame: pd.DataFrame) -> int:
    """Try each way to write into a frame; return how many were rejected."""
    refused = 0
    for place, name in enumerate(frame.columns):
        first = frame[name].iloc[0] if len(frame) else None
        other = not first if isinstance(first, bool | np.bool_) else 77
        if isinstance(first, np.ndarray) and len(first):
            with pytest.raises(ValueError, match="read-only"):
                first[0] = first[-1]
        for write in (
            lambda name=name, other=other: frame[name].array.__setitem__(0, other),
            lambda name=name, other=other: frame[name].to_numpy(copy=False).__setitem__(0, other),
            lambda name=name, other=other: np.asarray(frame[name]).__setitem__(0, other),
            lambda place=place, other=other: frame.isetitem(place, other),
        ):
            try:
                write()
            except (ValueError, TypeError, IndexError):
                refused += 1
    return refused


def test_cached_results_are_immutable(store: Store) -> None:
    before = {name: frame.copy(deep=True) for name, frame in _ask_all(store).items()}
    assert sum(_spoil(frame) for frame in _ask_all(store).values())
    for name, frame in _ask_all(store).items():
        pd.testing.assert_frame_equal(frame, before[name], obj=name)


def test_unknown_integers_are_nan(own: Path) -> None:
    """For all versions of DuckDB: views format floats, and pandas' NA has no truth value."""
    with Store(list_letters(own)) as store:
        counts = store.fetch("concept_counts", **keys(**SAE, **DECIDING), family=FAMILY)
    assert counts["num_absorbed"].dtype == np.float64
    assert counts["num_absorbed"].isna().tolist() == [letter not in LETTERS for letter in counts["label"].str.lower()]
    assert counts["num_absorbed"].dropna().tolist() == [2, 0, 2, 0, 4, 2]


# --- The cache -----------------------------------------------------------------------------------------------------


def test_unknown_texts_are_none(own: Path) -> None:
    contexts = pq.read_table(own / "contexts.parquet")
    half = pa.array([None if place % 2 else "a text" for place in range(contexts.num_rows)])
    column = contexts.column_names.index("source")
    pq.write_table(contexts.set_column(column, "source", half), own / "contexts.parquet")
    _edit_sae(own, title="named", architecture=None)
    with Store(own) as store:
        seen = Counter[type]()
        for name, frame in _ask_all(store).items():
            for column, kind in catalog()[name].columns.items():
                if kind == "VARCHAR":
                    found = {type(value) for row in frame.to_dict("records") for value in [row[column]]}
                    assert found <= {str, type(None)}, (name, column)
                    seen.update(found)
        assert seen[type(None)]


def test_equal_queries_run_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    run = Store._run

    def count(self: Store, query: Query, params: dict[str, Any]) -> pd.DataFrame:
        ran.append(query.name)
        return run(self, query, params)

    monkeypatch.setattr(Store, "_run", count)
    words = {"suite": "tiny", "concept": "first-letter.a"}
    for seed in (901, 902, 901, 902):
        store.fetch("random_tokens", **words, seed=seed)
    assert ran == ["random_tokens"] * 2


@pytest.mark.parametrize("most_bytes", [2**20, 0])
def test_second_concept_fetches_all_concepts_together(
    folder: Path, monkeypatch: pytest.MonkeyPatch, most_bytes: int
) -> None:
    """Not for the first one, because a visitor may be moving a threshold; nor if the result would be too large."""
    asked: list[str | None] = []
    run = Store._run

    def noting(store: Store, query: Query, params: dict[str, Any]) -> pd.DataFrame:
        asked.append(params["concept"])
        return run(store, query, params)

    monkeypatch.setattr(Store, "_run", noting)
    monkeypatch.setattr(queries.store, "_TOGETHER_BYTES", most_bytes)
    with Store(folder) as store:
        for letter in "ststba":
            wanted, num_asked = keys(**SAE, **DECIDING, family=FAMILY, letter=letter), len(asked)
            is_held = store.is_cached("summary", **wanted)
            store.fetch("summary", **wanted)
            assert is_held == (len(asked) == num_asked)
        first, *others = map(concept_id, "stba")
        assert asked == [first, None, *(others if most_bytes == 0 else ())]
        for margin in (0.5, 0.6, 0.7):
            store.fetch("summary", **keys(**SAE, **DECIDING | {"effect_margin": margin}, family=FAMILY, letter="s"))
        assert asked[-3:] == 3 * [first]


def test_single_queries_replace_a_failed_combined_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = keys(**SAE, tau=0.03)
    with Store(folder) as store:
        expected = [store._run(catalog()["k_sparse"], place | {"concept": concept_id(each)}) for each in "stba"]
        rows = max(map(len, expected))
        monkeypatch.setattr(queries.store, "ROW_CAP", rows)
        for letter, alone in zip("stba", expected, strict=True):
            found = store.fetch("k_sparse", **place, concept=concept_id(letter))
            pd.testing.assert_frame_equal(found, alone)
        with pytest.raises(QueryError, match="returns more than"):
            store.fetch("k_sparse", **place, concept=None)


def test_cache_is_limited_by_its_actual_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 60_000
    monkeypatch.setattr(queries.store, "CACHE_BYTES", limit)
    with Store(folder) as store:
        latents = store.fetch("split_latents", **keys(**SAE, letter="t", tau=0.03))["latent"].tolist()
        latents += store.fetch("absorbing_latents", **keys(**SAE, **DECIDING, letter="t"))["latent"].tolist()
        for latent in latents:
            store.fetch("latent_logits", **keys(**SAE, latent=latent))
            store.fetch("latent_contexts", **keys(**SAE, latent=latent))
        for letter in LETTERS:
            for layer, width, l0 in SAES:
                store.fetch("cosines", **keys(suite="tiny", layer=layer, width=width, l0=l0, letter=letter))
        assert 0 < len(store._cache) < 2 * len(latents) + len(LETTERS) * len(SAES)
        held = {id(result.frame): result.frame for result in store._cache.values()}
        assert sum(_weigh(frame) for frame in held.values()) <= limit

    monkeypatch.setattr(queries.store, "CACHE_BYTES", 8_000)
    with Store(folder) as store:
        cosines = store.fetch("cosines", **keys(**SAE, letter="s"))
        assert len(cosines) == 1024
        assert not store._cache, "an answer larger than the cache must not be kept"
        pd.testing.assert_frame_equal(store.fetch("cosines", **keys(**SAE, letter="s")), cosines)


def test_size_of_lists_includes_their_texts(folder: Path) -> None:
    with Store(folder) as store:
        latent = store.fetch("split_latents", **keys(**SAE, letter="t", tau=0.03))["latent"].iloc[0]
        frame = store.fetch("latent_contexts", **keys(**SAE, latent=int(latent)))
        (counted,) = [result.size for key, result in store._cache.items() if key[0] == "latent_contexts"]
        assert counted >= _weigh(frame)


def _weigh(frame: pd.DataFrame) -> int:
    """Count the bytes of numbers and texts, lists inside cells included."""
    weight = 0
    for name in frame:
        for cell in frame[name].array if frame[name].dtype == object else [frame[name].to_numpy()]:
            if isinstance(cell, np.ndarray):
                weight += cell.nbytes
                weight += sum(sys.getsizeof(text) for text in cell.ravel()) if cell.dtype == object else 0
    return weight


# --- Limits --------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(30)
def test_slow_query_is_cancelled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _inject(monkeypatch, slow=SLOW)
    with Store(folder, timeout=0.3) as store:
        with pytest.raises(QueryError, match=r"^The question 'slow' took longer than 0\.3 s and was cancelled\.$"):
            store.fetch("slow")
        # The store still works, and the failure is not cached.
        assert len(store.fetch("saes")) == NUM_SAES
        assert ("slow",) not in store._cache


def test_finished_queries_leave_no_thread(folder: Path) -> None:
    with Store(folder, timeout=3600) as store:
        store.fetch("saes")
        for thread in threading.enumerate():
            if thread.name.startswith("question"):
                thread.join(10)
                assert not thread.is_alive()


@pytest.mark.timeout(60)
def test_abandoned_query_is_cancelled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two parallel queries, only the one whose caller has cancelled it."""
    _inject(monkeypatch, slow=SLOW, also_slow=SLOW)
    with Store(folder, timeout=3) as store, ThreadPoolExecutor(2) as pool:
        begun: Queue[CancelToken] = Queue()

        def ask(name: str) -> str:
            begun.put(asking := CancelToken())
            with store.cancellable(asking), pytest.raises(QueryError) as failure:
                store.fetch(name)
            return str(failure.value)

        other = pool.submit(ask, "also_slow")
        begun.get()
        mine = pool.submit(ask, "slow")
        begun.get().is_cancelled = True
        assert mine.result() == "The question 'slow' was cancelled."
        assert not other.done()
        assert "took longer than 3 s" in other.result()
        assert len(store.fetch("saes")) == NUM_SAES
        asking = CancelToken()
        asking.is_cancelled = True
        with store.cancellable(asking), pytest.raises(QueryError, match="was cancelled"):
            store.fetch("suite_info", suite="tiny", **DECIDING)
        assert len(store.fetch("suite_info", suite="tiny", **DECIDING)) == 1


@pytest.mark.parametrize(("rows", "allowed"), [(50, True), (51, False)])
def test_number_of_rows_is_capped(store: Store, monkeypatch: pytest.MonkeyPatch, rows: int, allowed: bool) -> None:  # noqa: FBT001
    monkeypatch.setattr(queries.store, "ROW_CAP", 50)
    _inject(monkeypatch, **{f"numbers_{rows}": f"FROM range({rows}) ORDER BY range DESC"})
    if allowed:
        frame = store.fetch(f"numbers_{rows}")
        assert frame["range"].tolist() == list(range(rows - 1, -1, -1)), "the cap must not change the order"
    else:
        with pytest.raises(QueryError, match=f"'numbers_{rows}' returns more than 50 rows"):
            store.fetch(f"numbers_{rows}")


def test_failed_query_is_reported_in_one_line(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    _inject(monkeypatch, broken="SELECT error('first line\nsecond line')")
    with pytest.raises(QueryError, match=r"^The question 'broken' failed: .*first line$"):
        store.fetch("broken")


@pytest.mark.parametrize("way", ["cut short", "removed"])
def test_changed_file_fails_its_queries_only(own: Path, way: str) -> None:
    with Store(own) as store:
        assert store.changed() is None
        file = own / "latents.parquet"
        if way == "removed":
            file.unlink()
        else:
            os.truncate(file, file.stat().st_size // 2)
        assert store.changed() == "latents.parquet of the suite tiny"
        with pytest.raises(
            QueryError, match=r"'latent_facts' failed: latents\.parquet of the suite tiny was changed or"
        ):
            store.fetch("latent_facts", **keys(**SAE, latent=1))
        assert len(store.fetch("cosines", **keys(**SAE, letter="s"))) == 1024


def test_query_opens_no_files_of_other_saes(tmp_path: Path) -> None:
    """So its time does not depend on the number of SAEs in a suite."""
    folder = write_tiny_suite(tmp_path / "suite")
    questions: dict[str, dict[str, Any]] = {"cosines": keys(**SAE, letter="s")}
    with Store(folder) as store:
        of_layer = store.fetch("saes").query("layer == 0")["sae"].tolist()
        questions = {
            "compared_cosines": {"suite": "tiny", "compared": of_layer, "concept": "first-letter.s", **DECIDING}
        } | questions
        expected = {name: store.fetch(name, **params) for name, params in questions.items()}
    with Store(folder) as store:
        for (name, params), needed in zip(questions.items(), ("cosines/l0-", COSINES), strict=True):
            for file in folder.glob("cosines/*.parquet"):
                if needed not in str(file):
                    file.unlink()
            pd.testing.assert_frame_equal(store.fetch(name, **params), expected[name])
    assert list(folder.glob("cosines/*.parquet")) == [folder / COSINES]


def test_replaced_suite_is_not_mixed_with_the_opened_one(own: Path) -> None:
    with Store(own) as store:
        before = store.fetch("cosines", **keys(**SAE, letter="s"))
        shutil.rmtree(own)
        write_tiny_suite(own, seed=1, saes=SAES[:1])
        with pytest.raises(QueryError, match=r"manifest\.json of the suite tiny was changed .* Reload the page"):
            store.fetch("cosines", **keys(**SAE, letter="t"))
        # Former results are kept.
        assert store.fetch("cosines", **keys(**SAE, letter="s")).equals(before)


def test_replaced_store_is_closed_by_its_last_user(own: Path, tmp_path: Path) -> None:
    other = write_tiny_suite(tmp_path / "other", name="other", saes=SAES[:1])
    (first, leave), (_, leave_last) = acquire_store(str(own)), acquire_store(str(own))
    second = shared_store(str(own), str(other))  # as when a visitor opens another suite
    leave()
    assert len(first.fetch("saes"))
    assert shared_store(str(own), str(other)) is second
    leave_last()
    with pytest.raises(QueryError):
        first.fetch("concepts")
    assert len(second.fetch("saes"))
    close_stores()


def test_shared_store_is_reopened_for_a_changed_suite(own: Path) -> None:
    first = shared_store(str(own))
    assert shared_store(str(own)) is first
    (own / "measurements.parquet").unlink()
    with pytest.raises(SuiteError, match=r"measurements\.parquet: missing"):
        shared_store(str(own))
    shutil.rmtree(own)
    write_tiny_suite(own, saes=SAES)
    second = shared_store(str(own))
    assert len(second.fetch("saes")) == NUM_SAES
    close_stores()


# --- The lock ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def neighbours(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two suites, of which only the first is opened; its path is a prefix of that of the second."""
    root = tmp_path_factory.mktemp("neighbours")
    names = ("tiny", "tiny-too")
    first, second = (write_tiny_suite(root / name, name=name, saes=SAES[:1], examples=False) for name in names)
    return first, second


@pytest.fixture(scope="module")
def locked(neighbours: tuple[Path, Path]) -> Iterator[Store]:
    with Store(neighbours[0]) as opened:
        yield opened


@pytest.mark.parametrize(
    "statement",
    [
        "FROM read_csv('/etc/hosts')",
        "FROM read_text('/etc/hosts')",
        "FROM glob('/etc/*')",
        "FROM '{neighbour}/measurements.parquet'",
        "FROM '{root}/../tiny-too/measurements.parquet'",
        "COPY (SELECT 1) TO '{outside}/stolen.csv'",
        "EXPORT DATABASE '{outside}/export'",
        "ATTACH '{outside}/other.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "SET lock_configuration = false",
        "SET memory_limit = '100GB'",
        "RESET memory_limit",
    ],
)
def test_files_outside_the_suite_cannot_be_accessed(
    neighbours: tuple[Path, Path], locked: Store, tmp_path: Path, statement: str
) -> None:
    root, neighbour = neighbours
    with locked._connection.cursor() as cursor:
        assert cursor.execute(f"FROM '{root}/measurements.parquet'").fetchall(), "the suite itself can be read"
        with pytest.raises((duckdb.PermissionException, duckdb.InvalidInputException)):
            cursor.execute(statement.format(root=root, neighbour=neighbour, outside=tmp_path)).fetchall()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "statement",
    [
        "COPY (SELECT 1) TO '{root}/x.csv'",
        "ATTACH '{root}/x.db'",
        "DROP TABLE saes",
        "INSERT INTO saes SELECT * FROM saes",
        "CREATE TABLE x (a INTEGER)",
        "SET VARIABLE x = 1",
        "PRAGMA database_list",
    ],
)
def test_queries_cannot_write(
    neighbours: tuple[Path, Path], locked: Store, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    before = sorted(neighbours[0].iterdir())
    _inject(monkeypatch, writes=statement.format(root=neighbours[0]))
    with pytest.raises(QueryError, match="'writes' failed"):
        locked.fetch("writes")
    assert sorted(neighbours[0].iterdir()) == before
    assert len(locked.fetch("saes")) == 2


# --- Opening and closing -------------------------------------------------------------------------------------------


def test_closed_store_releases_its_files(own: Path) -> None:
    def held() -> list[str]:
        links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return [str(link) for link in links if str(own) in str(link.readlink())]

    store = Store(own)
    store.fetch("cosines", **keys(**SAE, letter="s"))
    frame = store.fetch("saes")
    store.close()
    store.close()
    gc.collect()
    assert held() == []
    assert not store._cache
    assert len(frame) == 2, "an answer outlives its store"
    with pytest.raises(QueryError, match="closed"):
        store.fetch("saes")
    with Store(own) as entered:
        pass
    with pytest.raises(QueryError, match="closed"):
        entered.fetch("saes")


@pytest.mark.parametrize("name", ["it's", "a [b] *?", 'say "x"', "line\nbreak", "ünï 😀", "x=1", "name=1"])
def test_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    with Store(write_tiny_suite(tmp_path / name / "tiny", saes=SAES[:1], examples=False)) as store:
        assert len(store.fetch("cosines", **keys(**SAE, letter="s"))) == 1024
        assert store.fetch("concept_counts", **keys(**SAE, **DECIDING), family=FAMILY)["measured"].sum() == len(LETTERS)


def _edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text("utf-8"))
    change(manifest)
    file.write_text(json.dumps(manifest), "utf-8")


def _edit_sae(folder: Path, **columns: object) -> None:
    """Write values into the first row of the table of SAEs."""
    file = folder / "saes.parquet"
    rows = pq.read_table(file).to_pylist()
    rows[0] |= columns
    pq.write_table(pa.Table.from_pylist(rows, pq.read_schema(file)), file, store_schema=False)


def _damage_middle(file: Path) -> None:
    """Leave the footer, so that only reading the data fails."""
    content = bytearray(file.read_bytes())
    content[60 : len(content) // 3] = bytes(byte ^ 0x5A for byte in content[60 : len(content) // 3])
    file.write_bytes(content)


def _replace_column(folder: Path, table: str, name: str, value: object) -> None:
    """Set a column to `value` in every row, without updating the manifest."""
    file = folder / f"{table}.parquet"
    data = pq.read_table(file)
    place = data.column_names.index(name)
    pq.write_table(data.set_column(place, name, pa.array([value] * len(data))), file)
    _edit_manifest(folder, lambda manifest: manifest["tables"][table]["columns"].pop(name))


def _drop_column(folder: Path, table: str, name: str) -> None:
    """Remove a column from a file and from the manifest."""
    file = folder / f"{table}.parquet"
    pq.write_table(pq.read_table(file).drop_columns(name), file)
    _edit_manifest(folder, lambda manifest: manifest["tables"][table]["columns"].pop(name))


def _be_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


COSINES = "cosines/l0-w1000-l0-10.parquet"

#: A change to a valid suite; the file that the message names, and words of the message.
DAMAGED: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "missing parquet": (lambda folder: (folder / "k_sparse.parquet").unlink(), "k_sparse.parquet", "missing"),
    "missing cosines of one SAE": (lambda folder: (folder / COSINES).unlink(), COSINES, "missing"),
    "parquet is a folder": (
        lambda folder: _be_a_folder(folder / "tokens.parquet"),
        "tokens.parquet",
        "missing",
    ),
    "truncated parquet": (
        lambda folder: (folder / "latents.parquet").write_bytes((folder / "latents.parquet").read_bytes()[:-20]),
        "latents.parquet",
        "not a readable parquet file",
    ),
    "empty parquet": (
        lambda folder: (folder / "tokens.parquet").write_bytes(b""),
        "tokens.parquet",
        "not a readable parquet file",
    ),
    "garbage parquet": (
        lambda folder: (folder / "measurements.parquet").write_bytes(b"garbage\n" * 1000),
        "measurements.parquet",
        "not a readable parquet file",
    ),
    "damaged inside": (
        lambda folder: _damage_middle(folder / "measurements.parquet"),
        "measurements.parquet",
        "cannot be read",
    ),
    "value too large for its type": (
        lambda folder: _replace_column(folder, "k_sparse", "k", 2**40),
        "k_sparse.parquet",
        "cannot be read",
    ),
    "missing manifest": (lambda folder: (folder / "manifest.json").unlink(), "manifest.json", "cannot be read"),
    "manifest is no JSON": (
        lambda folder: (folder / "manifest.json").write_text("{'name': tiny}"),
        "manifest.json",
        "JSON",
    ),
    "manifest is no text": (
        lambda folder: (folder / "manifest.json").write_bytes(b"\xff\xfe\x00"),
        "manifest.json",
        "cannot be read",
    ),
    "manifest is a list": (lambda folder: (folder / "manifest.json").write_text("[]"), "manifest.json", "fix"),
    "manifest lacks the model": (
        lambda folder: _edit_manifest(folder, lambda manifest: manifest.pop("model")),
        "manifest.json",
        "model",
    ),
    "manifest has an unknown field": (
        lambda folder: _edit_manifest(folder, lambda manifest: manifest["method"].update(taw=0.1)),
        "manifest.json",
        r"method\.taw",
    ),
    "manifest lies about a column": (
        lambda folder: _edit_manifest(folder, lambda m: m["tables"]["concepts"]["columns"].update(spirit="FLOAT")),
        "concepts.parquet",
        "'spirit' is FLOAT, the file has no such column",
    ),
    "manifest lies about a type": (
        lambda folder: _edit_manifest(folder, lambda m: m["tables"]["concepts"]["columns"].update(label="INTEGER")),
        "concepts.parquet",
        "'label' is INTEGER, the file has VARCHAR",
    ),
    "required column missing": (
        lambda folder: _drop_column(folder, "tested_tokens", "top_latent"),
        "tested_tokens.parquet",
        r"'top_latent' \(INTEGER\) is missing",
    ),
    "column of another kind": (
        lambda folder: _replace_column(folder, "k_sparse", "f1", "high"),
        "k_sparse.parquet",
        "'f1' is VARCHAR, but must be DOUBLE",
    ),
    "unknown table": (
        lambda folder: _edit_manifest(folder, lambda m: m["tables"].update(secrets={"rows": 0, "columns": {}})),
        "manifest.json",
        "'secrets' is not a table",
    ),
    "required table missing": (
        lambda folder: _edit_manifest(folder, lambda m: m["tables"].pop("measurements")),
        "manifest.json",
        "'measurements' is missing",
    ),
    "SAE occurs twice": (
        lambda folder: _edit_sae(folder, sae="l0-w1000-l0-10-s1", repeat_of=None),
        "saes.parquet",
        "sae l0-w1000-l0-10-s1 occurs twice; give each SAE its own",
    ),
    "unknown format": (
        # A later format has unknown fields; the message must be about the version.
        lambda folder: _edit_manifest(folder, lambda m: m.update(format_version=3, invention=True)),
        "manifest.json",
        "format_version 3 is unknown",
    ),
    "unusable name": (
        lambda folder: _edit_manifest(folder, lambda m: m.update(name="../tiny")),
        "manifest.json",
        "name",
    ),
}
_FIX = re.compile(r"restore|import (the suite )?again|fix|remove it from|every suite needs it|a suite is a folder with")


@pytest.mark.parametrize("case", DAMAGED)
def test_invalid_suite_is_reported_in_one_line_with_a_fix(own: Path, case: str) -> None:
    spoil, file, words = DAMAGED[case]
    spoil(own)
    with pytest.raises(SuiteError) as failure:
        Store(own)
    message = str(failure.value)
    assert message.startswith(str(own / file)), message
    assert re.search(words, message), message
    assert _FIX.search(message), message
    assert len(message.splitlines()) == 1


def test_invalid_folders_are_reported(own: Path, tmp_path: Path) -> None:
    for paths, words in (
        ((), "no suite given; name the folder"),
        ((tmp_path / "nowhere",), f"^{tmp_path}/nowhere: no such folder; give the folder of a suite"),
        ((own / "manifest.json",), f"^{own}/manifest.json: no such folder; give the folder"),
        ((own, own), f"^{own}: a suite called 'tiny' is open already; give one of them another name"),
    ):
        with pytest.raises(SuiteError, match=words):
            Store(*paths)


def test_folder_name_that_looks_like_a_column_is_refused(tmp_path: Path) -> None:
    """DuckDB takes the outermost ``layer=`` of a path for the column, so cosines would be missing without an error."""
    folder = tmp_path / "layer=7" / "former"
    shutil.copytree(Path(__file__).parent / "layout_1" / "tiny", folder)
    with pytest.raises(SuiteError, match=f"^{folder}: .*'layer=7'.*; move the suite"):
        Store(folder)
    # In the second layout, nothing is read from the path.
    with Store(write_tiny_suite(tmp_path / "layer=7" / "tiny", saes=SAES[:1])) as store:
        assert len(store.fetch("cosines", **keys(**SAE, letter="s"))) == 1024
        assert store.fetch("concept_counts", **keys(**SAE, **DECIDING), family=FAMILY)["measured"].sum() == len(LETTERS)


def test_optional_tables_can_be_omitted(tmp_path: Path) -> None:
    required = {name for name, table in TABLES.items() if table.required}
    assert required == {"saes", "concepts", "measurements"}
    with Store(write_tiny_suite(tmp_path / "bare", saes=SAES, without=set(TABLES) - required)) as store:
        assert len(store.fetch("saes")) == NUM_SAES
        assert not store.fetch("saes")["cosines"].any()


def test_ids_of_saes_are_unique_readable_and_valid_in_urls() -> None:
    keys_of_saes = [(0, 1000, 10), (10, 100, 10), (0, 1000, -1), (0, 1000, -2), (0, 1000, 0), (1, 1000, -1)]
    ids = [sae_id(*key) for key in keys_of_saes]
    assert ids == ["l0-w1000-l0-10", "l10-w100-l0-10", "l0-w1000", "l0-w1000-2", "l0-w1000-l0-0", "l1-w1000"]
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9._-]*", each) for each in ids)
