"""SAEBench's result files: all formats that its evaluations absorption and core have had.

========================  ==============================================================================================
from 5 October 2024       one file for several SAEs: ``custom_eval_results`` by SAE and letter, ``custom_eval_config``
from 11 October 2024      the same, with letters called ``absorption_first_letter_a``
from 16 October 2024      one file per SAE: ``eval_results`` by letter, ``eval_type_id`` "absorption"; another file has
                          those of all SAEs, by name
from 24 October 2024      ``eval_result_details``, a list of letters; ``eval_type_id`` "absorption_first_letter"
from 28 November 2024     the same with ``sae_cfg_dict``
from 13 January 2025      ``num_absorption`` and ``absorption_rate`` are called ``num_full_absorption`` and
                          ``full_absorption_rate``, and there is an absorption fraction
========================  ==============================================================================================

The results of core, from 26 October 2024, had lists in place of a record per latent until 4 November 2024. Until 7
March 2025 (in files without ``explained_variance_legacy``), their variance explained was averaged over tokens.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from ingest.files import UnreadableError
from ingest.json_files import number_names, peek_json, read_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ingest.source import Source

ABSORPTION = "absorption_first_letter"
CORE = "core"
_OLD_ABSORPTION = "absorption"
_EVAL_TYPE = re.compile(rb'"eval_type_id"\s*:\s*"([^"]*)"')
#: The start of all keys of results, except in files for several SAEs.
_RESULTS = b"eval_result"
_BY_SAE = re.compile(rb'"custom_eval_results"\s*:')
_COUNT = re.compile(rb'"num_absorption"\s*:')
_LETTER = re.compile(r"(?:absorption_first_letter_)?([a-zA-Z])")
_DETAILS = "eval_result_details"
#: The fields per latent that are imported from the results of core.
_OF_LATENT = ("index", "feature_density", "encoder_decoder_cosine_sim")


class _Part(BaseModel, extra="allow"):
    """A part of a result file. Declared fields are read; others are kept, to be named in the report."""

    def unread(self, name: str = "") -> set[str]:
        """Return the paths of the numbers that are not read."""
        names = number_names(self.model_extra or {}, name)
        for key, value in self:
            if isinstance(value, _Part):
                names |= value.unread(f"{name}.{key}" if name else key)
        return names


class _Config(_Part):
    model_name: str | None = None
    f1_jump_threshold: float | None = None
    layer: Any = None
    min_GT_probe_f1: Any = None  # noqa: N815 - SAEBench's name


class _Results(_Part):
    """The fields about the SAE in results of all evaluations; older files have fewer."""

    eval_config: _Config = _Config()
    sae_lens_id: str | None = None
    sae_lens_release_id: str | None = None
    sae_cfg_dict: dict[str, Any] | None = None

    @property
    def sae_name(self) -> str | None:
        """The SAE's name, release/id; None if one of them is missing."""
        parts = (self.sae_lens_release_id, self.sae_lens_id)
        return "/".join(filter(None, parts)) if all(parts) else None


class Absorption(_Results):
    """Results of the absorption evaluation."""

    eval_result_details: list[dict[str, Any]]

    @property
    def version(self) -> str | None:
        """The version of SAEBench, inferred from the fields.

        The field sae_bench_commit_hash is not used: it is the commit of the folder that SAEBench was started in.
        """
        fields = {name for detail in self.eval_result_details for name in detail}
        if self.eval_config.min_GT_probe_f1 is not None:
            return "SAEBench since 2025-03-30"
        if "mean_absorption_fraction" in fields:
            return "SAEBench since 2025-01-13"
        return "SAEBench before 2025-01-13" if "num_absorption" in fields else None


class _Sparsity(_Part):
    l0: float | None = None


class _Reconstruction(_Part):
    explained_variance: float | None = None
    explained_variance_legacy: float | None = None


class _Performance(_Part):
    ce_loss_score: float | None = None


class _Misc(_Part):
    frac_alive: float | None = None


class CoreMetrics(_Part):
    """The metrics of the core evaluation that are read, by SAEBench's names."""

    sparsity: _Sparsity = _Sparsity()
    reconstruction_quality: _Reconstruction = _Reconstruction()
    model_performance_preservation: _Performance = _Performance()
    misc_metrics: _Misc = _Misc()


class Core(_Results):
    """Results of the core evaluation; `latents` has a list with the values of all latents per field."""

    eval_result_metrics: CoreMetrics = CoreMetrics()
    latents: dict[str, list[Any]] = {}


def eval_type(source: Source, file: Path) -> str | None:
    """Return the evaluation that wrote `file`, without parsing it, because those of other evaluations are large."""
    content = peek_json(source, file)
    if _RESULTS not in content:
        return None
    if _BY_SAE.search(content) and _COUNT.search(content):
        return ABSORPTION
    found = _EVAL_TYPE.search(content)
    kind = found[1].decode("utf-8", "replace") if found else None
    return ABSORPTION if kind == _OLD_ABSORPTION else kind


def read_absorption(source: Source, file: Path) -> list[Absorption]:
    """Read results of absorption, of one SAE or several; UnreadableError if they have none of SAEBench's formats."""
    found = read_json(source, file, lambda content: [*map(Absorption.model_validate, _each(content))])
    for results in found:
        source.report.hold(file, number_names(results.eval_result_details, _DETAILS))
        _report(source, file, results)
    return found


def read_core(source: Source, file: Path) -> Core:
    """Read results of core; UnreadableError if there are none."""

    def parse(content: Any) -> Core:
        if not isinstance(content, dict):
            return Core.model_validate(content)
        # There are very many latents, so the fields that are not read are freed at once.
        details = content.pop(_DETAILS, None)
        source.report.hold(file, number_names(details, _DETAILS))
        return Core.model_validate(content | {"latents": _by_name(details)})

    results = read_json(source, file, parse)
    _report(source, file, results)
    source.report.take(file, (f"{_DETAILS}.{name}" for name in results.latents))
    return results


def _report(source: Source, file: Path, results: _Results) -> None:
    """Report the numbers of `results` that are not read."""
    cfg = results.sae_cfg_dict or {}
    source.report.hold(file, results.unread() | number_names(cfg, "sae_cfg_dict"))
    # All fields with a short text or a number become attributes.
    metadata = cfg.get("metadata")
    source.report.take(file, (f"sae_cfg_dict.{name}" for name in cfg))
    source.report.take(file, (f"sae_cfg_dict.metadata.{name}" for name in metadata or () if isinstance(metadata, dict)))


def _by_name(details: Any) -> dict[str, list[Any]]:
    """Return the fields that are read of each latent as lists; in the first format, the details are lists already."""
    records = [one for one in details if isinstance(one, dict)] if isinstance(details, list) else []
    if len(records) == 1 and any(isinstance(value, list) for value in records[0].values()):
        lists = {name: records[0][name] for name in _OF_LATENT if isinstance(records[0].get(name), list)}
        length = max(map(len, lists.values()), default=0)
        whole = {name: values for name, values in lists.items() if len(values) == length}
        return {"index": list(range(length))} | whole
    return {name: [one.get(name) for one in records] for name in _OF_LATENT if any(name in one for one in records)}


def _each(content: Any) -> Iterator[Any]:
    """Yield the results of each SAE in the current format."""
    if "custom_eval_results" in _object(content):
        config = _object(content.get("custom_eval_config", {}))
        releases = _object(config.get("selected_saes_dict", {}))
        for name, letters in _object(content["custom_eval_results"]).items():
            of_sae = [release for release, names in releases.items() if isinstance(names, list) and name in names]
            yield {
                "eval_config": config,
                "sae_lens_id": name,
                "sae_lens_release_id": of_sae[0] if len(of_sae) == 1 else None,
                "sae_cfg_dict": content.get("sae_cfg_dict"),
                **_as_list(letters),
            }
    elif "eval_type_id" in content or _DETAILS in content:
        yield _modern(content)
    else:
        yield from map(_modern, content.values())


def _modern(content: Any) -> Any:
    """Return the results of one SAE in the current format; formerly, letters were an object rather than a list."""
    if _DETAILS in _object(content) or "eval_results" not in content:
        return content
    kept = {name: value for name, value in content.items() if name != "eval_results"}
    return kept | {"sae_lens_release_id": content.get("sae_lens_release"), **_as_list(content["eval_results"])}


def _as_list(letters: Any) -> dict[str, Any]:
    """Convert an object with letters and their means to a list of letters."""
    found = {name: _LETTER.fullmatch(name) for name in _object(letters)}
    return {
        _DETAILS: [{"first_letter": letter[1], **_object(letters[name])} for name, letter in found.items() if letter],
        "eval_result_metrics": {name: letters[name] for name, letter in found.items() if not letter},
    }


def _object(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise UnreadableError("has another type where SAEBench has an object; download it again")
    return content
