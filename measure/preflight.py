"""Checks before anything is computed: whether model, SAEs and text match the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from measure.errors import MeasureError
from measure.plan import family_settings
from measure.readers import READERS
from measure.saes.loading import check_fit, open_sae
from measure.stages.prompts import answer_tokens, to_prompt
from measure.stages.vocabulary import describe, read_vocabulary, words_of_several_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from measure.config import ConceptsPart, Config
    from measure.models.base import LanguageModel


def check_all(config: Config, base: Path, model: LanguageModel) -> list[str]:
    """Check everything that a measurement needs.

    Parameters
    ----------
    config : Config
    base : Path
        The folder that the configuration's paths are relative to.
    model : LanguageModel

    Returns
    -------
    list of str
        Lines that describe the words of each family of concepts.

    Raises
    ------
    MeasureError
        If a check fails; with one line per SAE that does not fit.
    """
    _check_layers(config, model)
    lines = [line for part in config.families for line in _check_family(config, part, base, model)]
    _check_lengths(config, model)
    _check_text(config, base)
    if wrong := list(_wrong_saes(config, base, model)):
        raise MeasureError(*wrong)
    return lines


def _check_family(config: Config, part: ConceptsPart | None, base: Path, model: LanguageModel) -> list[str]:
    """Check a family's words and answers; return lines that describe them."""
    settings = family_settings(part, base)
    vocabulary = read_vocabulary(model.tokenizer, **config.vocabulary.model_dump(), concepts=settings)
    try:
        answer_tokens(model.tokenizer, vocabulary.family.answers)
    except MeasureError as error:
        raise MeasureError(f"concepts: {part.family}: {error}" if part else str(error)) from error
    return describe(vocabulary, words_of_several_tokens(model.tokenizer, settings) if settings else [])


def _check_layers(config: Config, model: LanguageModel) -> None:
    """Reject layers that the model does not have, and residual streams of an unexpected shape."""
    layers = sorted({layer for part in config.saes for layer in part.layers})
    for layer in layers:
        if not 0 <= layer < model.num_layers:
            message = f"saes: layer {layer} does not exist, the model has 0 to {model.num_layers - 1}; fix layers"
            raise MeasureError(message)
    start = torch.full((1, 2), model.tokenizer.start, device=model.device)
    for layer, stream in model.streams(start, layers).items():
        if stream.shape != (1, 2, model.d_model):
            message = (
                f"model: the output of block {layer} for two tokens has shape {tuple(stream.shape)}, not (1, 2,"
                f" {model.d_model}); its residual stream cannot be read, use another model"
            )
            raise MeasureError(message)


def _check_lengths(config: Config, model: LanguageModel) -> None:
    """Reject windows of text and prompts that exceed the model's context length."""
    lengths = {f"windows of {config.windows.length} tokens": config.windows.length + 1}
    for template in [*config.prompts.templates, *(text for part in config.concepts for text in part.templates)]:
        prompt = to_prompt(template, model.tokenizer)
        lengths[f"the template {template[:40]!r}"] = len(prompt.prefix) + 1 + len(prompt.suffix)
    what = max(lengths, key=lambda name: lengths[name])
    try:
        model.streams(torch.full((1, lengths[what]), model.tokenizer.start, device=model.device), [0])
    except (IndexError, RuntimeError) as error:
        message = f"model: cannot read {what} at once ({lengths[what]} with the first token); shorten them"
        raise MeasureError(message) from error


def _check_text(config: Config, base: Path) -> None:
    """Reject missing text files; those of a package are checked once it is downloaded."""
    for part in config.text:
        if part.reader not in READERS:
            message = f"text: there is no reader {part.reader!r}; choose one of {', '.join(READERS)}"
            raise MeasureError(message)
        if part.debian:
            continue
        if not any(file.is_file() for file in base.glob(part.files)):
            message = f"{base}: no file matches {part.files!r}; fix the text's files in the configuration"
            raise MeasureError(message)
        if part.notice and not (base / part.notice).is_file():
            message = f"{base / part.notice}: no such file; fix the notice of text {part.source!r}"
            raise MeasureError(message)


def _wrong_saes(config: Config, base: Path, model: LanguageModel) -> Iterator[str]:
    """Open each existing SAE; yield an error message for each that does not fit."""
    for part in config.saes:
        if part.path is None:
            continue
        path = base / part.path
        try:
            sae = open_sae(path, torch.device("cpu"))
            for layer in part.layers:
                check_fit(sae, path, d_model=model.d_model, num_layers=model.num_layers, layer=layer)
            if sae.centred and not model.takes_off_mean:
                yield (
                    f"{path}: says center_writing_weights, which means nothing to a model without LayerNorm; if it was"
                    " trained on the stream as it is, remove that from its cfg.json"
                )
        except MeasureError as error:
            yield str(error)
