"""Terminal output of the command: lists, progress, and errors in one line."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from explorer import store
from explorer.format import printable
from queries import SuiteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from queries import Store


@contextmanager
def progress_bar(first: str) -> Iterator[Callable[[str, int, int], None]]:
    """Show a progress bar on stderr if that is a terminal."""
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(first, total=None)
        yield lambda what, done, total: progress.update(task, description=printable(what), completed=done, total=total)


def show_list(heading: str, lines: list[str]) -> None:
    """Print lines below a heading; nothing if there are no lines."""
    if heading and lines:
        typer.echo(heading)
    for line in lines:
        typer.echo(f"  {printable(line)}")


def print_stderr(line: str) -> None:
    """Print one line on stderr."""
    typer.echo(f"absorption-explorer: {printable(line)}", err=True)


def fail(line: str, cause: BaseException | None = None) -> NoReturn:
    """Exit with code 2 and one line on stderr."""
    print_stderr(line)
    raise typer.Exit(2) from cause


@contextmanager
def opening() -> Iterator[dict[str, Any]]:
    """Yield the reporting arguments of `suites_of`; an interruption exits the command with one line."""
    # An interrupted import keeps its intermediate results and can be continued.
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with progress_bar("Opening") as report_progress:
            yield {"progress": report_progress, "log": print_stderr}
    except KeyboardInterrupt as error:
        fail("interrupted; run the same command again to continue", error)
    finally:
        signal.signal(signal.SIGTERM, former)


def find_suites(*sources: str) -> list[str]:
    """Return the locations of the suites of sources, after importing if necessary."""
    try:
        with opening() as reporting:
            return [str(place) for place in store.suites_of(*sources, **reporting)]
    except SuiteError as error:
        fail(str(error), error)


def open_suite(source: str | None) -> Store:
    """Open one suite as `explorer.store.open_suite` does, with a progress bar if it is imported."""
    with opening() as reporting:
        return store.open_suite(source, **reporting)
