"""``absorption-explorer figures``: a set of figures from one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.terminal import fail


def figures(
    paper: Annotated[
        Path, typer.Argument(help="TOML file that describes the figures; docs/notebook.md has an example.")
    ],
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
) -> None:
    """Write all figures of a paper, or none if one fails."""
    from explorer.figures import FigureError
    from explorer.paper import write_paper

    try:
        written = write_paper(paper, overwrite=force)
    except FigureError as error:
        fail(str(error), error)
    for path in written:
        typer.echo(f"{path}: {path.stat().st_size / 1e3:,.0f} kB")
