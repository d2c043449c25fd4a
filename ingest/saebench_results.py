"""SAEBench's result files: every form in which it ever wrote those of its evaluations absorption and core.

========================  ==============================================================================================
from 5 October 2024       one file for several SAEs: ``custom_eval_results`` by SAE and letter, ``custom_eval_config``
from 11 October 2024      the same, its letters called ``absorption_first_letter_a``
from 16 October 2024      one file for each SAE: ``eval_results`` by letter, ``eval_type_id`` "absorption"; one more
                          file has these of all SAEs, by name
from 24 October 2024      ``eval_result_details``, a list of letters; ``eval_type_id`` "absorption_first_letter"
from 28 November 2024     the same with ``sae_cfg_dict``
from 13 January 2025      ``num_absorption`` and ``absorption_rate`` are called ``num_full_absorption`` and
                          ``full_absorption_rate``, and there is an absorption fraction
========================  ==============================================================================================

The results of core, from 26 October 2024, had lists in place of a record per latent until 4 November 2024. Their
variance explained was averaged over tokens until 7 March 2025: where the file has no ``explained_variance_legacy``.
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
#: All keys of results start so, apart from those of several SAEs.
_RESULTS = b"eval_result"
_BY_SAE = re.compile(rb'"custom_eval_results"\s*:')
_COUNT = re.compile(rb'"num_absorption"\s*:')
_LETTER = re.compile(r"(?:absorption_first_letter_)?([a-zA-Z])")
_DETAILS = "eval_result_details"
#: What is taken of each latent, of which the results of core tell more.
_OF_LATENT = ("index", "feature_density", "encoder_decoder_cosine_sim")


class _Part(BaseModel, extra="allow"):
    """A part of a result file. Its fields are what is read of it; all else is kept, to be named in the report."""

    def left(self, name: str = "") -> set[str]:
        """Name the numbers that are not read."""
        names = number_names(self.model_extra or {}, name)
        for key, value in self:
            if isinstance(value, _Part):
                names |= value.left(f"{name}.{key}" if name else key)
        return names


class _Config(_Part):
    model_name: str | None = None
    f1_jump_threshold: float | None = None
    layer: Any = None
    min_GT_probe_f1: Any = None  # noqa: N815 - SAEBench's name


class _Results(_Part):
    """What every evaluation says of its SAE; older files say less."""

    eval_config: _Config = _Config()
    sae_lens_id: str | None = None
    sae_lens_release_id: str | None = None
    sae_cfg_dict: dict[str, Any] | None = None

    @property
    def sae_name(self) -> str | None:
        """The SAE's name, where the file gives both parts of it."""
        parts = (self.sae_lens_release_id, self.sae_lens_id)
        return "/".join(filter(None, parts)) if all(parts) else None


class Absorption(_Results):
    """Results of the absorption evaluation."""

    eval_result_details: list[dict[str, Any]]

    @property
    def version(self) -> str | None:
        """Since when SAEBench has measured as it did here, as far as the fields tell.

        Its own sae_bench_commit_hash is the commit of whatever folder it was started in.
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
    """What is read of the metrics of the core evaluation, by SAEBench's names."""

    sparsity: _Sparsity = _Sparsity()
    reconstruction_quality: _Reconstruction = _Reconstruction()
    model_performance_preservation: _Performance = _Performance()
    misc_metrics: _Misc = _Misc()


class Core(_Results):
    """Results of the core evaluation; `latents` has a list by each of its names for what is measured of a latent."""

    eval_result_metrics: CoreMetrics = CoreMetrics()
    latents: dict[str, list[Any]] = {}


def eval_type(source: Source, file: Path) -> str | None:
    """Return which evaluation wrote `file`, without parsing it: those of other evaluations are large."""
    content = peek_json(source, file)
    if _RESULTS not in content:
        return None
    if _BY_SAE.search(content) and _COUNT.search(content):
        return ABSORPTION
    found = _EVAL_TYPE.search(content)
    kind = found[1].decode("utf-8", "replace") if found else None
    return ABSORPTION if kind == _OLD_ABSORPTION else kind


def read_absorption(source: Source, file: Path) -> list[Absorption]:
    """Read results of absorption, of one SAE or of several; UnreadableError where they are in no form of SAEBench."""
    found = read_json(source, file, lambda content: [*map(Absorption.model_validate, _each(content))])
    for results in found:
        source.report.hold(file, number_names(results.eval_result_details, _DETAILS))
        _report(source, file, results)
    return found


def read_core(source: Source, file: Path) -> Core:
    """Read results of core; UnreadableError where there are none."""

    def parse(content: Any) -> Core:
        if not isinstance(content, dict):
            return Core.model_validate(content)
        # An SAE has very many latents: what is not read of them is let go at once.
        details = content.pop(_DETAILS, None)
        source.report.hold(file, number_names(details, _DETAILS))
        return Core.model_validate(content | {"latents": _by_name(details)})

    results = read_json(source, file, parse)
    _report(source, file, results)
    source.report.take(file, (f"{_DETAILS}.{name}" for name in results.latents))
    return results


def _report(source: Source, file: Path, results: _Results) -> None:
    """Name the numbers of `results` that are not read."""
    said = results.sae_cfg_dict or {}
    source.report.hold(file, results.left() | number_names(said, "sae_cfg_dict"))
    # All that it says in a word or a number is kept.
    metadata = said.get("metadata")
    source.report.take(file, (f"sae_cfg_dict.{name}" for name in said))
    source.report.take(file, (f"sae_cfg_dict.metadata.{name}" for name in metadata or () if isinstance(metadata, dict)))


def _by_name(details: Any) -> dict[str, list[Any]]:
    """Return what is read of each latent as lists, which the details were themselves at first."""
    records = [one for one in details if isinstance(one, dict)] if isinstance(details, list) else []
    if len(records) == 1 and any(isinstance(value, list) for value in records[0].values()):
        lists = {name: records[0][name] for name in _OF_LATENT if isinstance(records[0].get(name), list)}
        length = max(map(len, lists.values()), default=0)
        whole = {name: values for name, values in lists.items() if len(values) == length}
        return {"index": list(range(length))} | whole
    return {name: [one.get(name) for one in records] for name in _OF_LATENT if any(name in one for one in records)}


def _each(content: Any) -> Iterator[Any]:
    """Give the results of each SAE in the form that they have today."""
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
    """Give the results of one SAE, whose letters were an object before they were a list."""
    if _DETAILS in _object(content) or "eval_results" not in content:
        return content
    kept = {name: value for name, value in content.items() if name != "eval_results"}
    return kept | {"sae_lens_release_id": content.get("sae_lens_release"), **_as_list(content["eval_results"])}


def _as_list(letters: Any) -> dict[str, Any]:
    """Turn an object of letters, and of their means, into a list of letters."""
    found = {name: _LETTER.fullmatch(name) for name in _object(letters)}
    return {
        _DETAILS: [{"first_letter": letter[1], **_object(letters[name])} for name, letter in found.items() if letter],
        "eval_result_metrics": {name: letters[name] for name, letter in found.items() if not letter},
    }


def _object(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise UnreadableError("has another type where SAEBench has an object; download it again")
    return content
