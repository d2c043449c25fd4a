"""``absorption-explorer query``: runs a query of the catalogue and writes the result to a file or standard output."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.files import as_csv, as_json, as_parquet
from explorer.named_questions import QuestionError, alternatives_to, collect_values, fetch, needs, question, read
from explorer.terminal import fail, open_suite
from explorer.whole_file import whole_file
from queries import QueryError, SuiteError, catalog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queries import Store

#: Makes Typer pass the parameters of queries, which are not options of the command, as words.
SETTINGS = {"ignore_unknown_options": True}


#: The positional words, all optional.
_NAMED = ("name", "suite")


class Form(StrEnum):
    """The formats of results."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def query(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME] [SOURCE] [--PARAMETER VALUE]...",
            help="Name of the query, or nothing to list all; suite or results, as for info (default: the first embedded"
            " suite); parameters of the query.",
            show_default=False,
        ),
    ] = None,
    *,
    form: Annotated[Form, typer.Option("--format", help="Format of the result.")] = Form.CSV,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write.", show_default="standard output")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Run one of the queries behind the views, as in query cosines --sae l12-w8192-l0-7 --letter l.

    The parameters of a query are options, with - for _; lists are given by repeating the option. An SAE may also be
    given by --layer, --width, --l0 and so on.
    """
    try:
        (name, suite), pairs = _read(words or [])
        _check(form, output, force=force)
        with open_suite(suite) as store:
            if name is None:
                _list(store)
            else:
                _write(_answer(store, name, pairs, form), output)
    except (SuiteError, QueryError, QuestionError) as error:
        fail(str(error), error)


def _read(words: list[str]) -> tuple[tuple[str | None, str | None], list[tuple[str, str]]]:
    """Separate query and suite from the parameters, which are written ``--name value`` or ``--name=value``."""
    named: list[str] = []
    pairs: list[tuple[str, str]] = []
    remaining = iter(words)
    for word in remaining:
        key, is_whole, text = word.partition("=")
        if not key.startswith("--"):
            named.append(word)
            continue
        value = text if is_whole else next(remaining, None)
        if value is None:
            raise QuestionError(f"{key} has no value; give parameters as --name value")
        pairs.append((key.removeprefix("--").replace("-", "_"), value))
    if len(named) > len(_NAMED):
        raise QuestionError(f"{named[-1]!r} is not expected; give parameters as --name value")
    name, suite = [*named, None, None][: len(_NAMED)]
    return (name, suite), pairs


def _check(form: Form, output: Path | None, *, force: bool) -> None:
    """Reject an output to which the result cannot be written."""
    if output is None and form is Form.PARQUET and sys.stdout.isatty():
        raise QuestionError("parquet is a binary format; give a file with -o")
    if output is not None and output.exists() and not force:
        raise QuestionError(f"{output} exists already; give another name, or --force to replace it")


def _answer(store: Store, name: str, pairs: list[tuple[str, str]], form: Form) -> Iterator[bytes]:
    values = read(store, name, collect_values(name, pairs))
    frame = fetch(store, name, values)
    if form is Form.CSV:
        return as_csv(frame)
    if form is Form.PARQUET:
        return as_parquet(frame, question(name).columns)
    return as_json(frame, {"question": name, "parameters": values, "total": len(frame), "offset": 0, "next": None})


def _write(pieces: Iterator[bytes], output: Path | None) -> None:
    if output is None:
        try:
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            sys.stdout.flush()
        except BrokenPipeError:  # the reader has closed the pipe, as head does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    try:
        with whole_file(output) as file:
            file.writelines(pieces)
    except OSError as error:
        raise QuestionError(f"{output} cannot be written: {error.strerror}") from error


def _list(store: Store) -> None:
    """List all queries with their required parameters and, in brackets, their optional ones."""
    for name, each in catalog().items():
        needed = needs(store, name)
        also = [key for key in (*each.params, *alternatives_to(name)) if key not in needed]
        takes = " ".join([*needed, *([f"[{' '.join(also)}]"] if also else [])])
        typer.echo(f"{name} {takes}".rstrip())
        typer.echo(f"    {each.doc}")
