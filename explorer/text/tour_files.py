"""Tours: step-by-step stories over the page, each one text file; which there are, and whether a file is one.

A file ``tours/<name>.toml`` has

- ``place``: where it stands among the others;
- ``title`` and ``about``: what it is called, and what it shows, in a sentence;
- ``unless``: the sentence said of a suite that cannot show it;
- ``[[ask]]``: questions of the catalogue, in order. ``query`` names one, ``name`` its answer, and ``given`` holds its
  parameters. The texts speak of the first row of an answer; a suite without such a row cannot show the tour;
- ``[[step]]``: ``at`` names the view that the step points at (one of `ANCHORS`), ``title`` and ``text`` (Markdown) say
  what is to be seen there, and ``state`` holds what the step sets of the state, under the names of addresses. A step
  keeps what the ones before it set; an empty text takes a value back.

All texts, parameters and states are templates (`explorer.text.compile_text`): ``[[ case.sae ]]`` is the column ``sae``
of the answer ``case``. No number of a suite is typed in.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What a step can point at: names of figures and of parts of the page.
ANCHORS = (
    *("concept", "headline", "figures", "cosine", "latents", "card", "tester", "evidence", "k-sparse"),
    *("absorption-vs-l0", "splits-vs-l0", "absorption-heatmap", "atlas-table"),
    *("pair", "pair-rates", "splitting-tree", "threshold-sensitivity", "token-shares"),
)

_Text = Annotated[str, Field(min_length=1)]


class TourError(ValueError):
    """A file is no tour, or asks what cannot be asked; the message is one line that names the file and the fault."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Ask(_Part):
    """A question of the catalogue whose answer a tour speaks of."""

    name: Annotated[str, Field(pattern="^[a-z_]+$")]
    query: _Text
    given: dict[str, str | list[str]] = {}


class Step(_Part):
    """One step: what it points at, what it says, and the state that it sets."""

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
        Its name, that of its file without the ending.
    text : str
        What the file holds, as described at the top of this module.

    Returns
    -------
    Tour

    Raises
    ------
    TourError
        Where that is no tour.
    """
    try:
        tour = Tour(name=name, **tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise TourError(f"{name}.toml: is not TOML ({error})") from error
    except (ValidationError, TypeError) as error:
        raise TourError(f"{name}.toml: {_first(error)}") from error
    for number, step in enumerate(tour.step, 1):
        if step.at not in ANCHORS:
            raise TourError(f"{name}.toml: step {number} points at {step.at!r}; there is {', '.join(ANCHORS)}")
    return tour


def _first(error: ValidationError | TypeError) -> str:
    """Say the first thing that is wrong, and where."""
    if isinstance(error, TypeError):
        return "gives a name of its own; the file's is its name"
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
