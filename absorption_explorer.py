"""The command ``absorption-explorer``, which first checks that Python would import this project's packages."""

import sys
from importlib.machinery import PathFinder
from pathlib import Path

#: The packages in the wheel. Other projects may have packages with these names (docs/development.md).
PACKAGES = ("explorer", "queries", "ingest", "measure")
#: A text in the docstring of each of them.
_MARK = "Absorption Explorer"


def foreign_package() -> str | None:
    """Return the file of the first package that Python would import from another project, or None."""
    for name in PACKAGES:
        found = PathFinder.find_spec(name)
        if found and found.origin and _MARK not in Path(found.origin).read_text("utf-8", "replace"):
            return found.origin
    return None


def main() -> None:
    """Run the command."""
    if foreign := foreign_package():
        sys.exit(
            f"absorption-explorer: {foreign} is another project's; install absorption-explorer into an environment of"
            " its own, as uvx, pipx and python -m venv make"
        )
    from explorer.cli import main as run  # noqa: PLC0415 - importing a foreign package would raise an error

    run()
