"""The catalogue: public suites and results by name, in a file that is maintained by hand."""

from __future__ import annotations

import tomllib
from datetime import date  # noqa: TC003 - pydantic reads the annotation
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from ingest import limits
from ingest.addresses import SCHEMES
from ingest.files import reason
from queries.manifest import Record, SuiteError, first_problem
from queries.schema import ID_PATTERN

CATALOGUE = Path(__file__).with_name("catalogue.toml")
VERSION = 1

#: The names in `ingest.importer.READERS`, and "suite".
Format = Literal["suite", "published", "sae-spelling", "saebench", "absorption-atlas", "tables"]


class Entry(Record):
    """A public suite, or public results.

    Attributes
    ----------
    name : str
        The name by which it is opened, which its suite gets, too.
    title, holds : str
        Title, and a description of the contents.
    licence : str or None
        None if its publishers state none.
    size_mb : int or None
        Size of the download; None if unknown.
    format : str
    address : str
    files : tuple of str
        Shell patterns of the files to download from a folder, in which * also matches slashes; empty for all files.
    folder : str
        Folder of the results in an archive.
    opened : date or None
        When it was last opened with this program; None if never.
    how : str
        From where it was opened, and with what result.
    """

    name: str = Field(pattern=f"^{ID_PATTERN}$")
    title: str
    holds: str
    licence: str | None = None
    size_mb: int | None = Field(default=None, ge=0)
    format: Format
    address: str = Field(pattern=f"^({'|'.join(SCHEMES)})")
    files: tuple[str, ...] = ()
    folder: str = Field(default="", pattern=r"^([^/.][^/]*(/[^/.][^/]*)*)?$")
    opened: date | None = None
    how: str

    @property
    def when(self) -> str:
        """When and how it was last opened, as text."""
        return f"{self.opened:%-d %B %Y}, {self.how}" if self.opened else self.how

    @model_validator(mode="after")
    def _check_opened(self) -> Entry:
        if self.opened is None and not self.how.startswith("never"):
            message = f"{self.name} has no date in opened, so how begins with never; open it, or say so"
            raise ValueError(message)
        return self


class Catalogue(Record):
    """The whole file."""

    version: Literal[1]
    entries: list[Entry]


def read_catalogue(file: Path = CATALOGUE) -> Catalogue:
    """Read a catalogue.

    Raises
    ------
    SuiteError
        If it cannot be read; the message is one line that names the place and the fix.
    """
    try:
        with file.open("rb") as stream:
            held = tomllib.loads(stream.read(limits.TOML).decode())
        if isinstance(held.get("version"), int) and held["version"] > VERSION:
            message = f"{file}: has version {held['version']}, this program knows {VERSION}; install a newer one"
            raise SuiteError(message)
        catalogue = Catalogue.model_validate(held)
    except ValidationError as error:
        raise SuiteError(f"{file}: {first_problem(error)}; fix the entry") from error
    except (OSError, ValueError) as error:
        raise SuiteError(f"{file}: cannot be read ({reason(error)}); fix the file") from error
    names = [entry.name for entry in catalogue.entries]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise SuiteError(f"{file}: the name {twice!r} occurs twice; give each entry its own")
    return catalogue
