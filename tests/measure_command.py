"""Runs `absorption-explorer measure` in this process."""

from __future__ import annotations

from unittest.mock import patch

from typer.testing import CliRunner, Result

from explorer.cli import app
from measure import cost


def run(*arguments: object) -> Result:
    """Run the command; it times its samples once instead of three times, because no test depends on these seconds."""
    with patch.object(cost, "_OFTEN", 1):
        return CliRunner().invoke(app, ["measure", *map(str, arguments)])
