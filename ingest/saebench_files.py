"""Group SAEBench's files by SAE, and read the metadata of SAEs from its JSON files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from ingest import gemma_scope
from ingest.files import UnreadableError
from ingest.json_files import read_json
from ingest.saebench_results import (
    ABSORPTION,
    CORE,
    Absorption,
    Core,
    CoreMetrics,
    eval_type,
    read_absorption,
    read_core,
)
from ingest.source import parse_width
from queries.manifest import BIGINT_MAX, MAX_LATENTS, MAX_SCORE, Neuronpedia
from queries.schema import INTEGER_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ingest.source import Source

#: The core evaluation's value for what it did not measure.
UNKNOWN = -1
_RESULTS = "_eval_results"
#: Maximum length of an attribute of an SAE, in characters, and maximum number of attributes.
_SHORT = 200
_MOST = 100
_RECORDS = "_k_sparse_probing.json"
#: The path of a table contains the name of the SAE, which may contain slashes, twice.
_TABLE = re.compile(
    r"(?:.*/)?(?P<sae>[^/].*)/layer_(?P<layer>[0-9]{1,9})_(?P=sae)(?:_(?P<kind>metrics|metadata|raw_results))?\.parquet"
)
_LAYER = re.compile(r"(?:blocks\.|layer[_-])([0-9]{1,9})(?![0-9])")
_HOOK = re.compile(r"blocks\.[0-9]{1,9}\.(?:hook_(?:resid_(?:pre|mid|post)|mlp_out|attn_out)|attn\.hook_z)")
#: Trainers in names of SAEs, and the names that SAEBench uses for some of them.
_TRAINER = re.compile(
    r"(?<![A-Za-z])(matryoshka_?batch_?topk|batch_?topk|topk|jumprelu|gated|p_?anneal)(?:sae|trainer)?(?![A-Za-z])"
)
_ARCHITECTURES = {"matryoshkabatchtopk": "matryoshka_batch_topk", "batchtopk": "batch_topk", "panneal": "p_anneal"}
#: Fields of an SAE's configuration that have their own column, or are not about the SAE.
_USED = {
    *("model_name", "hook_name", "hook_layer", "d_sae", "architecture", "neuronpedia_id", "training_tokens", "seed"),
    *("device", "metadata"),
}
#: Nominal widths from this one on are rounded to thousands.
_THOUSANDS_FROM = 10_000
_WIDTH = re.compile(r"width[_-](?:2pow([12]?[0-9])|([0-9]{1,5}k|[0-9]{1,2}m))(?![0-9])")


@dataclass
class SaeFiles:
    """One SAE and its files.

    Attributes
    ----------
    name : str
        release/sae_id; without results, both as they are joined in file names.
    files : dict of str to Path
        "absorption_first_letter" and "core" (results), "records" (of k-sparse probing), all JSON; the tables "tested",
        "metrics", "metadata" and "raw_results".
    evals : list of Absorption and Core
        The results, those of absorption first.
    layer_in_path : int, optional
        The layer in the file names of its tables.
    layer_in_rows : int, optional
        The layer in the rows of its tables.
    """

    name: str
    files: dict[str, Path] = field(default_factory=dict)
    evals: list[Absorption | Core] = field(default_factory=list)
    layer_in_path: int | None = None
    layer_in_rows: int | None = None

    @property
    def absorption(self) -> Absorption | None:
        """The results of the absorption evaluation."""
        return next((one for one in self.evals if isinstance(one, Absorption)), None)

    @property
    def core(self) -> Core | None:
        """The results of the core evaluation."""
        return next((one for one in self.evals if isinstance(one, Core)), None)

    @property
    def _metrics(self) -> CoreMetrics:
        return self.core.eval_result_metrics if self.core else CoreMetrics()

    @property
    def config(self) -> dict[str, Any]:
        """The SAE's configuration; that of newer ones has a part of the fields under metadata."""
        cfg = next((one.sae_cfg_dict for one in self.evals if one.sae_cfg_dict), {})
        metadata = cfg.get("metadata")
        known = {name: value for name, value in cfg.items() if value is not None}
        return metadata | known if isinstance(metadata, dict) else known

    @property
    def model(self) -> str | None:
        """The language model."""
        names = (self.config.get("model_name"), *(one.eval_config.model_name for one in self.evals))
        given = next((str(name) for name in names if name), None)
        return given or (self.in_gemma_scope.model if self.in_gemma_scope else None)

    def _text(self, name: str) -> str | None:
        """Return the field `name` of the SAE's configuration if it is a non-empty text."""
        value = self.config.get(name)
        return value if isinstance(value, str) and value else None

    @property
    def hook(self) -> str | None:
        """The hook point that it was trained on."""
        found = _HOOK.search(self.name)
        named = self.in_gemma_scope.hook if self.in_gemma_scope else found[0] if found else None
        return self._text("hook_name") or named

    @property
    def architecture(self) -> str | None:
        """SAEBench's name of its architecture."""
        if self.in_gemma_scope:
            return self._text("architecture") or "jumprelu"
        found = _TRAINER.search(self.name.lower())
        trainer = found[1].replace("_", "") if found else None
        return self._text("architecture") or (_ARCHITECTURES.get(trainer, trainer) if trainer else None)

    @property
    def attributes(self) -> dict[str, str]:
        """Other fields of its configuration whose values are short texts, numbers or booleans."""
        plain = (
            (name, str(value))
            for name, value in sorted(self.config.items())
            if name not in _USED and _is_plain(name) and _is_plain(value)
        )
        return dict(islice(plain, _MOST))

    @property
    def tokens_seen(self) -> int | None:
        """Number of tokens it was trained on; SAEBench writes -1 if unknown."""
        return whole(self.config.get("training_tokens"), BIGINT_MAX) or None

    @property
    def seed(self) -> int | None:
        """The seed that it was trained with."""
        return whole(self.config.get("seed"))

    @property
    def in_gemma_scope(self) -> gemma_scope.Place | None:
        """The SAE of Gemma Scope with this name, if there is one."""
        return gemma_scope.place(self.name)

    @property
    def layer(self) -> int | None:
        """The layer, from the first source that has it."""
        found = (_LAYER.search(str(self.config.get("hook_name"))), _LAYER.search(self.name))
        layers = (
            whole(self.config.get("hook_layer")),
            self.layer_in_path,
            *(int(one[1]) for one in found if one),
            *(whole(one.eval_config.layer) for one in self.evals),
            self.layer_in_rows,
        )
        return next((layer for layer in layers if layer is not None), None)

    def width(self, highest: int) -> dict[str, Any]:
        """Return nominal width, number of latents, and whether that is exact or estimated from the `highest` latent."""
        exact, found = whole(self.config.get("d_sae"), MAX_LATENTS), _WIDTH.search(self.name)
        if found and found[1] and not exact:
            exact = whole(2 ** int(found[1]), MAX_LATENTS)
        if exact:
            nominal = gemma_scope.nominal_width(exact)
            width = nominal // 1000 * 1000 if nominal >= _THOUSANDS_FROM else nominal
            return {"width": width, "n_latents": exact, "n_latents_counted": True}
        named = whole(parse_width(found[2]), MAX_LATENTS) if found and found[2] else None
        if named:
            n_latents = gemma_scope.count_latents(named, highest)
            is_counted = gemma_scope.is_counted(named, n_latents)
            return {"width": named, "n_latents": n_latents, "n_latents_counted": is_counted}
        return {"width": None, "n_latents": highest + 1 or None, "n_latents_counted": False}

    @property
    def l0(self) -> float | None:
        """The measured L0."""
        return _measured(0, MAX_LATENTS, self._metrics.sparsity.l0)

    @property
    def variance_explained(self) -> float | None:
        """Share of the variance that the SAE's reconstruction explains."""
        return _score(self._metrics.reconstruction_quality.explained_variance)

    @property
    def has_legacy_variance(self) -> bool:
        """Whether the variance explained was computed with SAEBench's first formula, which it now calls incorrect."""
        legacy = self._metrics.reconstruction_quality.explained_variance_legacy
        return self.variance_explained is not None and legacy is None

    @property
    def loss_recovered(self) -> float | None:
        """Share of the model's loss that the SAE's reconstruction recovers."""
        return _score(self._metrics.model_performance_preservation.ce_loss_score)

    @property
    def dead_fraction(self) -> float | None:
        """Share of latents that never fired in the core evaluation."""
        alive = _measured(0, 1, self._metrics.misc_metrics.frac_alive)
        return None if alive is None else 1 - alive

    @property
    def tau(self) -> float | None:
        """The minimum F1 gain of a further split latent."""
        return _measured(0, 1, self.absorption.eval_config.f1_jump_threshold) if self.absorption else None

    @property
    def version(self) -> str | None:
        """The version of SAEBench that measured absorption, as far as it can be inferred from the results."""
        return self.absorption.version if self.absorption else None

    @property
    def neuronpedia(self) -> Neuronpedia | None:
        """Its id on Neuronpedia, from its configuration or the list of Gemma Scope's SAEs."""
        model, _, source = str(self.config.get("neuronpedia_id") or "").partition("/")
        if model and source and "/" not in source:
            return Neuronpedia(model=model, source=source)
        return self.in_gemma_scope.neuronpedia if self.in_gemma_scope else None


def _is_plain(value: object) -> bool:
    """Return whether a value is a boolean, a short text or a number in the integer range."""
    match value:
        case bool():
            return True
        case str():
            return 0 < len(value) <= _SHORT
        case int() | float():
            return abs(value) <= INTEGER_MAX  # NaN is not, either
        case _:
            return False


def _score(value: float | None) -> float | None:
    return None if value == UNKNOWN else _measured(-MAX_SCORE, MAX_SCORE, value)


def _measured(least: float, most: float, value: float | None) -> float | None:
    """Return a number within bounds; None for other values and NaN, which mean that it was not measured."""
    return value if value is not None and least <= value <= most else None


def holds_absorption(source: Source) -> bool:
    """Return whether `source` contains any file of the absorption evaluation."""
    return (
        any(_tables(source))
        or bool(source.find(f"**/*{_RECORDS}"))
        or any(eval_type(source, file) == ABSORPTION for file in source.find("**/*.json"))
    )


def collect(source: Source) -> list[SaeFiles]:
    """Find all SAEs with files of the absorption evaluation, sorted by name."""
    saes: dict[str, SaeFiles] = {}

    def add(name: str, kind: str, file: Path) -> SaeFiles | None:
        """Add `file` to the SAE called `name`; reject it and return None if the SAE already has such a file."""
        sae = saes.setdefault(_joined(name), SaeFiles(name))
        if kind in sae.files:
            first = source.report.name(sae.files[kind])
            source.reject(file, f"{first} has the same data on this SAE and is used; remove one of them")
            return None
        sae.files[kind] = file
        return sae

    for file, results in _evals(source):
        name = results.sae_name or results.sae_lens_id or file.name.removesuffix(".json").removesuffix(_RESULTS)
        if sae := add(name, CORE if isinstance(results, Core) else ABSORPTION, file):
            sae.evals = sorted([*sae.evals, results], key=lambda one: isinstance(one, Core))
            sae.name = name if "/" in name else sae.name
    for file, table in _tables(source):
        if sae := add(table["sae"], table["kind"] or "tested", file):
            sae.layer_in_path = int(table["layer"])
    for file in source.find(f"**/*{_RECORDS}"):
        add(file.name.removesuffix(_RECORDS), "records", file)
    for sae in saes.values():
        if sae.files.keys() == {CORE}:
            source.report.skip(*sae.files.values())
    return sorted((sae for sae in saes.values() if sae.files.keys() != {CORE}), key=lambda sae: sae.name)


def _joined(name: str) -> str:
    """Join release and id as in file names, with slashes replaced."""
    return name.replace("/", "_")


def whole(value: object, most: int = INTEGER_MAX) -> int | None:
    """Return an integer from 0 to `most`, also from an integral float; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        return None
    return int(value) if value == int(value) else None


def _tables(source: Source) -> Iterator[tuple[Path, re.Match[str]]]:
    for file in source.find("**/*.parquet"):
        if found := _TABLE.fullmatch(file.relative_to(source.root.parent).as_posix()):
            yield file, found


def _evals(source: Source) -> Iterator[tuple[Path, Absorption | Core]]:
    """Read the results of the absorption and core evaluations, and skip those of others."""
    for file in source.find("**/*.json"):
        if file.name.endswith(_RECORDS):
            continue
        kind = eval_type(source, file)
        try:
            if kind == ABSORPTION:
                yield from ((file, results) for results in read_absorption(source, file))
            elif kind == CORE:
                yield file, read_core(source, file)
            else:
                if kind is None:
                    read_json(source, file, bool)  # whether it is JSON at all
                source.report.skip(file)
        except UnreadableError as error:
            source.reject(file, str(error))
