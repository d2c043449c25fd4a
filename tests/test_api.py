"""``/api``, ``absorption-explorer query``, `ask` and `tables`: the queries for scripts."""

from __future__ import annotations

import csv
import http.client
import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

import explorer
from explorer import api, named_questions
from explorer.cli import app
from explorer.named_questions import QuestionError, ask, needs, tables
from explorer.store import shared_store
from queries import QueryError, catalog
from queries.conform import arrow_type
from tests import visitors
from tests.in_process import SECONDS, empty_page, serving
from tests.openapi_structure import check_openapi, resolved
from tests.questions import keys, question_values
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from queries import Store
    from tests.visitors import Answer

pytestmark = pytest.mark.security

PLACE = keys(suite="tiny", layer=3, width=4000, l0=40, letter="s")


@pytest.fixture(scope="module")
def suites(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A complete suite, and another one."""
    folder = tmp_path_factory.mktemp("suites")
    full = write_tiny_suite(folder / "tiny", neuronpedia=True, dashboards=True)
    return full, write_tiny_suite(folder / "other", name="other", saes=[(0, 1000, 10)])


@pytest.fixture(scope="module")
def store(suites: tuple[Path, Path]) -> Store:
    """The server's store, so that both share its cache."""
    return shared_store(*map(str, suites))


@pytest.fixture(scope="module")
def url(suites: tuple[Path, Path]) -> Iterator[str]:
    with serving(empty_page, extra_patterns=api.routes([str(suite) for suite in suites])) as served:
        yield served.url


def get(url: str, path: str, method: str = "GET", /, **values: Any) -> Answer:
    query = urlencode({name: value for name, value in values.items() if value is not None}, doseq=True)
    return visitors.ask(url, f"/api/{path}?{query}", method)


def refused(answer: Answer) -> tuple[int, str | None, str]:
    """Return status, parameter and message of an error: one line of JSON without internals of the program."""
    assert answer.headers.get_content_type() == "application/json"
    assert "script-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.body.count(b"\n") == 1
    assert not any(part in answer.body for part in (b"Traceback", b"/tmp", b".py"))
    body = json.loads(answer.body)
    assert body.keys() == {"error", "parameter"}
    return answer.status, body["parameter"], body["error"]


# --- Answers ---------------------------------------------------------------------------------------------------------


def test_every_query_returns_the_stores_rows_in_every_format(url: str, store: Store) -> None:
    concepts = store.fetch("concepts").query("suite == 'tiny'")["concept"].tolist()
    values = question_values(store, sae=PLACE["sae"], compared_concepts=concepts)
    description = json.loads(get(url, "openapi.json").body)
    for name, query in catalog().items():
        taken = {key: values[key] for key in query.params if values[key] is not None}
        expected = ask(store, name, **taken)
        pd.testing.assert_frame_equal(
            expected, store.fetch(name, **{key: values[key] for key in query.params}).astype(expected.dtypes)
        )
        body = json.loads(get(url, f"{name}.json", **taken).body)
        operation = description["paths"][f"/api/{name}.{{format}}"]["get"]
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        Draft202012Validator(schema).validate(body)
        assert body["total"] == len(body["rows"]) == len(expected)
        assert body["parameters"].keys() == query.params.keys()
        assert [list(row) for row in body["rows"]] == [list(query.columns)] * len(expected)
        as_text = get(url, f"{name}.csv", **taken)
        assert as_text.headers["X-Total-Count"] == str(len(expected))
        rows = list(csv.DictReader(io.StringIO(as_text.body.decode())))
        assert len(rows) == len(expected)
        table = pq.read_table(io.BytesIO(get(url, f"{name}.parquet", **taken).body))
        assert {field.name: field.type for field in table.schema} == {
            column: arrow_type(kind) for column, kind in query.columns.items()
        }
        for column, kind in query.columns.items():
            if kind in ("VARCHAR", "INTEGER", "BIGINT", "BOOLEAN"):
                cells = [None if pd.isna(cell) else cell for cell in expected[column]]
                assert [row[column] for row in body["rows"]] == cells, (name, column)
                assert table[column].to_pylist() == cells, (name, column)
                assert [row[column] for row in rows] == ["" if cell is None else str(cell) for cell in cells], (
                    name,
                    column,
                )


def test_pages_of_an_answer_contain_all_rows(url: str, store: Store) -> None:
    whole = store.fetch("cosines", **PLACE)["latent"].tolist()
    path, found = f"cosines.json?{urlencode({**PLACE, 'limit': 300})}", []
    while path:
        answer = visitors.ask(url, f"/api/{path}")
        body = json.loads(answer.body)
        assert answer.headers["X-Total-Count"] == str(body["total"]) == str(len(whole))
        assert len(body["rows"]) <= 300
        found += [row["latent"] for row in body["rows"]]
        link = answer.headers["Link"]
        path = link.removeprefix("<").removesuffix('>; rel="next"') if link else ""
        assert body["next"] == (path.partition("?")[2] or None)
    assert found == whole
    assert json.loads(get(url, "cosines.json", **PLACE, offset=10**6).body)["rows"] == []


def test_sae_and_letter_are_given_as_in_links_and_thresholds_default_to_the_suites(url: str) -> None:
    named = json.loads(get(url, "absorbing_latents.json", suite="tiny", layer=3, width=4000, l0=40, letter="S").body)
    assert named["parameters"] == {
        **PLACE,
        "metric": "ig_ablation",
        "tau": 0.03,
        "cosine_threshold": 0.025,
        "effect_margin": 1.0,
    }
    assert named["rows"]
    alone = json.loads(get(url, "cosines.json", suite="other", letter="s").body)  # of a suite with a single SAE
    assert alone["parameters"]["sae"] == "l0-w1000-l0-10"


def test_head_requests_and_prefix(url: str) -> None:
    answer = get(url, "cosines.csv", "HEAD", **PLACE)
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["X-Total-Count"]) > 0


# --- Refusals --------------------------------------------------------------------------------------------------------

_REFUSED: list[tuple[str, dict[str, Any], int, str | None, str]] = [
    ("nothing.json", {}, 404, None, "there is no query 'nothing'; choose one of absorbed_tokens"),
    ("../etc/passwd", {}, 404, None, "ends with none of .json, .csv, .parquet"),
    ("", {}, 404, None, "ends with none of"),
    ("cosines", PLACE, 404, None, "ends with none of"),
    ("cosines.xlsx", PLACE, 404, None, "ends with none of"),
    ("cosines.json", {}, 400, "suite", "suite is missing; give one, as in tiny, other"),
    ("cosines.json", {"suite": "tiny"}, 400, "sae", "sae is missing; give one, as in l0-w1000-l0-10"),
    ("cosines.json", PLACE | {"concept": None}, 400, "concept", "or letter in its place"),
    ("cosines.json", PLACE | {"suite": ["tiny", "tiny"]}, 400, "suite", "suite is given twice; give it once"),
    ("cosines.json", PLACE | {"sae": "l1"}, 400, "sae", "sae = 'l1' does not exist here (there is l0-w1000-l0-10"),
    ("cosines.json", PLACE | {"concept": "first-letter.%"}, 400, "concept", "does not exist here"),
    (
        "cosines.json",
        PLACE | {"latent": 1},
        400,
        "latent",
        "cosines does not take latent; it takes suite, sae, concept",
    ),
    ("cosines.json", PLACE | {"x" * 500: 1}, 400, "x" * 500, "cosines does not take 'xxxx"),
    ("cosines.json", PLACE | {"layer": 3}, 400, "layer", "layer says what sae already says"),
    ("cosines.json", {"suite": "tiny", "layer": 9}, 400, "layer", "layer = '9' does not exist here (there is 0, 3"),
    ("cosines.json", {"suite": "tiny", "layer": 3}, 400, "sae", "layer = 3 fits"),
    ("cosines.json", {"suite": "tiny", "l0": "nan"}, 400, "l0", "l0 = 'nan' is not a number"),
    ("cosines.json", PLACE | {"limit": 0}, 400, "limit", "out of range (1 to 100000)"),
    ("cosines.json", PLACE | {"limit": "all"}, 400, "limit", "is not an integer"),
    ("cosines.json", PLACE | {"offset": "9" * 5000}, 400, "offset", "is not an integer"),
    ("cosines.json", PLACE | {"offset": -1}, 400, "offset", "out of range"),
    ("split_latents.json", PLACE | {"tau": "inf"}, 400, "tau", "tau = 'inf' is not a number"),
    ("split_latents.json", PLACE | {"tau": 2}, 400, "tau", "tau = '2' is out of range (0 to 1)"),
    ("absorbing_latents.json", PLACE | {"metric": "best"}, 400, "metric", "there is ig_ablation"),
    ("latent_facts.json", {"suite": "tiny", "sae": PLACE["sae"]}, 400, "latent", "latent is missing"),
    ("latent_facts.json", {"suite": "tiny", "sae": PLACE["sae"], "latent": 4096}, 400, "latent", "(0 to 4095)"),
    ("latent_facts.json", {"suite": "tiny", "sae": PLACE["sae"], "latent": 2**40}, 400, "latent", "out of range"),
    (
        "evidence.json",
        {"suite": "tiny", "evidence_verdict": "maybe"},
        400,
        "evidence_verdict",
        "there is all, absorbed",
    ),
    ("evidence.json", {"suite": "tiny", "evidence_descending": "yes"}, 400, "evidence_descending", "True, False"),
    ("evidence.json", {"suite": "tiny", "facet_saes": [PLACE["sae"], "l1"]}, 400, "facet_saes", "'l1' does not exist"),
    ("random_tokens.json", {"suite": "tiny", "letter": "s", "seed": 2**31}, 400, "seed", "out of range"),
    (
        "compared_cosines.json",
        {"suite": "tiny", "letter": "s"},
        400,
        "compared",
        "compared is missing; give one, as in",
    ),
    (
        "threshold_sensitivity.json",
        {"suite": "tiny", "sae": PLACE["sae"], "sensitivity_low": 0.2, "sensitivity_high": 0.1},
        400,
        "sensitivity_low",
        "is not below",
    ),
    ("saes.json", {"suite": "tiny"}, 400, "suite", "saes does not take suite; it takes no parameters"),
    ("saes.json", {"": "x"}, 400, "", "saes does not take ''; it takes no parameters"),
    ("saes.json", {f"k{number}": 1 for number in range(101)}, 400, None, "Address with more than 100 values"),
    ("saes.json", {"k": "x" * 9000}, 414, None, "Address longer than 8192 characters"),
]


@pytest.mark.parametrize("case", _REFUSED)
def test_invalid_queries_are_refused_in_one_line(
    url: str, case: tuple[str, dict[str, Any], int, str | None, str]
) -> None:
    path, values, status, parameter, why = case
    error = refused(get(url, path, **values))
    assert error[:2] == (status, parameter)
    assert why in error[2]


def test_other_methods_and_undecodable_addresses_are_refused_in_one_line(url: str) -> None:
    assert refused(get(url, "saes.json", "OPTIONS"))[0] == 405
    assert refused(visitors.ask(url, "/api/saes.json", "POST", Content_Length="0"))[0] == 405
    assert refused(visitors.ask(url, "/api/search.json?search=%ff"))[::2] == (400, "Address that is not UTF-8")
    assert refused(visitors.ask(url, "/api/saes%00.json"))[0] == 400


def test_texts_are_matched_literally(url: str) -> None:
    for text in ("' OR 1=1 --", "\x00", "%", "$suite", "🦁", "\u202e", "; DROP TABLE saes"):
        body = json.loads(get(url, "token_latents.json", **PLACE, token=text).body)
        assert (body["parameters"]["token"], body["rows"]) == (text, [])


# --- Limits ----------------------------------------------------------------------------------------------------------


class Held:
    """Queries that wait until they are released."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.over = threading.Semaphore(0), threading.Event()
        monkeypatch.setattr(api, "fetch", self._fetch)

    def _fetch(self, store: Store, name: str, values: dict[str, Any]) -> pd.DataFrame:
        self.begun.release()
        assert self.over.wait(SECONDS)
        return named_questions.fetch(store, name, values)


def test_too_many_simultaneous_queries_are_refused_and_the_server_continues(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    monkeypatch.setattr(api, "PER_VISITOR", 4)  # the number of threads
    with ThreadPoolExecutor(4) as visitor:
        waiting = [visitor.submit(get, url, "saes.json") for _ in range(4)]
        for _ in waiting:
            assert held.begun.acquire(timeout=SECONDS)
        answer = get(url, "saes.json")
        assert refused(answer)[0] == 429
        assert answer.headers["Retry-After"] == "1"
        monkeypatch.setattr(api, "PER_VISITOR", 1000)
        monkeypatch.setattr(api, "AT_ONCE", 4)
        answer = get(url, "saes.json")
        assert (refused(answer)[0], answer.headers["Retry-After"]) == (503, "1")
        assert visitors.ask(url, "/nowhere").status == 404  # the event loop is free
        held.over.set()
        assert [each.result().status for each in waiting] == [200] * len(waiting)
    assert not api._OPEN_QUERIES


def test_failed_queries_are_reported_and_abandoned_ones_cancelled(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise QueryError("The question 'saes' took longer than 30 s and was cancelled.")

    monkeypatch.setattr(api, "fetch", fail)
    assert refused(get(url, "saes.json"))[::2] == (503, "The question 'saes' took longer than 30 s and was cancelled.")
    monkeypatch.setattr(api, "fetch", lambda *_: 1 / 0)
    assert refused(get(url, "saes.json")) == (500, None, api._FAILED)
    held, token = Held(monkeypatch), _Token()
    monkeypatch.setattr(api, "CancelToken", lambda: token)
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    connection.request("GET", "/api/saes.json")
    assert held.begun.acquire(timeout=SECONDS)
    connection.close()
    assert token.ended.wait(SECONDS)
    held.over.set()


class _Token:
    """Records when it is cancelled."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "is_cancelled":
            self.ended.set()

    is_cancelled = False


def test_every_request_of_a_flood_is_answered_or_refused(url: str) -> None:
    paths = [
        f"/api/cosines.csv?{urlencode(PLACE)}",
        "/api/nothing.json",
        "/api/cosines.json",
        f"/api/absorbing_latents.json?{urlencode(PLACE)}",
    ]
    with ThreadPoolExecutor(32) as crowd:
        found = list(crowd.map(partial(visitors.ask, url), paths * 50))
    assert {answer.status for answer in found} <= {200, 400, 404, 429}
    for answer in found:
        if answer.status != 200:
            refused(answer)
    assert not api._OPEN_QUERIES


# --- OpenAPI ---------------------------------------------------------------------------------------------------------


def test_description_is_openapi_and_lists_the_parameters_of_every_query(url: str, store: Store) -> None:
    answer = get(url, "openapi.json")
    assert answer.headers.get_content_type() == "application/json"
    document = json.loads(answer.body)
    check_openapi(document)
    assert list(document["paths"]) == [f"/api/{name}.{{format}}" for name in catalog()]
    for name, query in catalog().items():
        operation = document["paths"][f"/api/{name}.{{format}}"]["get"]
        listed = {each["name"]: each for each in (resolved(document, part) for part in operation["parameters"])}
        assert query.doc == operation["description"]
        assert {*query.params, "format", "limit", "offset"} <= listed.keys()
        required = {key for key, each in listed.items() if each.get("required")} - {"format"}
        # Parameters that are not required because attributes may replace them.
        optional = {key for key in ("sae", "concept") if key in query.params and {"layer", "letter"} & listed.keys()}
        assert required <= set(needs(store, name)) <= required | optional
        if needs(store, name):
            assert refused(get(url, f"{name}.json"))[1] == needs(store, name)[0]


# --- Python and the command ------------------------------------------------------------------------------------------


def test_tables_lists_the_queries_and_ask_runs_them(store: Store) -> None:
    listed = explorer.tables(store)
    assert list(listed.index) == list(catalog())
    assert listed.loc["cosines", "needs"] == "suite, sae, concept"
    assert listed.loc["cosines", "rows"] == catalog()["cosines"].doc
    assert "tau" in listed.loc["split_latents", "takes"]
    asked = explorer.ask(store, "cosines", suite="tiny", layer=3, width=4000, l0=40, letter="s")
    assert len(asked) == 4096
    with pytest.raises(QuestionError, match="concept is missing") as refusal:
        explorer.ask(store, "cosines", suite="tiny", sae=PLACE["sae"])
    assert refusal.value.parameter == "concept"
    chosen = {"suite": "tiny", "sae": PLACE["sae"], "letter": "s"}
    for name, given, why in (
        ("cosines", {"letter": None, "concept": ["first-letter.s"]}, "concept takes one value, a text or a number"),
        ("cosines", {"sae": np.array(["a", "b"])}, "sae takes one value"),
        ("latent_facts", {"letter": None, "latent": 1.5}, "latent = '1.5' is not an integer"),
        ("compared_cosines", {"sae": None, "compared": [["l1"]]}, "compared takes a list of texts"),
        ("search", {"letter": None, "search": None}, "search is missing"),
        (["cosines"], {}, "there is no query"),
    ):
        wanted = {key: value for key, value in chosen.items() if given.get(key, value) is not None} | {
            key: value for key, value in given.items() if key not in chosen or value is not None
        }
        with pytest.raises(QuestionError, match=why):
            explorer.ask(store, name, **wanted)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(  # None means omitted, not unknown
        explorer.ask(store, "split_latents", **chosen, tau=None), explorer.ask(store, "split_latents", **chosen)
    )
    with explorer.open_store(store.suites["other"].root) as other:
        assert tables(other).loc["cosines", "needs"] == "concept"
        pd.testing.assert_frame_equal(explorer.Explorer(other).tables, tables(other))


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["query", *map(str, arguments)])


def test_command_returns_what_the_server_returns(url: str, suites: tuple[Path, Path], tmp_path: Path) -> None:
    named = ("--layer", 3, "--width", 4000, "--l0=40", "--letter", "s")
    for form in ("csv", "json"):
        there = get(url, f"absorbing_latents.{form}", **PLACE)
        assert run("absorbing_latents", suites[0], *named, "--format", form).stdout_bytes == there.body
    file = tmp_path / "cosines.parquet"
    command = ("cosines", suites[0], *named, "--format", "parquet", "-o", file)
    assert run(*command).exit_code == 0
    assert pq.read_table(file).num_rows == 4096
    again = run(*command)
    assert again.exit_code == 2
    assert "exists already; give another name, or --force to replace it" in again.stderr
    compared = run(
        "compared_counts", suites[0], "--compared", "l0-w1000-l0-10", "--compared", PLACE["sae"], "--letter", "s"
    )
    assert compared.stdout.count("\n") == 3
    listed = run()
    assert all(f"{name} " in listed.stdout or f"{name}\n" in listed.stdout for name in catalog())


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("nothing", "{suite}"), "there is no query 'nothing'"),
        (("cosines", "{suite}", "--letter"), "--letter has no value"),
        (("cosines", "{suite}", "--letter", "s"), "sae is missing; give one"),
        (("cosines", "{suite}", "s"), "sae is missing"),
        (("cosines", "{suite}", "s", "t"), "'t' is not expected"),
        (("cosines", "{suite}/none", "--letter", "s"), "no such folder"),
        (("cosines", "{suite}", "--letter", "s", "--letter", "t"), "letter is given twice"),
        (("saes", "{suite}", "-o", "{suite}/none/file.csv"), "cannot be written"),
    ],
)
def test_command_reports_errors_in_one_line(suites: tuple[Path, Path], arguments: tuple[str, ...], why: str) -> None:
    result = run(*(argument.format(suite=suites[0]) for argument in arguments))
    assert result.exit_code == 2
    assert result.stderr.startswith("absorption-explorer: ")
    assert result.stderr.count("\n") == 1
    if why != "sae is missing":
        assert why in result.stderr
