"""The configuration of a measurement, a TOML file."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from measure.concepts import BUILT_IN
from measure.errors import MeasureError
from measure.recipes import RecipeName, with_recipe
from measure.stages.sparsity import Architecture
from queries.manifest import NAME_LENGTH, TEXT_LENGTH, first_problem
from queries.schema import LETTERS

if TYPE_CHECKING:
    from pathlib import Path


class _Part(BaseModel):
    # The limit of a suite's manifest, checked before the measurement rather than when the suite is written.
    model_config = ConfigDict(frozen=True, extra="forbid", str_max_length=TEXT_LENGTH)


class ModelPart(_Part):
    """The language model: a local folder that `transformers` loads, a gguf file, or a wheel that holds one."""

    path: str | None = None
    wheel: str | None = None
    name: str | None = None
    licence: str | None = None
    precision: Literal["bfloat16", "float32"] = "float32"

    @model_validator(mode="after")
    def _check_alternatives(self) -> Self:
        if (self.path is None) == (self.wheel is None):
            message = "give either path or wheel"
            raise ValueError(message)
        return self


class VocabularyPart(_Part):
    """Which words of the model's vocabulary are used."""

    seed: int = 42
    letters: str = Field(default=LETTERS, pattern="^[a-z]+$")
    limit: int | None = Field(default=None, ge=1)
    split: Literal["random", "stratified"] = "random"


class PromptsPart(_Part):
    """How prompts are generated and selected, unless `templates` lists them.

    With `draw = "best"`, words share the best of many prompts; with "each_word", each word has its own prompt, and test
    words a second one.
    """

    draw: Literal["best", "each_word"] = "best"
    examples: Literal["train", "all", "split"] = "train"
    begin: str = ""
    seed: int = 20
    drawn: int = Field(default=36, ge=1)
    num_examples: list[Annotated[int, Field(ge=0)]] = Field(default=[10, 20], min_length=1)
    kept: int = Field(default=8, ge=1)
    sample: int = Field(default=160, ge=1)
    assignment_seed: int = 1
    templates: list[str] = []

    @field_validator("templates")
    @classmethod
    def _check_placeholders(cls, templates: list[str]) -> list[str]:
        _check_templates(templates)
        return templates


def _check_templates(templates: list[str]) -> None:
    """Reject prompts without {token}, or without text after it."""
    for text in templates:
        if text.count("{token}") != 1 or not text.partition("{token}")[2].strip():
            message = f"{text!r} needs {{token}} once, and text after it, at whose end the model answers"
            raise ValueError(message)


class ConceptsPart(_Part):
    """A family of concepts: a built-in one, or one whose words are listed in a CSV file."""

    family: str = Field(pattern="^[a-z0-9][a-z0-9_-]*$", max_length=NAME_LENGTH)
    file: str | None = None
    title: str | None = None
    noun: str | None = None
    phrase: str | None = None
    templates: list[str] = []
    answers: dict[str, Annotated[str, Field(pattern=r"^\S")]] = Field(default={}, max_length=1000)
    positive: str | None = None
    parents: dict[str, str] = Field(default={}, max_length=1000)

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if (self.file is None) != (self.family in BUILT_IN):
            message = (
                f"{self.family!r} is built in, remove file or give the family another name"
                if self.file
                else f"{self.family!r} is not built in ({', '.join(BUILT_IN)}); give the file that lists its words"
            )
            raise ValueError(message)
        own = {"family", "templates"} if self.file is None else set(type(self).model_fields)
        if unexpected := sorted(self.model_fields_set - own):
            message = f"{self.family!r} is built in and has its own {unexpected[0]}; remove it"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _check_prompts(self) -> Self:
        if self.answers and not self.templates:
            message = "there are answers and no prompt; give templates, or remove answers"
            raise ValueError(message)
        if self.phrase is not None and "{label}" not in self.phrase:
            message = f"phrase {self.phrase!r} needs {{label}}"
            raise ValueError(message)
        if self.answers or self.family in BUILT_IN:
            _check_templates(self.templates)
        elif wrong := next((text for text in self.templates if text.count("{token}") != 1), None):
            message = f"{wrong!r} needs {{token}} once"
            raise ValueError(message)
        return self


class TextPart(_Part):
    """One source of running text."""

    source: str
    title: str
    licence: str
    ship: bool = False
    #: Debian package that contains the files; without one, they are in the configuration's folder.
    debian: str | None = None
    files: str
    reader: str = "plain"
    notice: str | None = None
    tokens: int = Field(default=200_000, gt=0)


class WindowsPart(_Part):
    """The windows that text is cut into, and how many of them are for which purpose."""

    length: int = Field(default=127, ge=8)
    seed: int = 0
    held_out: int = Field(default=400, ge=1)
    for_loss: int = Field(default=56, ge=1)
    evidence: int = Field(default=2000, ge=1)

    @model_validator(mode="after")
    def _check_for_loss(self) -> Self:
        if self.for_loss > self.held_out:
            message = f"for_loss is {self.for_loss}, more than the {self.held_out} windows of held_out"
            raise ValueError(message)
        return self


class SaePart(_Part):
    """SAEs to train (`architectures`, `k`, `widths`), or an existing one (`path`)."""

    layers: list[int] = Field(min_length=1)
    architectures: list[Architecture] = Field(default=["batchtopk"], min_length=1)
    widths: list[Annotated[int, Field(ge=1)]] = []
    k: list[Annotated[int, Field(ge=1)]] = []
    seeds: list[int] = Field(default=[0], min_length=1)
    tokens: int = Field(default=1_600_000, ge=1)
    path: str | None = None
    name: str | None = None

    @model_validator(mode="after")
    def _check_alternatives(self) -> Self:
        if bool(self.path) == bool(self.widths and self.k):
            message = "give widths and k of SAEs to train, or the path of one that was trained"
            raise ValueError(message)
        return self


class MethodPart(_Part):
    """Thresholds and settings of the measurement (docs/method.md)."""

    metric: Literal["ig_ablation", "full"] = "ig_ablation"
    probe: Literal["calibrated", "balanced"] = "calibrated"
    probe_l2: float = Field(default=30.0, ge=0)
    probe_epochs: int = Field(default=50, ge=1)
    probe_batch: int = Field(default=4096, ge=1)
    k_sparse: Literal["calibrated", "balanced"] = "calibrated"
    max_k: int = Field(default=50, ge=1)
    l1: float = Field(default=0.01, ge=0)
    l1_epochs: int = Field(default=25, ge=1)
    l1_batch: int = Field(default=8192, ge=1)
    l1_end_rate: float = Field(default=0.01, gt=0)
    auc: Literal["activation", "pre_activation"] = "activation"
    tau: float = 0.03
    cosine_threshold: float = 0.025
    effect_margin: float = 1.0
    steps: int = Field(default=6, ge=1)
    limit: int | None = Field(default=200, ge=1)
    positive: Literal["upper", "lower"] = "upper"
    error: Literal["stays", "fades"] = "stays"
    min_probe_f1: float = Field(default=0.0, ge=0, lt=1)
    random_directions: int = Field(default=20, ge=1)


class Config(_Part):
    """The whole file. `recipe` selects the defaults of the other settings."""

    recipe: RecipeName = "calibrated"
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    title: str | None = None
    summary: str | None = None
    limits: list[str] = []
    #: Write a smaller suite. Repeated trainings have only scores and counts. The other SAEs have contexts (eight each)
    #: only of latents that are split, absorb or have the top encoder cosine, and no activations on tokens that were
    #: judged by projection. There are no kin.
    slim: bool = False
    model: ModelPart
    vocabulary: VocabularyPart = VocabularyPart()
    prompts: PromptsPart = PromptsPart()
    concepts: list[ConceptsPart] = []
    text: list[TextPart] = Field(min_length=1)
    windows: WindowsPart = WindowsPart()
    saes: list[SaePart] = Field(min_length=1)
    method: MethodPart = MethodPart()

    @property
    def families(self) -> list[ConceptsPart | None]:
        """The families to measure; without [[concepts]], [None], which means first letters without a gate."""
        return [*self.concepts] or [None]

    @model_validator(mode="after")
    def _check_unique_names(self) -> Self:
        names = [part.source for part in self.text]
        if twice := next((name for name in names if names.count(name) > 1), None):
            message = f"text: source {twice!r} occurs twice, give each text its own"
            raise ValueError(message)
        families = [part.family for part in self.concepts]
        if twice := next((name for name in families if families.count(name) > 1), None):
            message = f"concepts: family {twice!r} occurs twice, give each its own"
            raise ValueError(message)
        return self


def read_config(file: Path) -> Config:
    """Read a configuration.

    Raises
    ------
    MeasureError
        If it cannot be read, or settings are missing or invalid.
    """
    try:
        return Config.model_validate(with_recipe(tomllib.loads(file.read_text(encoding="utf-8"))))
    except OSError as error:
        message = f"{file}: {error.strerror}; give the path of a TOML file (measure/smollm2.toml is one)"
        raise MeasureError(message) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{file}: no TOML ({error}); fix it"
        raise MeasureError(message) from error
    except ValidationError as error:
        message = f"{file}: {first_problem(error)}; fix it (docs/measure.md lists the settings)"
        raise MeasureError(message) from error
