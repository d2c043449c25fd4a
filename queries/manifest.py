"""``manifest.json``: what a suite says of itself, read and checked."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import from_json

from queries.schema import ID_PATTERN, INTEGER_MAX

MANIFEST = "manifest.json"
#: The version of the layout that is written, and those that are read.
FORMAT_VERSION = 1
FORMAT_VERSIONS = (1, 2)

#: Bounds of each threshold: a suite's own values lie where the page's widgets can move them.
THRESHOLD_BOUNDS: dict[str, tuple[float, float]] = {
    "tau": (0, 1),
    "cosine_threshold": (-1, 1),
    "effect_margin": (0, 100),
}
#: SAEs of a suite; Gemma Scope has 260 in its paper and some 2,000 in all. The page lists each of them.
MAX_SAES = 10_000
#: Latents of an SAE; the largest that was published has 16 million.
MAX_LATENTS = 2**24
#: A share that a poor SAE misses by far, which still can be written out.
MAX_SCORE = 1e6
#: Bytes of a manifest; one of 1,040 SAEs has half a megabyte.
MAX_MANIFEST_BYTES = 8 * 2**20
#: Values in a manifest, at any depth: twice what MAX_SAES need. Each may be an error of its own, which takes time.
_MAX_VALUES = 400_000
#: Characters of a text, and of the suite's name, which is a folder's.
_TEXT_LENGTH = 10_000
_NAME_LENGTH = 200
#: Characters of all that the dialog "About" shows beside the SAEs; each session holds it.
_ABOUT_LENGTH = 200_000
_LIST_LENGTH = 1_000
#: Of a BIGINT.
_BIGINT_MAX = 2**63 - 1
#: Characters of an error's place, which may hold names from the file.
_PLACE_LENGTH = 100


class SuiteError(Exception):
    """A suite cannot be opened; the message is one line that names the file and the mend."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, str_max_length=_TEXT_LENGTH)


def _count(most: int = INTEGER_MAX, **options: Any) -> Any:
    return Field(ge=0, le=most, **options)


def _threshold(name: str, default: float) -> Any:
    low, high = THRESHOLD_BOUNDS[name]
    return Field(default=default, ge=low, le=high)


def _score() -> Any:
    """Hold a share, which a poor SAE may miss by far, to a number that can be written out."""
    return Field(default=None, ge=-MAX_SCORE, le=MAX_SCORE)


class Model(_Record):
    """The language model whose activations the SAEs read."""

    name: str
    licence: str | None = None
    weights: str | None = None
    d_model: int | None = _count(default=None)
    num_layers: int | None = _count(default=None)


class Method(_Record):
    """How absorption was measured, and the thresholds in force (method.md)."""

    metric: str
    metric_version: str | None = None
    tau: float = _threshold("tau", 0.03)
    cosine_threshold: float = _threshold("cosine_threshold", 0.025)
    effect_margin: float = _threshold("effect_margin", 1.0)
    notes: list[str] = Field(default_factory=list, max_length=_LIST_LENGTH)


class Neuronpedia(_Record):
    """Where Neuronpedia hosts an SAE: such SAEs are called canonical."""

    model: str
    source: str


class Sae(_Record):
    """One SAE of the suite."""

    #: Its id; where the suite gives none, it is made of layer, width and L0.
    sae: str | None = Field(default=None, pattern=f"^{ID_PATTERN}$", max_length=_NAME_LENGTH)
    layer: int = _count()
    width: int = _count()
    #: Negative where the L0 is unknown; -1, -2, ... then tell such SAEs of a layer and width apart.
    l0: int = Field(ge=-INTEGER_MAX, le=INTEGER_MAX)
    #: What its publishers call it.
    name: str | None = None
    n_latents: int = _count(MAX_LATENTS)
    #: Else `n_latents` is the least that it can be.
    n_latents_counted: bool = True
    l0_measured: float | None = _count(default=None)
    hook: str | None = None
    architecture: str | None = None
    neuronpedia: Neuronpedia | None = None
    cosines: bool = False
    variance_explained: float | None = _score()
    loss_recovered: float | None = _score()
    dead_fraction: float | None = Field(default=None, ge=0, le=1)
    tokens_seen: int | None = _count(_BIGINT_MAX, default=None)
    recipe: str | None = None
    seed: int | None = _count(default=None)
    #: The id of the SAE of which this is a further seed.
    repeat_of: str | None = None
    attributes: dict[str, str] = Field(default_factory=dict, max_length=_LIST_LENGTH)

    @property
    def key(self) -> tuple[int, int, int]:
        """Layer, nominal width and L0, which name the SAE in its suite."""
        return (self.layer, self.width, self.l0)

    @property
    def id(self) -> str:
        """The name by which tables and addresses mean the SAE, as in l8-w8192-l0-14; of an unknown L0, l8-w8192-2."""
        if self.sae is not None:
            return self.sae
        l0 = f"-l0-{self.l0}" if self.l0 >= 0 else "" if self.l0 == -1 else f"-{-self.l0}"
        return f"l{self.layer}-w{self.width}{l0}"


class Family(_Record):
    """Concepts of one kind, such as the first letters."""

    family: str = Field(pattern=f"^{ID_PATTERN}$", max_length=_NAME_LENGTH)
    title: str
    #: What one of its concepts is called.
    noun: str
    #: Whether a token has one of them at most.
    exclusive: bool = False
    prompt: str | None = None
    answers: list[str] = Field(default_factory=list, max_length=_LIST_LENGTH)


FIRST_LETTERS = Family(family="first-letter", title="First letters", noun="letter", exclusive=True)


class TableEntry(_Record):
    """What the manifest says of one parquet table: number of rows, type by column name, SHA-256 by file."""

    rows: int = _count(_BIGINT_MAX)
    columns: dict[str, str] = Field(max_length=_LIST_LENGTH)
    checksums: dict[str, str] = Field(default_factory=dict, max_length=MAX_SAES)


class Provenance(_Record):
    """Who computed the suite, with what and when; free text shown in the interface."""

    made_by: str | None = None
    date: str | None = None
    source: str | None = None
    summary: str | None = None
    corpus: list[dict[str, Any]] = Field(default_factory=list, max_length=_LIST_LENGTH)
    checks: dict[str, Any] = Field(default_factory=dict, max_length=_LIST_LENGTH)
    limits: list[str] = Field(default_factory=list, max_length=_LIST_LENGTH)


class _Version(BaseModel):
    format_version: int


class Manifest(_Record):
    """The whole of ``manifest.json``."""

    format_version: int
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=_NAME_LENGTH)
    title: str | None = None
    model: Model
    method: Method
    #: Of the second layout in a table of their own.
    saes: list[Sae] = Field(default=[], max_length=MAX_SAES)
    families: list[Family] = Field(default=[FIRST_LETTERS], max_length=_LIST_LENGTH)
    tables: dict[str, TableEntry] = Field(max_length=_LIST_LENGTH)
    provenance: Provenance = Provenance()

    @model_validator(mode="after")
    def _texts_fit_a_page(self) -> Manifest:
        length = sum(len(part.model_dump_json()) for part in (self.model, self.method, self.provenance))
        if length > _ABOUT_LENGTH:
            message = (
                f"model, method and provenance have {length:,} characters, {_ABOUT_LENGTH:,} at most; shorten them"
            )
            raise ValueError(message)
        return self


def parse_manifest(text: str, file: object) -> Manifest:
    """Read and check the text of a manifest; `file` names it in messages.

    Raises
    ------
    SuiteError
        Where it is not JSON, or does not meet the contract.
    """
    try:
        content = from_json(text)
        _check_values(content)
        # The version first: of what another one holds, nothing else can be said.
        version = _Version.model_validate(content).format_version
        if version not in FORMAT_VERSIONS:
            known = " and ".join(map(str, FORMAT_VERSIONS))
            message = (
                f"{file}: format_version {version} is not known here (this program reads {known}); import the suite"
                " again or update the program"
            )
            raise SuiteError(message)
        return Manifest.model_validate(content)
    except ValidationError as error:
        message = f"{file}: {first_problem(error)}; mend the manifest or import the suite again"
        raise SuiteError(message) from error
    except ValueError as error:
        message = f"{file}: no JSON that can be used ({error}); mend the manifest or import the suite again"
        raise SuiteError(message) from error


def first_problem(error: ValidationError) -> str:
    """Say in one line where the first thing lies that does not meet the contract, and what is wrong with it."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"])) or "the file"
    return f"{place if len(place) <= _PLACE_LENGTH else f'{place[:_PLACE_LENGTH]}...'}: {first['msg']}"


def _check_values(content: object) -> None:
    """Hold every value, those of free text included, to what can be stored and written out.

    How deep they lie is limited by the parser.

    Raises
    ------
    ValueError
        At the first value that is too long or too large.
    """
    waiting, seen = [content], 0
    while waiting:
        value = waiting.pop()
        match value:
            case dict():
                waiting += [*value, *value.values()]
                seen += len(value)
            case list():
                waiting += value
                seen += len(value)
            case str() if len(value) > _TEXT_LENGTH:
                message = f"it holds a text of {len(value):,} characters, {_TEXT_LENGTH:,} at most"
                raise ValueError(message)
            case float() if not math.isfinite(value):
                message = f"it holds a number that is not finite ({value})"
                raise ValueError(message)
            case int() if abs(value) > _BIGINT_MAX:
                message = "it holds a whole number that 64 bits do not hold"
                raise ValueError(message)
        if seen > _MAX_VALUES:
            message = f"it holds more than {_MAX_VALUES:,} values"
            raise ValueError(message)
