"""The inputs of a small measurement: a model with random weights, its tokenizer, SAEs, text and a configuration."""

from __future__ import annotations

from functools import cache
from pydoc_data.topics import topics
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from measure.tokenizer import Tokenizer as Wrapped
from tests.small_models import small_model

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NUM_LATENTS, VOCABULARY = 64, 1200
#: Rows behind the last token of the vocabulary, as models have them for a round number.
PADDING = 16
START = "<|endoftext|>"
_TEXT = list(topics.values())
CONFIG = """
name = "tiny"
model = {{ path = "model" }}
vocabulary = {{ letters = "abcdefilmnoprst" }}
prompts = {{ drawn = 2, num_examples = [3], kept = 2, sample = 16 }}
windows = {{ length = 24, held_out = 10, for_loss = 2, evidence = 20 }}
method = {{ effect_margin = 0.001, l1_epochs = 3, steps = 2, limit = 5 }}

[[text]]
source = "help"
title = "Python's own help"
licence = "PSF-2.0"
files = "text/*.txt"
tokens = 2400
{saes}
"""


@cache
def backend(*, prefixed: bool = False) -> Any:
    """Train a byte-level tokenizer, or one that adds a space before the text."""
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    if prefixed:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
        tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
        alphabet = [chr(code) for code in range(32, 127)] + ["\n"]
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    answers = [f" {chr(code)}" for code in range(ord("A"), ord("Z") + 1)] * 2000
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[START], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([*_TEXT, *answers], trainer)
    return tokenizer


def write_model(folder: Path, tokenizer: Any = None, architecture: str = "gpt-2", start: str | None = START) -> None:
    """Save a model with random weights and its tokenizer with transformers."""
    known = PreTrainedTokenizerFast(tokenizer_object=tokenizer or backend(), bos_token=start)
    known.save_pretrained(folder)
    model = small_model(architecture, VOCABULARY + PADDING)
    with torch.no_grad():
        embedding = model.get_input_embeddings().weight
        embedding[VOCABULARY:] *= 100
        # So that there is something to probe for: words of a letter have a direction in common.
        of_letters = torch.randn(26, embedding.shape[1]) / 2
        for number, text in Wrapped(tokenizer or backend(), 0).words():
            embedding[number] += of_letters[ord(text.strip()[0].lower()) - ord("a")]
    model.save_pretrained(folder)


def write_sae(folder: Path, sae: Any, seed: int = 0, **constant: float) -> None:
    """Save an SAE with sae-lens; its weights are random, except constant ones."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sae.named_parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (0.1 if name.startswith("b_") else 1))
            if name in constant:
                parameter.fill_(constant[name])
    sae.save_model(folder)


def write_config(folder: Path, saes: Mapping[str, str], changes: Mapping[str, str]) -> Path:
    """Write a configuration of SAEs by their paths, with the settings of each; `changes` are replaced in its text."""
    (folder / "text").mkdir(exist_ok=True)
    (folder / "text" / "help.txt").write_text("\n".join(_TEXT[::12]), "utf-8")
    parts = [f'[[saes]]\nlayers = [1]\npath = "{path}"\n{settings}\n' for path, settings in saes.items()]
    text = CONFIG.format(saes="\n".join(parts))
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    file = folder / "tiny.toml"
    file.write_text(text, "utf-8")
    return file
