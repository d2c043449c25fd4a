"""All figures of a paper, described by one file: ``absorption-explorer figures PAPER.toml``."""

from __future__ import annotations

import re
import tomllib
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from explorer.figures import FIGURES, FigureError, FigureRequest, FigureStyle, check, write_figures
from explorer.given_values import refusal_of
from explorer.model import choices_of
from explorer.state import ExplorerState
from explorer.store import open_suite
from queries import QueryError, SuiteError
from queries.manifest import first_problem

if TYPE_CHECKING:
    from pathlib import Path

    from queries import Store


class _Style(BaseModel):
    """Settings for all figures, which a figure can override."""

    model_config = ConfigDict(extra="forbid", strict=True)

    suite: str | None = None
    size: tuple[float, float] | None = Field(default=None, strict=False)
    font: str | None = None
    font_size: float | None = None
    dpi: float | None = None
    dark: bool | None = None


class _Figure(_Style):
    """One figure; further keys in its table are parameters of the state, as in an address of the page."""

    model_config = ConfigDict(extra="allow")

    name: str
    file: str


class _Paper(_Style):
    figure: list[_Figure] = Field(min_length=1)


def write_paper(paper: Path, *, overwrite: bool = False) -> list[Path]:
    """Write all figures that a file describes.

    Parameters
    ----------
    paper : Path
        A TOML file. Each of its tables `[[figure]]` has a `name` (of `explorer.figures.FIGURES`), a `file`, and the
        parameters of the state that differ from the defaults: sae, concept, letter, tau and so on. `suite`, `size`,
        `font`, `font_size`, `dpi` and `dark` may be given at the top for all figures, or in a figure. Paths are
        relative to the file's folder.
    overwrite : bool
        Whether to replace existing files.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    FigureError
        If any figure cannot be written; one line. No file is written then.
    """
    described = _read(paper)
    with ExitStack() as stack:
        stores: dict[str | None, Store] = {}
        figures: list[FigureRequest] = []
        for number, figure in enumerate(described.figure, start=1):
            where = f"{paper}: figure {number} ({figure.file})"
            suite = figure.suite or described.suite
            try:
                if suite not in stores:
                    stores[suite] = stack.enter_context(open_suite(_resolve_suite(paper, suite)))
                figures.append(_request(paper, described, figure, stores[suite]))
                check(figures[-1], overwrite=overwrite)
            except (SuiteError, QueryError, ValueError) as error:
                raise FigureError(f"{where}: {error}") from error
            if figures[-1].path.resolve() in [other.path.resolve() for other in figures[:-1]]:
                raise FigureError(f"{where}: another figure has the same file; give each its own")
        try:
            write_figures(figures, overwrite=overwrite)
        except QueryError as error:
            raise FigureError(f"{paper}: {error}") from error
    return [figure.path for figure in figures]


def _read(paper: Path) -> _Paper:
    try:
        with paper.open("rb") as file:
            return _Paper.model_validate(tomllib.load(file))
    except OSError as error:
        raise FigureError(
            f"{paper}: cannot be read ({error.strerror}); give a TOML file that describes figures"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FigureError(f"{paper}: is not TOML: {error}") from error
    except ValidationError as error:
        raise FigureError(f"{paper}: {_counted_from_one(first_problem(error))}") from error


def _counted_from_one(problem: str) -> str:
    """Return the problem with figures numbered from 1, as in other messages: `figure.0.file` is that of figure 1."""
    return re.sub(r"^figure\.(\d+)\.?", lambda found: f"figure {int(found[1]) + 1}: ", problem)


def _resolve_suite(paper: Path, suite: str | None) -> Path | str | None:
    """Return a suite for `open_suite`: relative to the file's folder if it exists there, else unchanged."""
    return paper.parent / suite if suite and (paper.parent / suite).exists() else suite


def _request(paper: Path, described: _Paper, figure: _Figure, store: Store) -> FigureRequest:
    if figure.name not in FIGURES:
        raise ValueError(refusal_of("name", figure.name, FIGURES))
    style: dict[str, Any] = {}
    for name in FigureStyle._fields:
        value = getattr(figure, name) if getattr(figure, name) is not None else getattr(described, name)
        if value is not None:
            style[name] = value
    state = ExplorerState(choices_of(store), **(figure.model_extra or {}))
    return FigureRequest(store, state, figure.name, paper.parent / figure.file, FigureStyle(**style))
