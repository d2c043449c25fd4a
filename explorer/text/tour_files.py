"""Tours, which explain a suite step by step on the page: reads and checks their files.

A file ``tours/<name>.toml`` has

- ``place``: its position in the list of tours;
- ``title`` and ``about``: its name, and a sentence on what it shows;
- ``unless``: the sentence for a suite that cannot show it;
- ``[[ask]]``: queries of the catalogue, in order. ``query`` is the query, ``name`` a name for its result, and ``given``
  contains its parameters. The texts use the first row of a result; a suite without such a row cannot show the tour;
- ``[[step]]``: ``at`` is the view that the step points at (one of `ANCHORS`), ``title`` and ``text`` (Markdown) explain
  what it shows, and ``state`` contains the parameters that the step sets, by the names in addresses. A step keeps the
  parameters of earlier steps; an empty text resets one.

All texts, parameters and states are templates (`explorer.text.compile_text`): ``[[ case.sae ]]`` is the column ``sae``
of the result ``case``. Numbers of a suite are never typed in.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The views that a step can point at: names of figures and of parts of the page.
ANCHORS = (
    *("concept", "headline", "figures", "cosine", "latents", "card", "tester", "evidence", "k-sparse"),
    *("absorption-vs-l0", "splits-vs-l0", "absorption-heatmap", "atlas-table"),
    *("pair", "pair-rates", "splitting-tree", "threshold-sensitivity", "token-shares"),
)

_Text = Annotated[str, Field(min_length=1)]


class TourError(ValueError):
    """A file is not a valid tour, or uses an invalid query; the message is one line with the file and the problem."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Ask(_Part):
    """A query of the catalogue whose result a tour uses."""

    name: Annotated[str, Field(pattern="^[a-z_]+$")]
    query: _Text
    given: dict[str, str | list[str]] = {}


class Step(_Part):
    """One step: the view that it points at, its text, and the state that it sets."""

    at: _Text
    title: _Text
    text: _Text
    state: dict[str, str] = {}


class Tour(_Part):
    """One tour."""

    name: str
    place: int
    title: _Text
    about: _Text
    unless: _Text
    ask: Annotated[list[Ask], Field(min_length=1)]
    step: Annotated[list[Step], Field(min_length=2)]


def read_tour(name: str, text: str) -> Tour:
    """Read a tour.

    Parameters
    ----------
    name : str
        Name of its file without the extension.
    text : str
        Contents of the file, as described at the top of this module.

    Returns
    -------
    Tour

    Raises
    ------
    TourError
        If that is not a valid tour.
    """
    try:
        tour = Tour(name=name, **tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise TourError(f"{name}.toml: is not TOML ({error})") from error
    except (ValidationError, TypeError) as error:
        raise TourError(f"{name}.toml: {_first(error)}") from error
    for number, step in enumerate(tour.step, 1):
        if step.at not in ANCHORS:
            raise TourError(f"{name}.toml: step {number} points at {step.at!r}; choose one of {', '.join(ANCHORS)}")
    return tour


def _first(error: ValidationError | TypeError) -> str:
    """Return the location and the message of the first validation error."""
    if isinstance(error, TypeError):
        return "contains a name; the name of a tour is that of its file"
    found = error.errors()[0]
    where = " ".join(str(part + 1) if isinstance(part, int) else part for part in found["loc"])
    return f"{where}: {found['msg'].lower()}"


def _tours() -> dict[str, Tour]:
    folder = files(__package__) / "tours"
    found = [
        read_tour(file.name.removesuffix(".toml"), file.read_text("utf-8"))
        for file in folder.iterdir()
        if file.name.endswith(".toml")
    ]
    return {tour.name: tour for tour in sorted(found, key=lambda tour: tour.place)}


#: The tours by name, in the order in which they are offered.
TOURS: Mapping[str, Tour] = MappingProxyType(_tours())
