"""Language models: the project's own forward pass is the one of transformers, and streams can be replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from measure.models.base import LanguageModel, Prompt
from measure.models.llama import _unpermuted
from tests.toy_language import LAYERS, TOKENS, both_models, reference_model

if TYPE_CHECKING:
    from torch import Tensor

PROMPT = Prompt((0, 5, 7, 9), (3, 8, 2))
WORDS, ANSWERS = torch.tensor([4, 11, 30]), torch.tensor([1, 2, 3, 4])
HF, OWN = both_models()


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.fixture(params=[HF, OWN], ids=["transformers", "llama"])
def model(request: pytest.FixtureRequest) -> LanguageModel:
    return request.param


def test_streams_are_the_hidden_states(model: LanguageModel) -> None:
    ids = torch.randint(0, TOKENS, (3, 7), generator=torch.Generator().manual_seed(1))
    hidden = reference_model()(ids, output_hidden_states=True).hidden_states
    found = model.streams(ids, [0, 1])
    close(found[0], hidden[1])
    close(found[1], hidden[2])


def test_a_cached_prefix_changes_nothing(model: LanguageModel) -> None:
    whole = torch.cat([torch.tensor([*PROMPT.prefix]).expand(3, -1), WORDS[:, None]], dim=1)
    full = torch.cat([whole, torch.tensor(PROMPT.suffix).expand(3, -1)], dim=1)
    output = reference_model()(full, output_hidden_states=True)
    for layer in range(LAYERS - 1):
        at_word = output.hidden_states[layer + 1][:, len(PROMPT.prefix)]
        close(model.word_streams(PROMPT, WORDS, [layer])[layer], at_word)
        spelling = model.spell(PROMPT, WORDS, layer, ANSWERS)
        close(spelling.stream, at_word)
        close(spelling.answer(spelling.stream), output.logits[:, -1, ANSWERS])
        close(spelling.answer(spelling.stream.repeat(2, 1)), output.logits[:, -1, ANSWERS].repeat(2, 1))


def test_replaced_streams_and_their_gradients_agree() -> None:
    for layer in range(LAYERS - 1):
        slopes = []
        for model in (HF, OWN):
            spelling = model.spell(PROMPT, WORDS, layer, ANSWERS)
            stream = (0.7 * spelling.stream).requires_grad_()
            logits = spelling.answer(stream)
            slopes.append((logits, *torch.autograd.grad(logits[:, 0].sum(), stream)))
        for one, other in zip(*slopes, strict=True):
            close(one, other)


def test_losses_with_a_replaced_stream_agree() -> None:
    ids = torch.randint(0, TOKENS, (2, 9), generator=torch.Generator().manual_seed(2))
    for replaced in ({}, {1: lambda stream: 0.5 * stream}):
        close(HF.losses(ids, replaced), OWN.losses(ids, replaced))
    assert not torch.equal(OWN.losses(ids, {}), OWN.losses(ids, {1: lambda stream: 0.5 * stream}))


def test_raised_logits_agree_and_have_mean_zero() -> None:
    directions = torch.randn(2, OWN.d_model, generator=torch.Generator().manual_seed(4))
    close(HF.raised(directions), OWN.raised(directions))
    close(OWN.raised(directions).mean(1), torch.zeros(2))


def test_the_order_of_llama_cpp_is_undone() -> None:
    heads, weight = 3, torch.randn(3 * 8, 5)
    # As llama.cpp's converter stores queries and keys.
    stored = weight.reshape(heads, 2, 4, 5).swapaxes(1, 2).reshape(weight.shape)
    assert torch.equal(_unpermuted(stored, heads), weight)
