"""The ``absorption-explorer`` command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import panel as pn
import typer

from explorer.app import session
from explorer.store import open_store
from queries import SuiteError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

_SUITES = typer.Argument(help="Folders of suites; the embedded one where none is given.", show_default=False)


@app.callback()
def _describe() -> None:
    """Look at feature splitting and feature absorption in sparse autoencoders."""


@app.command()
def serve(
    suites: Annotated[list[Path] | None, _SUITES] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the server.")] = 5006,
    num_procs: Annotated[int, typer.Option(min=1, help="Number of worker processes.")] = 1,
) -> None:
    """Serve the dashboard at http://localhost:PORT/dashboard."""
    paths = [str(suite.resolve()) for suite in suites or []]
    try:
        # Opened here only to be checked: the server's processes open their own.
        open_store(*paths).close()
    except SuiteError as error:
        _fail(str(error), error)
    try:
        pn.serve(
            # A function proper: Panel shows any other callable as a value.
            {"/dashboard": lambda: session(*paths)},
            port=port,
            num_procs=num_procs,
            title="Absorption Explorer",
            location=False,
            show=False,
        )
    except OSError as error:
        _fail(f"port {port} cannot be used ({error.strerror}); choose another with --port", error)


def _fail(line: str, cause: Exception) -> NoReturn:
    """End with one line on stderr."""
    typer.echo(f"absorption-explorer: {line}", err=True)
    raise typer.Exit(2) from cause


def main() -> None:
    """Run the command."""
    sys.exit(app())
