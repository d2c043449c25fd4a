"""The commands `catalogue` and `cache`, which list public sources and manage imported ones."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from explorer.format import count
from explorer.terminal import fail, show_list
from queries import SuiteError

if TYPE_CHECKING:
    from ingest.catalogue import Entry

_JSON = typer.Option("--json", help="Print JSON instead of text.")

cache_app = typer.Typer(no_args_is_help=True, help="The suites created by opening results.")


@cache_app.command("list")
def list_cache(*, as_json: Annotated[bool, _JSON] = False) -> None:
    """List the entries of the cache, the most recently used first."""
    from ingest.cache import Cache

    try:
        cache = Cache()
        found = [
            entry.model_dump(mode="json") | {"folder": str(place), "bytes": _bytes_of(place)}
            for entry, place in cache.entries()
        ]
        unfinished = _bytes_of(cache.root / "downloads")
    except SuiteError as error:
        fail(str(error), error)
    except OSError as error:
        fail(f"{error.filename}: cannot be read ({error.strerror})", error)
    if as_json:
        typer.echo(json.dumps({"folder": str(cache.root), "entries": found, "unfinished_bytes": unfinished}, indent=1))
        return
    lines = [
        f"{each['name']} ({each['key']}): {each['bytes'] / 1e6:,.2f} MB,"
        f" imported {each['imported'][:10]} from {each['source']}"
        for each in found
    ]
    show_list(f"{cache.root}: {count(len(found), 'suite')}", lines or ["nothing"])
    if unfinished:
        typer.echo(f"and {unfinished / 1e6:,.1f} MB of unfinished downloads")


@cache_app.command("clear")
def clear_cache(
    names: Annotated[list[str] | None, typer.Argument(help="Names or keys of entries; default: all.")] = None,
) -> None:
    """Remove entries from the cache; those in use by another process are kept."""
    from ingest.cache import Cache

    try:
        cache = Cache()
        removed, kept = cache.clear(set(names or []))
    except SuiteError as error:
        fail(str(error), error)
    unknown = set(names or []) - {name for entry in (*removed, *kept) for name in entry}
    if unknown:
        fail(f"no entry of the cache is called {', '.join(sorted(unknown))}; absorption-explorer cache list names them")
    show_list(f"{cache.root}: removed", [name for name, _ in removed] or ["nothing"])
    show_list("Kept, because another process uses it:", [name for name, _ in kept])
    if kept:
        raise typer.Exit(1)


def catalogue(
    file: Annotated[Path | None, typer.Argument(help="Another catalogue to check; default: the program's own.")] = None,
    *,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """List the public suites and results that can be opened by their name."""
    from ingest.catalogue import CATALOGUE, read_catalogue

    try:
        entries = read_catalogue(file or CATALOGUE).entries
    except SuiteError as error:
        fail(str(error), error)
    if as_json:
        typer.echo(json.dumps([entry.model_dump(mode="json") for entry in entries], indent=1, ensure_ascii=False))
        return
    for entry in entries:
        show_list(f"{entry.name}: {entry.title}", [f"{name:<8} {value}" for name, value in _described(entry).items()])


def _described(entry: Entry) -> dict[str, Any]:
    """Return the properties of an entry for display."""
    size = "unknown" if entry.size_mb is None else f"{entry.size_mb:,} MB"
    return {
        "holds": entry.holds,
        "address": entry.address,
        "format": entry.format,
        "size": size,
        "licence": entry.licence or "unknown",
        "opened": entry.when,
    }


def _bytes_of(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):  # another process fetches, imports or clears meanwhile
            total += file.stat().st_size if file.is_file() else 0
    return total
