"""The commands import, check and info, as scripts use them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner, Result

from explorer import cli
from explorer.cli import app
from explorer.figures import FIGURES
from explorer.store import SWEEPS
from queries import check_suite
from tests.published_results import SAES, write_published_results
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from pathlib import Path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def read(*arguments: object) -> Any:
    return json.loads(run(*arguments, "--json").stdout)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_published_results(tmp_path_factory.mktemp("results") / "published")


def test_info_of_the_embedded_suite() -> None:
    assert read("info", SWEEPS) == {
        "suite": "smollm2-135m",
        "model": "SmolLM2-135M-Instruct",
        "metric": "ig_ablation",
        "n_saes": 22,  # four of them further seeds with counts only
        "n_saes_tested": 18,
        "n_letters": 26,
        "n_concepts": 26,
        "n_latents_max": 8192,
        "n_tested_tokens": 10357,
        "n_absorbed_tokens": 1488 + 749,
        "n_absorbed_published": 749,
        "n_uncounted": 0,
        "n_absorbing_latents": 844,
        "families": ["first-letter"],
        "architectures": ["BatchTopK"],
        "metrics": ["ig_ablation"],
        "has": {"cosines": True, "examples": True, "activations": True, "dashboards": False},
    }
    shown = run("info", SWEEPS)
    assert shown.exit_code == 0
    assert "10,357" in shown.stdout
    assert "cosines, examples, activations" in shown.stdout


def test_import_reports_what_it_did(results: Path, tmp_path: Path) -> None:
    target = tmp_path / "suite"
    report = read("import", results, "--to", target)
    assert report["read"] == sum(1 for path in results.rglob("*") if path.is_file())
    assert (report["skipped"], report["rejected"], report["notes"]) == (0, [], [])
    again = run("import", results, "--to", target)
    assert again.exit_code == 2
    assert (
        again.stderr
        == f"absorption-explorer: {target}: exists already; give another folder, or --force to replace it\n"
    )
    (results / "latent_logits.parquet").write_bytes(b"PAR1")
    shown = run("import", results, "--to", target, "--force", "--format", "published")
    assert shown.exit_code == 0
    assert f"{target}: {len(SAES)} SAEs" in shown.stdout
    assert (
        "Rejected (everything else was imported):\n  latent_logits.parquet: not a readable parquet file" in shown.stdout
    )
    wrong = run("import", results, "--to", target, "--force", "--format", "saebench")
    assert wrong.exit_code == 2
    assert wrong.stderr.count("\n") == 1
    assert read("info", target)["n_saes"] == len(SAES)


def test_killed_import_is_resumed(results: Path, tmp_path: Path) -> None:
    target = tmp_path / "suite"
    command = [sys.executable, "-m", "explorer.cli", "import", str(results), "--to", str(target)]
    done = tmp_path / ".suite.partial/.done"
    for _ in range(20):  # until one is killed during its work
        with subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL) as process:
            is_begun = False
            while process.poll() is None and not is_begun:
                with suppress(FileNotFoundError):  # not started, or finished already
                    is_begun = any(file.suffix == ".json" for file in done.iterdir())
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        if not target.exists():
            break
        shutil.rmtree(target)
    assert done.exists()
    assert subprocess.run([*command, "--force"], check=False, capture_output=True).returncode == 0
    assert check_suite(target) == []
    assert list(tmp_path.iterdir()) == [target]


def test_check_lists_every_problem(tmp_path: Path) -> None:
    suite = write_tiny_suite(tmp_path / "tiny")
    assert read("check", suite) == {"ok": True, "problems": []}
    assert run("check", suite).stdout == f"{suite}: no problems\n"
    (suite / "contexts.parquet").write_bytes(b"PAR1")
    (suite / "latents.parquet").unlink()
    found = run("check", suite, "--json")
    assert found.exit_code == 1
    problems = json.loads(found.stdout)["problems"]
    assert [(problem["file"], problem["table"], problem["column"], problem["row"]) for problem in problems] == [
        ("latents.parquet", "latents", None, None),
        ("contexts.parquet", "contexts", None, None),
    ]
    shown = run("check", suite)
    assert shown.exit_code == 1
    assert "latents.parquet: missing" in shown.stdout
    assert read("check", tmp_path / "none")["ok"] is False


@pytest.mark.parametrize("command", [["info"], ["serve"]])
def test_missing_suite_is_reported_in_one_line(command: list[str], tmp_path: Path) -> None:
    result = run(*command, tmp_path / "none")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"absorption-explorer: {tmp_path / 'none'}: no such folder")
    assert result.stderr.count("\n") == 1


def test_help_names_every_figure() -> None:
    assert tuple(FIGURES) == cli._FIGURES
