"""Which files of SAEBench belong to which SAE, and what its JSON files say of the SAE itself."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel
from pydantic_core import from_json

from ingest import gemma_scope, limits
from ingest.files import UnreadableError, reading
from ingest.source import parse_width
from queries.manifest import MAX_LATENTS, Neuronpedia
from queries.schema import INTEGER_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ingest.source import Source

_Parsed = TypeVar("_Parsed")

ABSORPTION = "absorption_first_letter"
_CORE = "core"
_RESULTS = "_eval_results.json"
_RECORDS = "_k_sparse_probing.json"
#: In the path of a table, the name of the SAE, which may hold slashes, stands twice.
_TABLE = re.compile(
    r"(?:.*/)?(?P<sae>[^/].*)/layer_(?P<layer>[0-9]{1,9})_(?P=sae)(?:_(?P<kind>metrics|metadata|raw_results))?\.parquet"
)
_EVAL_TYPE = re.compile(rb'"eval_type_id"\s*:\s*"([^"]*)"')
_LAYER = re.compile(r"(?:blocks\.|layer[_-])([0-9]{1,9})(?![0-9])")
_WIDTH = re.compile(r"width[_-](?:2pow([12]?[0-9])|([0-9]{1,5}k|[0-9]{1,2}m))(?![0-9])")


class _Config(BaseModel):
    model_name: str | None = None
    f1_jump_threshold: float | None = None


class _Eval(BaseModel):
    """What every evaluation says of its SAE; older files say less."""

    eval_config: _Config = _Config()
    sae_lens_id: str | None = None
    sae_lens_release_id: str | None = None
    sae_bench_commit_hash: str | None = None
    sae_cfg_dict: dict[str, Any] | None = None

    @property
    def sae_name(self) -> str | None:
        """The SAE's name, where the file gives both parts of it."""
        parts = (self.sae_lens_release_id, self.sae_lens_id)
        return "/".join(filter(None, parts)) if all(parts) else None


class _Absorption(_Eval):
    eval_result_details: list[dict[str, Any]]


class _Sparsity(BaseModel):
    l0: float | None = None


class _CoreMetrics(BaseModel):
    sparsity: _Sparsity = _Sparsity()


class _Core(_Eval):
    eval_result_metrics: _CoreMetrics = _CoreMetrics()


_EVALS: dict[str | None, Callable[[bytes], _Absorption | _Core]] = {
    ABSORPTION: _Absorption.model_validate_json,
    _CORE: _Core.model_validate_json,
}


@dataclass
class SaeFiles:
    """One SAE as its files tell it.

    Attributes
    ----------
    name : str
        release/sae_id; where no results tell them apart, both as the files' names join them.
    files : dict of str to Path
        "absorption_first_letter" and "core" (results), "records" (of k-sparse probing), all JSON; the tables "tested",
        "metrics", "metadata" and "raw_results".
    evals : list of _Eval
        The results, those of absorption first.
    layer_in_path : int, optional
        The layer that the tables' names tell.
    """

    name: str
    files: dict[str, Path] = field(default_factory=dict)
    evals: list[_Eval] = field(default_factory=list)
    layer_in_path: int | None = None

    @property
    def details(self) -> list[dict[str, Any]]:
        """The published numbers of each letter."""
        return next((one.eval_result_details for one in self.evals if isinstance(one, _Absorption)), [])

    @property
    def config(self) -> dict[str, Any]:
        """What the SAE says of itself; newer ones say part of it under metadata."""
        said = next((one.sae_cfg_dict for one in self.evals if one.sae_cfg_dict), {})
        metadata = said.get("metadata")
        known = {name: value for name, value in said.items() if value is not None}
        return metadata | known if isinstance(metadata, dict) else known

    @property
    def model(self) -> str | None:
        """The language model."""
        names = (self.config.get("model_name"), *(one.eval_config.model_name for one in self.evals))
        return next((str(name) for name in names if name), None)

    def text(self, name: str) -> str | None:
        """Return what the SAE says of itself under `name`, where that is a word."""
        said = self.config.get(name)
        return said if isinstance(said, str) else None

    @property
    def layer(self) -> int | None:
        """The layer, from the first that tells it."""
        found = (_LAYER.search(str(self.config.get("hook_name"))), _LAYER.search(self.name))
        told = (_count(self.config.get("hook_layer")), self.layer_in_path, *(int(one[1]) for one in found if one))
        return next((layer for layer in told if layer is not None), None)

    @property
    def n_latents(self) -> int | None:
        """Number of latents: as described, or else as the name says."""
        width = _WIDTH.search(self.name)
        if said := _count(self.config.get("d_sae")):
            return said
        if width is None:
            return None
        return 2 ** int(width[1]) if width[1] else gemma_scope.count_latents(parse_width(width[2]), -1)

    @property
    def l0(self) -> float | None:
        """The measured L0; the core evaluation writes -1 where it did not measure."""
        told = (one.eval_result_metrics.sparsity.l0 for one in self.evals if isinstance(one, _Core))
        return next((l0 for l0 in told if l0 is not None and 0 <= l0 <= MAX_LATENTS), None)

    @property
    def tau(self) -> float | None:
        """The rise in F1 that a further split latent had to bring."""
        told = (one.eval_config.f1_jump_threshold for one in self.evals if isinstance(one, _Absorption))
        return next((tau for tau in told if tau is not None and 0 <= tau <= 1), None)

    @property
    def version(self) -> str | None:
        """The version of SAEBench that measured absorption."""
        commits = (one.sae_bench_commit_hash for one in self.evals if isinstance(one, _Absorption))
        return next((f"sae_bench {commit[:7]}" for commit in commits if commit), None)

    @property
    def neuronpedia(self) -> Neuronpedia | None:
        """Where Neuronpedia hosts it, if it says so itself."""
        model, _, source = str(self.config.get("neuronpedia_id") or "").partition("/")
        return Neuronpedia(model=model, source=source) if model and source and "/" not in source else None


def holds_absorption(source: Source) -> bool:
    """Tell whether `source` holds anything of the absorption evaluation."""
    return (
        any(_tables(source))
        or bool(source.find(f"**/*{_RECORDS}"))
        or any(_eval_type(source, file) == ABSORPTION for file in source.find(f"**/*{_RESULTS}"))
    )


def collect(source: Source) -> list[SaeFiles]:
    """Find every SAE that has anything of the absorption evaluation, in the order of their names."""
    saes: dict[str, SaeFiles] = {}

    def of(name: str, kind: str, file: Path) -> SaeFiles | None:
        """Note that `file` is of the SAE called `name`, unless it has such a file already."""
        sae = saes.setdefault(_joined(name), SaeFiles(name))
        if kind in sae.files:
            first = source.report.name(sae.files[kind])
            source.reject(file, f"{first} holds the same of this SAE and is taken; remove one of them")
            return None
        sae.files[kind] = file
        return sae

    for file, results in _evals(source):
        name = results.sae_name or file.name.removesuffix(_RESULTS)
        if sae := of(name, _CORE if isinstance(results, _Core) else ABSORPTION, file):
            sae.evals = sorted([*sae.evals, results], key=lambda one: isinstance(one, _Core))
            sae.name = name if "/" in name else sae.name
    for file, table in _tables(source):
        if sae := of(table["sae"], table["kind"] or "tested", file):
            sae.layer_in_path = int(table["layer"])
    for file in source.find(f"**/*{_RECORDS}"):
        of(file.name.removesuffix(_RECORDS), "records", file)
    for sae in saes.values():
        if sae.files.keys() == {_CORE}:
            source.report.skip(*sae.files.values())
    return sorted((sae for sae in saes.values() if sae.files.keys() != {_CORE}), key=lambda sae: sae.name)


def _joined(name: str) -> str:
    """Write release and id as files' names join them, slashes replaced."""
    return name.replace("/", "_")


def _count(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= INTEGER_MAX:
        return value
    return None


def _tables(source: Source) -> Iterator[tuple[Path, re.Match[str]]]:
    for file in source.find("**/*.parquet"):
        if found := _TABLE.fullmatch(file.relative_to(source.root.parent).as_posix()):
            yield file, found


def _eval_type(source: Source, file: Path) -> str | None:
    """Return which evaluation wrote `file`, without parsing it: those of other evaluations are large."""
    try:
        with reading(source.root, file, "JSON file", limits.JSON) as stream:
            found = _EVAL_TYPE.search(stream.read())
    except UnreadableError:
        return None
    return found[1].decode("utf-8", "replace") if found else None


def _evals(source: Source) -> Iterator[tuple[Path, _Absorption | _Core]]:
    """Read the results of the absorption and core evaluations, and pass over those of others."""
    for file in source.find(f"**/*{_RESULTS}"):
        kind = _eval_type(source, file)
        results: _Absorption | _Core | None = None
        try:
            if kind in _EVALS:
                results = read_json(source, file, _EVALS[kind])
            elif kind is None:
                read_json(source, file, from_json)
        except UnreadableError as error:
            source.reject(file, str(error))
            continue
        if results is None:
            source.report.skip(file)
        else:
            yield file, results


def read_json(source: Source, file: Path, parse: Callable[[bytes], _Parsed]) -> _Parsed:
    """Parse a JSON file of no more values than memory is there for; UnreadableError where it is none."""
    with source.opened(file, "JSON file", limits.JSON) as stream:
        content = stream.read()
        if sum(map(content.count, (b",", b"[", b"{"))) > limits.JSON_VALUES:
            message = f"holds more than {limits.JSON_VALUES:,} values; leave out what is not of the evaluation"
            raise UnreadableError(message)
        return parse(content)
