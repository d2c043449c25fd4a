"""Imports respect the layers in docs/architecture.md, and SQL is in queries/ and ingest/ only."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.published_results import write_published_results
from tests.tiny_suite import write_tiny_suite

ROOT = Path(__file__).parents[1]
ROOMS = ("queries", "ingest", "measure", "explorer")

#: Layers of packages from the bottom up: a package may import those of its own layer and of lower ones.
FLOORS = (
    ("queries",),
    ("explorer.model",),
    ("explorer.views", "explorer.latents"),
    ("explorer.pages", "explorer.snapshot"),
    ("explorer.app",),
    ("dashboard",),
)

#: Packages that use the state and the plots, and are not imported by them.
ABOVE_STATE = tuple(room for floor in FLOORS[1:] for room in floor)

#: Packages of the extra `measure`, which the server does not need.
MEASURING = ("torch", "tokenizers", "gguf", "safetensors", "transformers", "sae_lens", "distributed")

#: What a package must not import directly.
BANNED = {
    "queries": ("explorer", "ingest", "measure", "panel", "holoviews", "bokeh"),
    "ingest": ("explorer", "measure", "panel", "holoviews", "bokeh"),
    "measure": ("explorer", "duckdb", "panel", "holoviews", "bokeh"),
    "explorer": ("duckdb", "measure", *MEASURING),
    "dashboard": ("duckdb", "measure", *MEASURING),
    "explorer.state": ("panel", "holoviews", "bokeh", "explorer.plots", *ABOVE_STATE),
    "explorer.plots": ("panel", *ABOVE_STATE),
}


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@cache
def _modules() -> dict[str, Path]:
    """Return the project's modules by dotted name."""
    files = [file for room in ROOMS for file in (ROOT / room).rglob("*.py")]
    files += [ROOT / "dashboard.py"] if (ROOT / "dashboard.py").exists() else []
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


@cache
def _imports(module: str) -> frozenset[str]:
    """Return every module that `module` imports, at any depth of its code and for types alone too."""
    path = _modules()[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            # `from package import name` means the module of that name where there is one, else the package itself.
            names = {f"{base}.{alias.name}" for alias in node.names}
            found |= {name if name in _modules() else base for name in names}
    return frozenset(found)


@cache
def _reaches(module: str) -> frozenset[str]:
    """Return the project's modules that `module` imports, directly or indirectly."""
    seen: set[str] = set()
    ahead = [module]
    while ahead:
        new = {name for name in _imports(ahead.pop()) if name in _modules()} - seen
        seen |= new
        ahead += new
    return frozenset(seen)


def _floor(module: str) -> int | None:
    return next((n for n, rooms in enumerate(FLOORS) if any(_within(module, room) for room in rooms)), None)


@pytest.mark.parametrize("room", BANNED)
def test_packages_avoid_their_banned_imports(room: str) -> None:
    offences = [
        f"{module} imports {name}"
        for module in _modules()
        if _within(module, room)
        for name in _imports(module)
        if any(_within(name, ban) for ban in BANNED[room])
    ]
    assert not offences


def test_imports_respect_the_layers() -> None:
    offences = [
        f"{module} reaches {name}"
        for module in _modules()
        for name in _reaches(module)
        if (here := _floor(module)) is not None and (there := _floor(name)) is not None and there > here
    ]
    assert not offences


def test_server_loads_no_measuring_packages() -> None:
    script = "import sys, dashboard, explorer.app, explorer.cli, explorer.server, ingest; print(*sys.modules)"
    assert not _loaded_by(script) & {"measure", *MEASURING}


@pytest.mark.parametrize("command", ["--help", "check {suite}", "info {suite}", "import {results} --to {folder}/suite"])
def test_commands_without_plots_do_not_load_panel(command: str, tmp_path: Path) -> None:
    places = {"folder": tmp_path, "suite": tmp_path / "tiny", "results": tmp_path / "results"}
    if "{suite}" in command:
        write_tiny_suite(places["suite"])
    if "{results}" in command:
        write_published_results(places["results"])
    script = "import atexit, sys, explorer.cli; atexit.register(lambda: print(*sys.modules)); explorer.cli.main()"
    assert not _loaded_by(script, *command.format(**places).split()) & {"panel", "holoviews", "bokeh"}


def _loaded_by(script: str, *arguments: str) -> set[str]:
    """Return the packages that are loaded when a script ends, which prints them last."""
    command = [sys.executable, "-c", script, *arguments]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return {name.split(".")[0] for name in shown.stdout.splitlines()[-1].split()}


def test_sql_is_written_in_queries_only() -> None:
    select = re.compile(r"\bSELECT\b[^;]*\bFROM\b")
    offences = [
        name for name, path in _modules().items() if _within(name, "explorer") and select.search(path.read_text())
    ]
    assert not offences


def test_dashboard_is_short() -> None:
    dashboard = _modules().get("dashboard")
    assert dashboard is None or len(dashboard.read_text().splitlines()) <= 40
