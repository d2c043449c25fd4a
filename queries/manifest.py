"""The manifest of a suite: its metadata, as Pydantic models."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from queries.schema import ID_PATTERN, INTEGER_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

MANIFEST = "manifest.json"
#: Version of the layout that is written, and versions that can be read.
FORMAT_VERSION = 2
FORMAT_VERSIONS = (1, 2)

#: Bounds of each threshold, of a suite's own values and of the page's widgets.
THRESHOLD_BOUNDS: dict[str, tuple[float, float]] = {
    "tau": (0, 1),
    "cosine_threshold": (-1, 1),
    "effect_margin": (0, 100),
}
#: Maximum SAEs of a suite. Gemma Scope has 260 in the paper and some 2,000 in all. The page lists all of them.
MAX_SAES = 10_000
#: Maximum latents of an SAE; the largest published one has 16 million.
MAX_LATENTS = 2**24
#: Maximum absolute value of scores that may be outside of [0, 1] for a poor SAE.
MAX_SCORE = 1e6
#: Maximum bytes of a manifest; one of 1,040 SAEs has half a megabyte.
MAX_MANIFEST_BYTES = 8 * 2**20
#: Maximum characters of a text, and of a name, such as that of the suite, which is also a folder's.
TEXT_LENGTH = 10_000
NAME_LENGTH = 200
#: Maximum characters of the texts in the dialog "About", which each session keeps in memory.
_ABOUT_LENGTH = 200_000
_LIST_LENGTH = 1_000
#: The largest BIGINT.
BIGINT_MAX = 2**63 - 1
#: Maximum characters of the location in an error message, which may contain names from the file.
_PLACE_LENGTH = 100


class SuiteError(Exception):
    """A suite cannot be opened; the message is one line that names the file and the fix."""


class Record(BaseModel):
    """A part of a manifest: no unknown fields, and only values that can be stored."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, str_max_length=TEXT_LENGTH)


def count(most: int = INTEGER_MAX, **options: Any) -> Any:
    """Return a field for an integer from 0 to `most`, by default the largest value of its column."""
    return Field(ge=0, le=most, **options)


def _threshold(name: str, default: float) -> Any:
    low, high = THRESHOLD_BOUNDS[name]
    return Field(default=default, ge=low, le=high)


def _score() -> Any:
    """Return a field for a score that may be far outside of [0, 1] for a poor SAE."""
    return Field(default=None, ge=-MAX_SCORE, le=MAX_SCORE)


class Model(Record):
    """The language model whose activations the SAEs read."""

    name: str
    licence: str | None = None
    weights: str | None = None
    d_model: int | None = count(default=None)
    num_layers: int | None = count(default=None)


class Method(Record):
    """How absorption was measured, and the suite's own thresholds (method.md)."""

    metric: str
    metric_version: str | None = None
    tau: float = _threshold("tau", 0.03)
    cosine_threshold: float = _threshold("cosine_threshold", 0.025)
    effect_margin: float = _threshold("effect_margin", 1.0)
    notes: list[str] = Field(default_factory=list, max_length=_LIST_LENGTH)


class Neuronpedia(Record):
    """Address of an SAE on Neuronpedia; SAEs hosted there are called canonical."""

    model: str
    source: str


class Sae(Record):
    """One SAE of the suite; unknown attributes are None."""

    #: Its id in tables and addresses.
    sae: str = Field(pattern=f"^{ID_PATTERN}$", max_length=NAME_LENGTH)
    #: Its name by its publishers.
    title: str | None = None
    layer: int | None = count(default=None)
    hook: str | None = None
    width: int | None = count(default=None)
    n_latents: int | None = count(MAX_LATENTS, default=None)
    #: If false, `n_latents` is a lower bound.
    n_latents_counted: bool = True
    #: Measured L0, or the published one if it was not measured.
    l0: float | None = count(default=None)
    l0_nominal: int | None = count(default=None)
    architecture: str | None = None
    recipe: str | None = None
    seed: int | None = count(default=None)
    #: The id of the SAE of which this is a further seed.
    repeat_of: str | None = None
    tokens_seen: int | None = count(BIGINT_MAX, default=None)
    variance_explained: float | None = _score()
    loss_recovered: float | None = _score()
    dead_fraction: float | None = Field(default=None, ge=0, le=1)
    neuronpedia: Neuronpedia | None = None
    attributes: dict[str, str] = Field(default_factory=dict, max_length=_LIST_LENGTH)
    cosines: bool = False

    @property
    def id(self) -> str:
        """Its id."""
        return self.sae


def check_ids(saes: Sequence[Sae]) -> None:
    """Raise ValueError unless ids are unique and each `repeat_of` is the id of an SAE that is no repeat itself."""
    sae, number = Counter(sae.id for sae in saes).most_common(1)[0] if saes else ("", 0)
    if number > 1:
        message = f"sae {sae} occurs twice; give each SAE its own id and fix the table"
        raise ValueError(message)
    own = {sae.id for sae in saes if sae.repeat_of is None}
    strange = min((sae.repeat_of for sae in saes if sae.repeat_of and sae.repeat_of not in own), default=None)
    if strange:
        message = f"repeat_of {strange} is no SAE of the suite, or repeats another one itself; fix the table"
        raise ValueError(message)


class Family(Record):
    """Concepts of one kind, such as the first letters."""

    family: str = Field(pattern=f"^{ID_PATTERN}$", max_length=NAME_LENGTH)
    title: str
    #: Noun for one of its concepts.
    noun: str
    #: Whether a token has at most one of them.
    exclusive: bool = False
    prompt: str | None = None
    answers: list[str] = Field(default_factory=list, max_length=_LIST_LENGTH)


FIRST_LETTERS = Family(family="first-letter", title="First letters", noun="letter", exclusive=True)


class TableEntry(Record):
    """Manifest entry of one parquet table: number of rows, type by column name, SHA-256 by file."""

    rows: int = count(BIGINT_MAX)
    columns: dict[str, str] = Field(max_length=_LIST_LENGTH)
    checksums: dict[str, str] = Field(default_factory=dict, max_length=MAX_SAES)


class Provenance(Record):
    """Origin of the suite, as free text shown in the interface."""

    made_by: str | None = None
    date: str | None = None
    source: str | None = None
    summary: str | None = None
    corpus: list[dict[str, Any]] = Field(default_factory=list, max_length=_LIST_LENGTH)
    checks: dict[str, Any] = Field(default_factory=dict, max_length=_LIST_LENGTH)
    limits: list[str] = Field(default_factory=list, max_length=_LIST_LENGTH)


class Opening(Record):
    """The initial view of a page: an absorbing latent that is a clear example of absorption."""

    sae: str = Field(max_length=NAME_LENGTH)
    concept: str = Field(max_length=NAME_LENGTH)
    latent: int = count(MAX_LATENTS)


class Manifest(Record):
    """The contents of ``manifest.json``."""

    format_version: int
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=NAME_LENGTH)
    title: str | None = None
    model: Model
    method: Method
    #: In the order of `queries.sae_ids`; stored in the table saes.
    saes: list[Sae] = Field(default=[], max_length=MAX_SAES)
    families: list[Family] = Field(default=[FIRST_LETTERS], max_length=_LIST_LENGTH)
    opening: Opening | None = None
    tables: dict[str, TableEntry] = Field(max_length=_LIST_LENGTH)
    provenance: Provenance = Provenance()

    @model_validator(mode="after")
    def _saes_are_distinct(self) -> Manifest:
        check_ids(self.saes)
        return self

    @model_validator(mode="after")
    def _texts_fit_a_page(self) -> Manifest:
        length = sum(len(part.model_dump_json()) for part in (self.model, self.method, self.provenance))
        if length > _ABOUT_LENGTH:
            message = (
                f"model, method and provenance have {length:,} characters, {_ABOUT_LENGTH:,} at most; shorten them"
            )
            raise ValueError(message)
        return self


#: Parts of the patterns of names, in words.
_CHARACTERS = {
    "A-Z": "capital letters",
    "a-z": "small letters",
    "0-9": "digits",
    ".": "dots",
    "_": "underscores",
    "_-": "hyphens",
}


def first_problem(error: ValidationError) -> str:
    """Return one line with the location of the first validation error and its message."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"])) or "the file"
    message = allowed_characters(first.get("ctx", {}).get("pattern", "")) or first["msg"]
    return f"{place if len(place) <= _PLACE_LENGTH else f'{place[:_PLACE_LENGTH]}...'}: {message}"


def allowed_characters(pattern: str) -> str:
    """Say in words which characters the pattern of a name allows; empty for any other pattern."""
    allowed = re.fullmatch(r"\^(\[[^]]+\])?\[([^]]+)\][*+]\$", pattern)
    if allowed is None:
        return ""
    *names, last = (name for part, name in _CHARACTERS.items() if part in allowed[2])
    listed = f"{', '.join(names)} and {last}" if names else last
    return f"only {listed} are allowed" + (", with a letter or digit first" if allowed[1] else "")
