"""The audit of the locked packages, with a stub in place of pip-audit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser import ROOT

if TYPE_CHECKING:
    from pathlib import Path

_CLEAN = {"name": "tornado", "version": "6.6.1", "vulns": []}
_BAD = {"name": "bokeh", "version": "3.9.2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3.9.3"]}]}
_UNKNOWN = {"name": "param", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "excused", "code", "message"),
    [
        ([_CLEAN], "", 0, "1 packages looked up, 0 vulnerabilities known."),
        ([_CLEAN, _BAD], "", 1, "PYSEC-1: bokeh 3.9.2, fixed in ['3.9.3']"),
        ([_CLEAN, _BAD], "PYSEC-1 only of servers that listen to the moon", 0, "(excused: only of servers"),
        ([_CLEAN, _UNKNOWN], "", 0, "Not audited: 1 packages are not known"),
        ([_CLEAN], "PYSEC-2 gone", 0, "PYSEC-2 is excused, but not known"),
        (None, "", 0, "Not audited: ConnectionError: no network."),
    ],
)
def test_audit_fails_only_for_known_vulnerabilities(
    tmp_path: Path, packages: list[dict[str, Any]] | None, excused: str, code: int, message: str
) -> None:
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    (tmp_path / ".ci" / "audit-exceptions").write_text(f"# why\n{excused}\n", "utf-8")
    stub = tmp_path / "pip-audit"
    found = json.dumps({"dependencies": packages})
    act = 'echo "ConnectionError: no network" >&2' if packages is None else f'echo {found!r} > "$8"'
    stub.write_text(f"#!/bin/sh\n{act}\nexit 1\n", "utf-8")
    stub.chmod(0o755)
    done = subprocess.run(
        [sys.executable, tmp_path / ".ci" / "audit"],
        env=os.environ | {"PIP_AUDIT": str(stub)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert message in done.stdout
