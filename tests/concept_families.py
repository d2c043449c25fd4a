"""A small measurement of several families of concepts, of which the model is prompted for one."""

from __future__ import annotations

import csv
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import torch
from sae_lens import StandardSAE, StandardSAEConfig

from measure.models.loading import open_model
from measure.stages.probes import fit_probes
from measure.stages.prompts import spell_words, to_prompt
from tests.small_measurement import write_config, write_model, write_sae
from tests.small_models import D_MODEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from measure.models.base import LanguageModel

LAYER = 1
TEMPLATE = "A or B: {token} is"
LETTERS = "abcdefilmnoprst"
#: The family of what the model answers, one without a prompt whose words may have several labels, and the letters.
FAMILIES = """
[[concepts]]
family = "answer"
title = "Answers"
noun = "answer"
file = "answers.csv"
phrase = "is answered with {{label}}"
templates = ["{template}"]
positive = "one"
answers = {{ one = "{one}", two = "{two}" }}

[[concepts]]
family = "sound"
file = "sounds.csv"

[[concepts]]
family = "first-letter"
"""


def write_csv(file: Path, rows: Iterable[Sequence[str]], header: Sequence[str] = ("token", "label")) -> Path:
    """Write a family's words."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([header, *rows])
    return file


def write_measurement(folder: Path) -> Path:
    """Write the model, the SAE, families and text; return the path of the configuration."""
    write_model(folder / "model")
    model = open_model((folder / "model").resolve(), "float32")
    words = [(number, text) for number, text in model.tokenizer.words() if text.strip()[0].lower() in LETTERS]
    ids, texts = np.array([number for number, _ in words]), [text for _, text in words]
    answers, labels = _answers(model, ids)
    write_csv(folder / "answers.csv", zip(texts, np.where(labels, "one", "two"), strict=True))
    write_csv(folder / "sounds.csv", [(text, label) for text in texts for label in _sounds(text)])
    _write_sae(folder, model, ids, labels, np.array([text.strip()[0].lower() for text in texts]))
    families = FAMILIES.format(template=TEMPLATE, one=answers[0], two=answers[1])
    return write_config(
        folder, {"sae": 'name = "mine"'}, {"[[text]]": f"{families}\n[[text]]", "limit = 5": "limit = 20"}
    )


def _answers(model: LanguageModel, ids: np.ndarray) -> tuple[tuple[str, str], np.ndarray]:
    """Find two answers that the model gives about equally often; also return the words with the first one."""
    prompt, letters = to_prompt(TEMPLATE, model.tokenizer), "ABCDEFGHIJ"
    none = np.zeros((len(ids), 2), bool)
    best: tuple[float, tuple[str, str], np.ndarray] = (1.0, ("A", "B"), np.zeros(len(ids), bool))
    for pair in combinations(letters, 2):
        first = spell_words(model, [prompt], ids, none, np.zeros(len(ids), int), pair).answers == 0
        best = min(best, (abs(float(first.mean()) - 0.4), pair, first), key=lambda found: found[0])
    return best[1], best[2]


def _sounds(word: str) -> list[str]:
    """Return the labels of a word; a word of neither has an empty one."""
    first = word.strip()[0].lower()
    return [label for label, letters in (("a-or-b", "ab"), ("vowel", "aeio")) if first in letters] or [""]


def _write_sae(folder: Path, model: LanguageModel, ids: np.ndarray, labels: np.ndarray, first: np.ndarray) -> None:
    """Write an SAE with latents that detect the first answer, each letter, and others."""
    prompt = to_prompt(TEMPLATE, model.tokenizer)
    stream = model.word_streams(prompt, torch.from_numpy(ids), [LAYER])[LAYER].numpy()
    truth = np.column_stack([labels, *(first == letter for letter in LETTERS)])
    probes = fit_probes(stream, truth, l2=1.0, device=torch.device("cpu"))
    values = probes.logits(stream)
    sae = StandardSAE(StandardSAEConfig(d_in=D_MODEL, d_sae=48))
    write_sae(folder / "sae", sae)
    with torch.no_grad():
        number = truth.shape[1]
        level = np.array([np.quantile(of[own], 0.3) for of, own in zip(values.T, truth.T, strict=True)])
        sae.W_enc[:, :number] = torch.from_numpy(probes.weights.T)
        sae.b_enc[:number] = torch.from_numpy(probes.biases - level)
        sae.W_dec[:number] = torch.nn.functional.normalize(torch.from_numpy(probes.weights), dim=1)
        sae.b_dec.zero_()
    sae.save_model(folder / "sae")
