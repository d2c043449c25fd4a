"""``manifest.json``: what a suite says of itself, read and checked."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

MANIFEST = "manifest.json"
FORMAT_VERSION = 1


class SuiteError(Exception):
    """A suite cannot be opened; the message is one line that names the file and the mend."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Model(_Record):
    """The language model whose activations the SAEs read."""

    name: str
    licence: str | None = None
    weights: str | None = None
    d_model: int | None = None
    num_layers: int | None = None


class Method(_Record):
    """How absorption was measured, and the thresholds in force (method.md)."""

    metric: str
    metric_version: str | None = None
    tau: float = 0.03
    cosine_threshold: float = 0.025
    effect_margin: float = 1.0
    notes: list[str] = Field(default_factory=list)


class Neuronpedia(_Record):
    """Where Neuronpedia hosts an SAE: such SAEs are called canonical."""

    model: str
    source: str


class Sae(_Record):
    """One SAE of the suite."""

    layer: int
    width: int
    #: Negative where the L0 is unknown; -1, -2, ... then tell such SAEs of a layer and width apart.
    l0: int
    #: What its publishers call it.
    name: str | None = None
    n_latents: int
    l0_measured: float | None = None
    hook: str | None = None
    architecture: str | None = None
    neuronpedia: Neuronpedia | None = None
    cosines: bool = False
    variance_explained: float | None = None
    loss_recovered: float | None = None
    dead_fraction: float | None = None
    tokens_seen: int | None = None

    @property
    def key(self) -> tuple[int, int, int]:
        """Layer, nominal width and L0, which name the SAE in its suite."""
        return (self.layer, self.width, self.l0)


class TableEntry(_Record):
    """What the manifest says of one parquet table: number of rows, type by column name, SHA-256 by file."""

    rows: int
    columns: dict[str, str]
    checksums: dict[str, str] = Field(default_factory=dict)


class Provenance(_Record):
    """Who computed the suite, with what and when; free text shown in the interface."""

    made_by: str | None = None
    date: str | None = None
    source: str | None = None
    summary: str | None = None
    corpus: list[dict[str, Any]] = Field(default_factory=list)
    checks: dict[str, Any] = Field(default_factory=dict)
    limits: list[str] = Field(default_factory=list)


class _Version(BaseModel):
    format_version: int


class Manifest(_Record):
    """The whole of ``manifest.json``."""

    format_version: int
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    title: str | None = None
    model: Model
    method: Method
    saes: list[Sae]
    tables: dict[str, TableEntry]
    provenance: Provenance = Provenance()

    @model_validator(mode="after")
    def _saes_are_distinct(self) -> Manifest:
        key, count = Counter(sae.key for sae in self.saes).most_common(1)[0] if self.saes else (None, 0)
        if count > 1:
            message = f"saes: layer, width and L0 {key} stand twice"
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
        # The version first: of what another one holds, nothing else can be said.
        version = _Version.model_validate_json(text).format_version
        if version != FORMAT_VERSION:
            message = (
                f"{file}: format_version {version} is not known here (this program reads {FORMAT_VERSION}); import the"
                " suite again or update the program"
            )
            raise SuiteError(message)
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        message = f"{file}: {place}: {first['msg']}; mend the manifest or import the suite again"
        raise SuiteError(message) from error
