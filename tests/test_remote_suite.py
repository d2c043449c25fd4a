"""A suite at a URL: read by ranges through DuckDB's httpfs, and locked like a local one."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import duckdb
import pandas as pd
import pytest

from queries import QueryError, Store, SuiteError, catalog
from queries import location as location_module
from tests.questions import ask, keys, question_values
from tests.range_server import range_server
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from pathlib import Path

SAE = (0, 1000, 10)


def _httpfs() -> bool:
    try:
        with duckdb.connect() as connection:
            location_module.allow_access(connection, ["https://"])
    except SuiteError:
        return False
    return True


pytestmark = pytest.mark.skipif(not _httpfs(), reason=f"no httpfs for DuckDB {duckdb.__version__} is installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("remote")
    write_tiny_suite(root / "tiny", saes=[SAE, (3, 4000, 10)])
    (root / "tiny-too").mkdir()
    (root / "tiny-too" / "secret.parquet").write_bytes((root / "tiny" / "measurements.parquet").read_bytes())
    return root


def test_queries_of_a_remote_suite_equal_local_ones(folder: Path) -> None:
    with range_server(folder) as (url, requests), Store(folder / "tiny") as here, Store(f"{url}/tiny/") as there:
        opened = len(requests)
        values = question_values(here, sae=SAE)
        for name in catalog():
            pd.testing.assert_frame_equal(ask(there, name, values), ask(here, name, values), obj=name)
        assert len(requests) > opened
        # One letter of one SAE is a part of its file, and only this part is downloaded.
        size = (folder / "tiny/cosines/l3-w4000-l0-10.parquet").stat().st_size
        before = len(requests)
        there.fetch("cosines", **keys(suite="tiny", layer=3, width=4000, l0=10, letter="s"))
        fetched = sum(int(sent) for path, sent in requests[before:] if "l3-w4000" in path)
        assert 0 < fetched < size


def test_other_addresses_and_files_cannot_be_read(folder: Path) -> None:
    with range_server(folder) as (url, _), Store(f"{url}/tiny") as store:
        connection = store._connection.cursor()
        # Each query has its own cursor with the same restrictions.
        held = "SELECT current_setting('http_timeout'), current_setting('http_retries')"
        assert connection.execute(held).fetchone() == (location_module.HTTP_SECONDS, 1)
        for path in (
            f"{url}/tiny-too/secret.parquet",
            str(folder / "tiny" / "measurements.parquet"),
            "s3://bucket/x.parquet",
        ):
            with pytest.raises(duckdb.PermissionException):
                connection.execute("FROM read_parquet($path)", {"path": path})
        for statement in ("SET enable_external_access = true", "INSTALL json", f"COPY saes TO '{folder}/out.csv'"):
            with pytest.raises(duckdb.Error):
                connection.execute(statement)
        assert connection.execute(
            "SELECT count(*) FROM read_parquet($path)", {"path": f"{url}/tiny/measurements.parquet"}
        )


@pytest.mark.timeout(60)
def test_unresponsive_server_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(location_module, "HTTP_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/tiny"
        with pytest.raises(SuiteError, match=rf"^{url}/manifest\.json: cannot be read \(.*Timeout"):
            Store(url)


def test_missing_files_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with range_server(folder) as (url, _):
        with pytest.raises(SuiteError, match=f"^{url}/none/manifest.json: cannot be read"):
            Store(f"{url}/none")
        with Store(f"{url}/tiny") as store:
            (folder / "tiny" / "contexts.parquet").rename(folder / "away")
            with pytest.raises(QueryError, match="latent_contexts"):
                ask(store, "latent_contexts", question_values(store, sae=SAE))
            (folder / "away").rename(folder / "tiny" / "contexts.parquet")
        monkeypatch.setattr(location_module, "_extensions", lambda _: [])
        monkeypatch.setenv("HOME", str(folder))
        with pytest.raises(SuiteError, match=f"^{url}/tiny: needs DuckDB's httpfs extension; install it with"):
            Store(f"{url}/tiny")
