"""The installation: its version, a check for packages of other projects, and the files of images."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from typing import TYPE_CHECKING

import pytest
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

import absorption_explorer
from tests.browser import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def version_of(folder: Path) -> str:
    """Return the version that the build backend determines for a folder."""
    return ProjectMetadata(str(folder), PluginManager()).version


def test_version_is_the_git_tag_or_unknown(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert version_of(tmp_path) == "0.0+unknown"
    git = ["git", "-c", "user.name=name", "-c", "user.email=name@example.org", "-C", str(tmp_path)]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "A release"], ["tag", "v1.2.3"]):
        subprocess.run([*git, *arguments], check=True)
    assert version_of(tmp_path) == "1.2.3"


@pytest.mark.parametrize("name", absorption_explorer.PACKAGES)
def test_foreign_package_is_named_in_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert absorption_explorer.foreign_package() is None
    foreign = tmp_path / name / "__init__.py"
    foreign.parent.mkdir()
    foreign.write_text('"""Of another project."""\n')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SystemExit, match=rf"^absorption-explorer: {foreign} is another project's; .*\n?$"):
        absorption_explorer.main()


def test_image_is_built_from_the_files_of_a_wheel() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project, wheel = settings["project"], settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    made_of = {*wheel["only-include"], project["readme"], "pyproject.toml"}
    made_of |= {file for file in project["license-files"] if file.partition("/")[0] not in made_of}
    lines = [line.split() for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("COPY")]
    copied = {source for _, *sources, _ in lines for source in sources if "--from=build" not in sources}
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == sent == made_of | {"constraints.txt"}
