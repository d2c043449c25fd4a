"""``absorption-explorer query``: a question of the catalogue, its answer as a file or on the standard output."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.files import as_csv, as_json, as_parquet
from explorer.named_questions import QuestionError, alternatives_to, fetch, needs, once, question, read
from explorer.terminal import fail, open_suite
from explorer.whole_file import whole_file
from queries import QueryError, SuiteError, catalog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queries import Store

#: Typer leaves the parameters of questions, which each has for itself, among the words.
SETTINGS = {"ignore_unknown_options": True}


#: The words that are no parameters, none of which has to be given.
_NAMED = ("name", "suite")


class Form(StrEnum):
    """The formats of answers."""

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
    form: Annotated[Form, typer.Option("--format", help="Format of the answer.")] = Form.CSV,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write.", show_default="standard output")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Answer one of the questions behind the views, as in query cosines --sae l12-w8192-l0-7 --letter l.

    The parameters of a question are options, with - for _; those that are lists are given several times. An SAE may
    also be named by --layer, --width, --l0 and so on.
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
    """Tell the question and the suite from parameters, which are written ``--name value`` or ``--name=value``."""
    named: list[str] = []
    pairs: list[tuple[str, str]] = []
    ahead = iter(words)
    for word in ahead:
        key, is_whole, text = word.partition("=")
        if not key.startswith("--"):
            named.append(word)
            continue
        value = text if is_whole else next(ahead, None)
        if value is None:
            raise QuestionError(f"{key} has no value; give parameters as --name value")
        pairs.append((key.removeprefix("--").replace("-", "_"), value))
    if len(named) > len(_NAMED):
        raise QuestionError(f"{named[-1]!r} is not expected; give parameters as --name value")
    name, suite = [*named, None, None][: len(_NAMED)]
    return (name, suite), pairs


def _check(form: Form, output: Path | None, *, force: bool) -> None:
    """Refuse what the answer cannot go to."""
    if output is None and form is Form.PARQUET and sys.stdout.isatty():
        raise QuestionError("parquet is a binary format; give a file with -o")
    if output is not None and output.exists() and not force:
        raise QuestionError(f"{output} exists already; give another name, or --force to replace it")


def _answer(store: Store, name: str, pairs: list[tuple[str, str]], form: Form) -> Iterator[bytes]:
    values = read(store, name, once(name, pairs))
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
        except BrokenPipeError:  # as head leaves it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    try:
        with whole_file(output) as file:
            file.writelines(pieces)
    except OSError as error:
        raise QuestionError(f"{output} cannot be written: {error.strerror}") from error


def _list(store: Store) -> None:
    """List all questions: what each needs, and in brackets what it takes besides."""
    for name, each in catalog().items():
        needed = needs(store, name)
        also = [key for key in (*each.params, *alternatives_to(name)) if key not in needed]
        takes = " ".join([*needed, *([f"[{' '.join(also)}]"] if also else [])])
        typer.echo(f"{name} {takes}".rstrip())
        typer.echo(f"    {each.doc}")
