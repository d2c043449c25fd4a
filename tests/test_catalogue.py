"""The catalogue: its entries, opening sources by name, and errors in a catalogue."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

from explorer.cli import app
from ingest import cache, opening
from ingest.catalogue import read_catalogue
from ingest.importer import READERS
from tests.remote_results import remote_results
from tests.saebench_results import FULL, results_file, write_results

if TYPE_CHECKING:
    from pathlib import Path

ENTRY = """
[[entries]]
name = "mine"
title = "Mine"
holds = "All"
format = "saebench"
address = "https://example.org/mine.zip"
how = "never"
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_own_catalogue_is_shown() -> None:
    shown = run("catalogue")
    assert shown.exit_code == 0
    names = {entry.name: entry for entry in read_catalogue().entries}
    assert set(names) >= {"saebench", "paper-explorer", "absorption-atlas"}
    assert {entry.format for entry in names.values()} <= {"suite", *READERS}
    assert f"  address  {names['saebench'].address}\n" in shown.stdout
    assert "  opened   never, " in shown.stdout
    listed = json.loads(run("catalogue", "--json").stdout)
    assert [each["name"] for each in listed] == list(names)


def test_entry_is_opened_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "cache"))
    write_results(tmp_path / "made/repository/results")
    (tmp_path / "web").mkdir()
    shutil.make_archive(str(tmp_path / "web/main"), "zip", tmp_path / "made", "repository")
    shutil.copytree(tmp_path / "made/repository", tmp_path / "web/hub")
    with remote_results(tmp_path / "web") as remote:
        monkeypatch.setenv("HF_ENDPOINT", remote.url)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        catalogue = tmp_path / "catalogue.toml"
        text = ENTRY.replace("https://example.org/mine.zip", f"{remote.url}/main.zip") + 'folder = "results"\n'
        hub = ENTRY.replace("https://example.org/mine.zip", "hf://datasets/me/mine").replace('"mine"', '"hub"')
        file = results_file(FULL)
        catalogue.write_text(f'version = 1\n{text}{hub}files = ["results/{file.rpartition("/")[0]}/*"]\n')
        monkeypatch.setattr(opening, "read_catalogue", lambda: read_catalogue(catalogue))
        opened = run("info", "mine", "--json")
        assert (json.loads(opened.stdout)["suite"], json.loads(opened.stdout)["n_saes"]) == ("mine", 2)
        assert f"mine ({remote.url}/main.zip): imported; " in opened.stderr
        assert json.loads(run("info", "hub", "--json").stdout)["n_saes"] == 2
        fetched = {path for path, _, _ in remote.requests if path.startswith("/hub/")}
        assert fetched
        assert all("/absorption/" in path for path in fetched)
        catalogue.write_text(f"version = 1\n{text.replace('results', 'elsewhere')}")
        refused = run("info", "mine")
        assert refused.exit_code == 2
        assert refused.stderr.endswith("holds no folder 'elsewhere'\n")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"version = 1\n{ENTRY}colour = 1", "entries.0.colour: Extra inputs are not permitted; fix the entry"),
        (f"version = 1\ncolour = 1\n{ENTRY}", "colour: Extra inputs are not permitted; fix the entry"),
        (f"version = 2\n{ENTRY}", "has version 2, this program knows 1; install a newer one"),
        (f"version = 1\n{ENTRY}{ENTRY}", "the name 'mine' occurs twice; give each entry its own"),
        (f"version = 1\n{ENTRY.replace('https', 'ftp')}", "entries.0.address: String should match pattern"),
        (f"version = 1\n{ENTRY}folder = '../up'", "entries.0.folder: String should match pattern"),
        (f"version = 1\n{ENTRY.replace('never', 'works')}", "has no date in opened, so how begins with never"),
        (f"version = 1\n{ENTRY.replace('Mine', 'Mi')[:-9]}", "cannot be read ("),
        ("version = 1\n[[entries]]\nname = 'a'", "entries.0.title: Field required; fix the entry"),
        ("", "version: Field required; fix the entry"),
    ],
)
def test_catalogue_errors_are_one_line(text: str, why: str, tmp_path: Path) -> None:
    file = tmp_path / "catalogue.toml"
    file.write_text(text)
    refused = run("catalogue", file)
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"absorption-explorer: {file}: ")
    assert why in refused.stderr
    assert refused.stderr.count("\n") == 1
