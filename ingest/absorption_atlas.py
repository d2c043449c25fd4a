"""The results of absorption-atlas: letters and single concepts on Gemma Scope's SAEs, by ablation and by projection.

=================================  =====================================================================================
``gate_summary*.json``             first letters of one SAE, each with its published rate
``summary*.json``                  the same of another letter, or one concept with its probes and counts
``absorption_detail*.parquet``     the tested tokens of the concept in the summary next to it
``probedir*.json``                 rates by projection of one concept, or of all letters together, with their null
=================================  =====================================================================================

The file names contain the SAE's L0 (``_l082``). Names of folders for Gemma-2-9b end in ``_9b``.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ingest import gemma_scope
from ingest.files import UnreadableError
from ingest.findings import Findings
from ingest.json_files import number_names, peek_json, read_json
from ingest.prompts import PLACE
from ingest.source import same
from ingest.verdicts import with_verdicts
from queries.conform import IngestError, arrow_schema, with_all_columns, with_constants
from queries.manifest import (
    FIRST_LETTERS,
    FORMAT_VERSION,
    THRESHOLD_BOUNDS,
    Family,
    Manifest,
    Method,
    Model,
    Provenance,
    Sae,
    first_problem,
)
from queries.sae_ids import sae_ids
from queries.schema import INTEGER_MAX, LETTERS, TABLES, Column

if TYPE_CHECKING:
    from pathlib import Path

    from ingest.source import Columns, Source

NAME = "absorption-atlas"
_METRIC = "ig_ablation"
_MODELS = {"_9b": "gemma-2-9b", "": gemma_scope.MODEL}
_SUMMARY = re.compile(r"(?P<gate>gate_)?summary(?:_l0(?P<l0>[0-9]{1,9}))?\.json")
_PROJECTIONS = re.compile(r"probedir(?:_l0(?P<l0>[0-9]{1,9}))?\.json")
_FORM = re.compile(rb'"(?:per_letter|ksparse_f1_by_k|probe_true_positives)"\s*:')
_DETAIL_FILE = re.compile(r"absorption_detail\w*\.parquet")
#: The dominance thresholds in files.
_DOMINANCE = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3})?")
_K = re.compile(r"[0-9]{1,3}")
_SUFFIX = re.compile(r"suffix_([a-z0-9]{1,40})")
_SLUG = re.compile(r"[a-z0-9]+")
#: The placeholder for the word in a template.
_WORD = "{word}"

#: By property: the family of all its letters, and the phrase about the tokens of a letter.
_OF_LETTERS = {
    "first_letter": (FIRST_LETTERS, "starts with {}"),
    "last_letter": (Family(family="last-letter", title="Last letters", noun="letter", exclusive=True), "ends in {}"),
}
_FAMILIES = (
    Family(family="capital", title="Capitals", noun="property"),
    Family(family="suffix", title="Suffixes", noun="suffix"),
    Family(family="property", title="Properties", noun="property"),
)
_CAPITALS = {"is_capitalized": ("initial", "Aa", "is capitalised"), "all_caps": ("all", "AA", "is in capitals")}
_OF_METHOD = ("thresholds.probe_cos", "thresholds.ablation_delta", "max_prompts_per_letter", "max_prompts_per_property")
#: The fields of one concept's summary that are imported.
_TAKEN = (
    *("positives", "probe_auroc", "ksparse_f1_by_k", "main_feats", "ksparse_main_k", "probe_true_positives"),
    *("num_candidates", "num_sampled", "sample_portion", "absorption_rate"),
)
_TESTED = TABLES["tested_tokens"]
_DETAIL = replace(
    _TESTED,
    columns=(
        *(
            replace(column, required=column.name in (*_TESTED.key, "top_latent", "top_effect"))
            for column in _TESTED.columns
        ),
        Column("main_silent", "BOOLEAN", ""),
    ),
)
_DETAIL_COLUMNS: Columns = {
    **same("token", "main_silent"),
    "top_latent": "top_feat",
    "top_effect": "top_ablation",
    "top_cosine": "top_cos",
    "second_effect": "second_ablation",
}
_NOTES = (
    "ig_ablation: every split latent is silent, and the latent whose removal hurts the answer most does so by more than"
    " the effect margin than any other and has at least the cosine threshold with the probe.\n"
    "Of letters the rates were published, not the tokens behind them.\n"
    "Of single concepts the model is asked whether a word has them, and answers True or False; effects are on the"
    " difference of these two logits, whose scale is not that of the letters. Candidates on which a split latent fires"
    " in the prompt are not ablated: the sample portion is the share of the others (num_split_silent) that was.\n"
    "projection-1.5, projection-2, projection-3: the share of the sampled candidates with every split latent silent on"
    " which one other latent's projection on the probe (activation times cosine) is at least so many times that of any"
    " other. It depends neither on the model's answers nor on thresholds. It is a share of the silent candidates, not"
    " of the probe's true positives: do not compare it with a rate by ablation.\n"
    "The random rate of a projection is the same share with random directions in place of the probe."
).splitlines()


def _known(value: Any) -> Any:
    """Replace NaN and infinity, which Python writes to JSON, by None."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _whole(value: Any) -> Any:
    """Convert integral floats such as 813.0 to integers."""
    value = _known(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


_Number = Annotated[float | None, BeforeValidator(_known)]
_Count = Annotated[int | None, Field(ge=0, le=INTEGER_MAX), BeforeValidator(_whole)]
_Index = Annotated[int, Field(ge=0, le=INTEGER_MAX), BeforeValidator(_whole)]
# Negative numbers are accepted here, and later reported and replaced by NULL.
_Latent = Annotated[int, Field(ge=-INTEGER_MAX, le=INTEGER_MAX), BeforeValidator(_whole)]


class _Part(BaseModel):
    """A part of a file; fields that are not declared are ignored."""

    model_config = ConfigDict(strict=True)


class _Letter(_Part):
    letter: str = Field(pattern="^[A-Za-z]$")
    absorption_rate: _Number = None
    num_absorption: _Number = None
    num_probe_true_positives: _Count = None


class _Thresholds(_Part):
    probe_cos: float | None = Field(
        default=None, ge=THRESHOLD_BOUNDS["cosine_threshold"][0], le=THRESHOLD_BOUNDS["cosine_threshold"][1]
    )
    ablation_delta: float | None = Field(
        default=None, ge=THRESHOLD_BOUNDS["effect_margin"][0], le=THRESHOLD_BOUNDS["effect_margin"][1]
    )


class _Summary(_Part):
    """The results of one SAE: for each letter, or for one concept."""

    layer: _Index
    width: _Index
    l0: _Index
    property: str | None = Field(default=None, max_length=100)
    thresholds: _Thresholds = _Thresholds()
    max_prompts_per_letter: _Count = None
    max_prompts_per_property: _Count = None
    # For letters; each item is validated separately.
    per_letter: list[Any] | None = None
    mean_absorption_rate: _Number = None
    # For one concept.
    template: str | None = Field(default=None, max_length=1000)
    positives: _Count = None
    probe_auroc: _Number = None
    ksparse_f1_by_k: dict[str, _Number] = {}
    main_feats: list[_Latent] | None = Field(default=None, max_length=100)
    ksparse_main_k: _Count = None
    probe_true_positives: _Count = None
    num_candidates: _Count = None
    num_sampled: _Count = None
    sample_portion: _Number = None
    absorption_rate: _Number = None
    note: str | None = None


class _Projections(_Part):
    property: str = Field(max_length=100)
    n_candidates: _Count = None
    n_main_silent: _Count = None
    probedir_conditioned_rate: dict[str, _Number]
    random_dir_control: dict[str, _Number] = {}


_Kind = TypeVar("_Kind", _Summary, _Projections)


class _Place(NamedTuple):
    """The fields that identify an SAE of a model."""

    layer: int
    width: int
    l0: int


@dataclass
class _Found:
    """The results of one language model.

    Attributes
    ----------
    saes : dict of _Place to str
        The id of each SAE.
    concepts : dict of str to dict
        Rows of the table concepts, by concept.
    templates : dict of str to dict of str to None
        The prompts of each family, in order.
    pieces : dict of str to list of pyarrow.Table
        Rows by table.
    checks : dict of str to Any
        Numbers that belong to no concept, for the manifest.
    claimed : dict of tuple to Path
        By SAE, concept or family, and metric: the file that is imported.
    """

    saes: dict[_Place, str]
    concepts: dict[str, dict[str, Any]] = field(default_factory=dict)
    templates: defaultdict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    pieces: defaultdict[str, list[pa.Table]] = field(default_factory=lambda: defaultdict(list))
    checks: dict[str, Any] = field(default_factory=dict)
    claimed: dict[tuple[str, ...], Path] = field(default_factory=dict)

    def claim(self, source: Source, file: Path, *key: str) -> bool:
        """Return whether `file` is the first one with results for `key`; otherwise reject it."""
        first = self.claimed.setdefault(key, file)
        if first != file:
            source.reject(file, f"{source.report.name(first)} has the same contents and is used; remove one of them")
        return first == file

    def concept(self, name: str, template: str | None) -> str | None:
        """Return the id of a property's concept, and add it to `concepts`; None if its name has no letter or digit."""
        family, short, label, phrase = _described(name, template)
        if not short:
            return None
        concept = f"{family}.{short}"
        self.concepts.setdefault(concept, {"concept": concept, "family": family, "label": label, "phrase": phrase})
        if template:
            self.templates[family][template.replace(_WORD, PLACE)] = None
        return concept


def detects(source: Source) -> bool:
    """Return whether `source` contains a summary in absorption-atlas's format."""
    files = [file for file in source.find("**/*.json") if _SUMMARY.fullmatch(file.name)]
    return any(_FORM.search(peek_json(source, file)) for file in files)


def read(source: Source, *, only: str | None = None) -> list[Findings]:
    """Read all SAEs of `source`, as one suite per language model.

    Raises
    ------
    IngestError
        If nothing can be read, or `only` is given.
    """
    if only is not None:
        message = f"{source.root}: is imported as a whole; omit --only"
        raise IngestError(message)
    summaries: defaultdict[str, dict[Path, _Summary]] = defaultdict(dict)
    projections: defaultdict[str, dict[Path, _Projections]] = defaultdict(dict)
    for file in source.find("**/*.json"):
        if _SUMMARY.fullmatch(file.name):
            if summary := _parsed(source, file, _Summary):
                summaries[_model(file)][file] = summary
        elif _PROJECTIONS.fullmatch(file.name):
            if projected := _parsed(source, file, _Projections):
                projections[_model(file)][file] = projected
        else:
            source.report.skip(file)
    read_models = [
        _read_model(source, model, summaries[model], projections[model]) for model in sorted({*summaries, *projections})
    ]
    _report_unread(source)
    found = [findings for findings in read_models if findings]
    if not found:
        because = "".join(f" ({file}: {reason})" for file, reason in source.report.rejected[:1])
        message = f"{source.root}: holds no concept that can be read{because}; give the folder of the summaries"
        raise IngestError(message)
    return found


def _report_unread(source: Source) -> None:
    """Report parquet files that no summary refers to."""
    for file in source.find("**/*.parquet"):
        name = source.report.name(file)
        if name in source.report.read or name in dict(source.report.rejected):
            continue
        if _DETAIL_FILE.fullmatch(file.name):
            source.reject(file, "the summary of its concept is missing; download it, too")
        else:
            source.report.skip(file)


def _model(file: Path) -> str:
    return next(model for ending, model in _MODELS.items() if file.parent.name.endswith(ending))


def _parsed(source: Source, file: Path, kind: type[_Kind]) -> _Kind | None:
    """Read a JSON file; if it is not of that form, reject it and return None."""
    try:
        content, parsed = read_json(source, file, lambda content: (content, kind.model_validate(content)))
    except UnreadableError as error:
        source.reject(file, str(error))
        return None
    source.report.hold(file, number_names(_without_number_keys(content)))
    return parsed


def _without_number_keys(content: Any) -> Any:
    """Turn objects whose keys are numbers (k, thresholds) into lists, so that all their values share one name."""
    if isinstance(content, list):
        return [_without_number_keys(value) for value in content]
    if not isinstance(content, dict):
        return content
    numbered = [value for key, value in content.items() if _DOMINANCE.fullmatch(key)]
    named = {key: _without_number_keys(value) for key, value in content.items() if not _DOMINANCE.fullmatch(key)}
    return [named, *numbered] if numbered else named


def _read_model(
    source: Source, model: str, summaries: dict[Path, _Summary], projections: dict[Path, _Projections]
) -> Findings | None:
    """Read the results of one language model; None if there are none."""
    summaries = _without_earlier_runs(source, summaries)
    places = sorted({_place(summary) for summary in summaries.values()})
    found = _Found(dict(zip(places, sae_ids([_facts(model, place) for place in places]), strict=True)))
    method = _method(source, summaries)
    for file, summary in summaries.items():
        sae = found.saes[_place(summary)]
        if summary.property in _OF_LETTERS:
            _read_letters(source, found, sae, file, summary)
        elif summary.per_letter is not None:
            known = " or ".join(_OF_LETTERS)
            source.reject(file, f"property: {summary.property!r} has per_letter, but is not {known}; remove the file")
        else:
            _read_concept(source, found, sae, file, summary)
    for file, projected in projections.items():
        _read_projections(source, found, file, projected)
    measurements = with_all_columns(TABLES["measurements"], *found.pieces["measurements"])
    if not measurements.num_rows:
        return None
    measured = set(measurements["sae"].to_pylist())
    detail = with_all_columns(_DETAIL, *found.pieces["tested_tokens"]).select(arrow_schema(_TESTED.columns).names)
    rows = {
        "concepts": _concepts(found),
        "measurements": measurements,
        "k_sparse": with_all_columns(TABLES["k_sparse"], *found.pieces["k_sparse"]),
        "tested_tokens": with_verdicts(detail, measurements, method),
    }
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=model,
        model=Model(name=model),
        method=method,
        saes=[Sae(sae=sae, **_facts(model, place)) for place, sae in found.saes.items() if sae in measured],
        families=_families(found),
        tables={},
        provenance=Provenance(made_by=NAME, checks=found.checks),
    )
    return Findings(manifest, {name: table for name, table in rows.items() if table.num_rows or TABLES[name].required})


def _place(summary: _Summary) -> _Place:
    return _Place(summary.layer, gemma_scope.nominal_width(summary.width), summary.l0)


def _facts(model: str, place: _Place) -> dict[str, Any]:
    """Return the metadata of an SAE, as arguments of `queries.manifest.Sae`."""
    return {
        "layer": place.layer,
        "hook": f"blocks.{place.layer}.hook_resid_post",
        "width": place.width,
        "n_latents": gemma_scope.N_LATENTS.get(place.width),
        "l0": place.l0,
        "l0_nominal": place.l0,
        "architecture": "JumpReLU",
        "neuronpedia": gemma_scope.canonical().get(place) if gemma_scope.is_model(model) else None,
    }


def _without_earlier_runs(source: Source, summaries: dict[Path, _Summary]) -> dict[Path, _Summary]:
    """Fill in the property of each summary, and omit the first run of an SAE that was measured again.

    The file name of a first run has no L0.
    """
    kept: dict[Path, _Summary] = {}
    for file, summary in summaries.items():
        found = _SUMMARY.fullmatch(file.name)
        of_gate = found is not None and found["gate"]
        complete = summary.model_copy(update={"property": "first_letter"}) if of_gate else summary
        later = file.with_name(f"{file.stem}_l0{summary.l0}.json")
        if of_gate and later in summaries and _place(summaries[later]) == _place(summary):
            source.report.skip(file)
            first, second = source.report.name(file), source.report.name(later)
            source.report.note(f"{first} is an earlier run of the SAE of {second}, which was imported in its place.")
        else:
            kept[file] = complete
    return kept


def _method(source: Source, summaries: dict[Path, _Summary]) -> Method:
    """Return the most common thresholds in the files; those of the paper if there are none."""
    counts: dict[str, Counter[float]] = {"cosine_threshold": Counter(), "effect_margin": Counter()}
    most = 0
    for file, summary in summaries.items():
        source.report.take(file, _OF_METHOD)
        named = {"cosine_threshold": summary.thresholds.probe_cos, "effect_margin": summary.thresholds.ablation_delta}
        for name, value in named.items():
            counts[name].update([] if value is None else [value])
        most = max(most, summary.max_prompts_per_letter or 0, summary.max_prompts_per_property or 0)
    for name, values in counts.items():
        if len(values) > 1:
            listed = ", ".join(f"{value:g}" for value in sorted(values))
            source.report.note(f"Files name several values of {name} ({listed}): their published rates are used.")
    notes = [f"At most {most:,} candidates of a concept were ablated."] if most else []
    # The defaults of `Method` are the paper's thresholds.
    thresholds = {name: values.most_common(1)[0][0] for name, values in counts.items() if values}
    return Method.model_validate({"metric": _METRIC, "notes": [*_NOTES, *notes], **thresholds})


def _read_letters(source: Source, found: _Found, sae: str, file: Path, summary: _Summary) -> None:
    """Import the published rate of each letter."""
    family, phrase = _OF_LETTERS[summary.property or ""]
    if summary.per_letter is None:
        source.reject(file, "per_letter: is missing; download the complete file")
        return
    if not found.claim(source, file, sae, family.family, _METRIC):
        return
    letters, invalid = [], []
    for place, record in enumerate(summary.per_letter):
        try:
            letters.append(_Letter.model_validate(record))
        except ValidationError as error:
            invalid.append(f"per_letter {place}: {first_problem(error)}")
    if invalid:
        source.report.reject(
            file, f"{len(invalid):,} letters omitted ({invalid[0]}); fix the file or download it again"
        )
    most = summary.max_prompts_per_letter
    numbers = [letter.num_absorption for letter in letters]
    # The files divide these numbers by the sampled portion, so they are numbers of tokens only if nothing was sampled.
    # They are imported for all letters or none, because a sum over some letters would be meaningless.
    are_counts = all(number is None or (number.is_integer() and 0 <= number <= (most or number)) for number in numbers)
    if not are_counts:
        source.report.note(
            "num_absorption of letters is scaled up by the sampled portion. Where it is not an integer for every"
            " letter of an SAE, only the rates are imported."
        )
    rows = []
    for letter in letters:
        short = letter.letter.lower()
        concept = f"{family.family}.{short}"
        label = short.upper()
        row = {"concept": concept, "family": family.family, "label": label, "phrase": phrase.format(label)}
        found.concepts[concept] = row | {"position": LETTERS.index(short)}
        absorbed = letter.num_absorption if are_counts else None
        rows.append(
            {
                "concept": concept,
                "absorption_rate": letter.absorption_rate,
                "num_absorbed": None if absorbed is None else int(absorbed),
                "num_probe_true_positives": letter.num_probe_true_positives,
            }
        )
    taken = ["absorption_rate", "num_probe_true_positives", *(["num_absorption"] if are_counts else [])]
    source.report.take(file, (f"per_letter.{name}" for name in taken))
    source.report.take(file, (*_Place._fields, "mean_absorption_rate"))
    if summary.mean_absorption_rate is not None:
        found.checks[f"published mean rate of {family.title.lower()} on {sae}"] = summary.mean_absorption_rate
    _add(source, found, file, "measurements", rows, sae=sae, metric=_METRIC)


def _read_concept(source: Source, found: _Found, sae: str, file: Path, summary: _Summary) -> None:
    """Import counts, probes and tested tokens of one concept."""
    concept = found.concept(summary.property or "", summary.template)
    if concept is None:
        source.reject(file, "property: names no concept; download the complete file")
        return
    if not found.claim(source, file, sae, concept, _METRIC):
        return
    if summary.note:
        source.report.note(f"{source.report.name(file)}: {summary.note}")
    source.report.take(file, (*_Place._fields, *_TAKEN))
    found.concepts[concept].setdefault("num_tokens", summary.positives)
    absorbed = _absorbed(summary)
    row = {
        "concept": concept,
        "split_latents": summary.main_feats,
        "num_split_latents": None if summary.main_feats else summary.ksparse_main_k,
        "num_probe_true_positives": summary.probe_true_positives,
        "num_split_silent": _silent(summary),
        "num_candidates": summary.num_candidates,
        "num_tested": summary.num_sampled,
        "sample_portion": summary.sample_portion,
        "num_absorbed": absorbed,
        "absorption_rate": summary.absorption_rate if absorbed is None else None,
        "probe_auc": summary.probe_auroc,
    }
    _add(source, found, file, "measurements", [row], sae=sae, metric=_METRIC)
    ranked = dict(enumerate(summary.main_feats or (), 1))
    numbers = {int(k): f1 for k, f1 in summary.ksparse_f1_by_k.items() if _K.fullmatch(k)}
    steps = [{"concept": concept, "k": k, "latent": ranked.get(k), "f1": f1} for k, f1 in numbers.items()]
    _add(source, found, file, "k_sparse", steps, sae=sae)
    detail = file.with_name(f"{file.stem.replace('summary', 'absorption_detail', 1)}.parquet")
    if source.has(detail):
        _read_detail(source, found, detail, sae, concept)


def _absorbed(summary: _Summary) -> int | None:
    """Return the number of tested tokens that were absorbed, if it can be computed from the published rate."""
    rate, probe, portion = summary.absorption_rate, summary.probe_true_positives, summary.sample_portion
    if rate == 0:
        return 0
    if rate is None or probe is None or portion is None or not (0 <= rate <= 1 and 0 < portion <= 1):
        return None
    number = rate * probe * portion
    return round(number) if math.isclose(number, round(number), rel_tol=1e-6) else None


def _silent(summary: _Summary) -> int | None:
    """Return the number of candidates with every split latent silent, of which the tested ones are a sample."""
    tested, portion = summary.num_sampled, summary.sample_portion
    if tested is None or portion is None or not 0 < portion <= 1 or tested / portion > INTEGER_MAX:
        return None
    return round(tested / portion)


def _read_detail(source: Source, found: _Found, file: Path, sae: str, concept: str) -> None:
    """Import the tested tokens of one concept."""
    rows = source.read(file, _DETAIL, _DETAIL_COLUMNS, sae=sae, concept=concept, metric=_METRIC)
    if rows is None:
        return
    source.report.take(file, ("main_silent",))
    silent = rows.filter(pc.fill_null(rows["main_silent"], fill_value=False))
    if left := rows.num_rows - silent.num_rows:
        source.report.reject(
            file,
            f"{left:,} rows omitted: a split latent fires on them, and no column says which; they are not absorbed",
        )
    found.pieces["tested_tokens"].append(silent)


def _read_projections(source: Source, found: _Found, file: Path, projected: _Projections) -> None:
    """Import the rates by projection of one concept; those of all letters together become checks."""
    named = _PROJECTIONS.fullmatch(file.name)
    l0 = int(named["l0"]) if named and named["l0"] else None
    saes = [sae for place, sae in found.saes.items() if l0 in (None, place.l0)]
    if len(saes) != 1:
        reason = "no summary names its SAE" if not saes else "summaries name several SAEs of its L0"
        source.reject(file, f"{reason}; put it with the summary of its SAE alone")
        return
    (sae,) = saes
    rates = {
        f"projection-{float(threshold):g}": (rate, projected.random_dir_control.get(threshold))
        for threshold, rate in projected.probedir_conditioned_rate.items()
        if _DOMINANCE.fullmatch(threshold)
    }
    source.report.take(file, _Projections.model_fields)
    if projected.property in _OF_LETTERS:
        of = f"all {_OF_LETTERS[projected.property][0].title.lower()} on {sae}"
        if found.claim(source, file, sae, projected.property, "projection"):
            found.checks[f"candidates of {of}"] = projected.n_candidates
            found.checks[f"candidates of {of} with every split latent silent"] = projected.n_main_silent
            for metric, (rate, random) in rates.items():
                found.checks[f"{metric}, rate of {of}"] = rate
                found.checks[f"{metric}, random rate of {of}"] = random
        return
    concept = found.concept(projected.property, None)
    if concept is None:
        source.reject(file, "property: names no concept; download the complete file")
        return
    if not found.claim(source, file, sae, concept, "projection"):
        return
    rows = [
        {
            "concept": concept,
            "metric": metric,
            "absorption_rate": rate,
            "random_rate": random,
            "num_candidates": projected.n_candidates,
            "num_split_silent": projected.n_main_silent,
        }
        for metric, (rate, random) in rates.items()
    ]
    _add(source, found, file, "measurements", rows, sae=sae)


def _add(source: Source, found: _Found, file: Path, name: str, rows: list[dict[str, Any]], **constants: str) -> None:
    """Validate rows of a file against the contract of their table, and keep those that conform."""
    table = TABLES[name]
    if not rows:
        return
    columns = arrow_schema(table.column(column) for column in rows[0])
    given = with_constants(table, pa.Table.from_pylist(rows, columns), **constants)
    kept = source.conform(file, table, {column: given[column] for column in given.column_names})
    if kept is not None:
        found.pieces[name].append(kept)


def _described(name: str, template: str | None) -> tuple[str, str, str, str]:
    """Return family, name, label and phrase of the concept of a property."""
    if name in _CAPITALS:
        return "capital", *_CAPITALS[name]
    if suffix := _SUFFIX.fullmatch(name):
        return "suffix", suffix[1], f"-{suffix[1]}", f"ends in -{suffix[1]}"
    label = name.replace("_", " ")
    phrase = template.replace(_WORD, "").strip(" :") if template and template.startswith(_WORD) else ""
    return "property", "-".join(_SLUG.findall(name.lower())), label, phrase or f"has the property {label}"


def _concepts(found: _Found) -> pa.Table:
    """Make the table concepts, with each concept's position in its family."""
    order = [f"capital.{short}" for short, _, _ in _CAPITALS.values()]
    places: Counter[str] = Counter()
    rows = []
    for concept in sorted(found.concepts, key=lambda one: (order.index(one) if one in order else len(order), one)):
        row = found.concepts[concept]
        rows.append({"position": places[row["family"]], "num_tokens": None} | row)
        places[row["family"]] += 1
    return pa.Table.from_pylist(rows, arrow_schema(TABLES["concepts"].columns))


def _families(found: _Found) -> list[Family]:
    """List the families of the concepts, with their prompts."""
    used = {row["family"] for row in found.concepts.values()}
    every = [*(family for family, _ in _OF_LETTERS.values()), *_FAMILIES]
    return [
        family.model_copy(update={"prompt": "\n".join(found.templates[family.family]) or None})
        for family in every
        if family.family in used
    ]
