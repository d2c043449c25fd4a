"""Language models: the project's own forward pass is the one of transformers, and streams can be replaced."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import torch

from measure.models.base import LanguageModel, Prompt
from measure.models.hugging_face import HuggingFace
from measure.models.llama import _unpermuted
from tests.small_models import MODELS, small_model
from tests.toy_language import LAYERS, TOKENS, both_models, reference_model, toy_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

PROMPT = Prompt((0, 5, 7, 9), (3, 8, 2))
WORDS, ANSWERS = torch.tensor([4, 11, 30]), torch.tensor([1, 2, 3, 4])
HF, OWN = both_models()


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.fixture(params=[HF, OWN], ids=["transformers", "llama"])
def model(request: pytest.FixtureRequest) -> LanguageModel:
    return request.param


def test_streams_equal_the_hidden_states(model: LanguageModel) -> None:
    ids = torch.randint(0, TOKENS, (3, 7), generator=torch.Generator().manual_seed(1))
    hidden = reference_model()(ids, output_hidden_states=True).hidden_states
    found = model.streams(ids, [0, 1])
    close(found[0], hidden[1])
    close(found[1], hidden[2])


def test_cached_prefix_does_not_change_results(model: LanguageModel) -> None:
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


def test_llama_cpp_permutation_is_reversed() -> None:
    heads, weight = 3, torch.randn(3 * 8, 5)
    # The layout in which llama.cpp's converter stores queries and keys.
    stored = weight.reshape(heads, 2, 4, 5).swapaxes(1, 2).reshape(weight.shape)
    assert torch.equal(_unpermuted(stored, heads), weight)


@pytest.fixture(scope="module", params=MODELS)
def any_model(request: pytest.FixtureRequest) -> tuple[str, HuggingFace]:
    return request.param, HuggingFace(small_model(request.param), toy_tokenizer(), request.param)


def test_every_architecture_gives_the_results_of_a_single_run(any_model: tuple[str, HuggingFace]) -> None:
    """The prompt is longer than a sliding window, and some models cannot continue from a cache."""
    name, model = any_model
    prompt = Prompt((0, 5, 7, 9, 12, 20, 31, 2, 6), (3, 8, 2))
    whole = torch.cat([torch.tensor([prompt.prefix]).expand(3, -1), WORDS[:, None]], dim=1)
    full = torch.cat([whole, torch.tensor([prompt.suffix]).expand(3, -1)], dim=1)
    output = small_model(name)(full, output_hidden_states=True, use_cache=False)
    for layer in (0, 1):
        # Mamba's hidden states do not include the stream before its first block.
        at_word = output.hidden_states[layer + (name != "mamba")][:, len(prompt.prefix)]
        close(model.word_streams(prompt, WORDS, [layer])[layer], at_word)
        close(model.streams(whole, [layer])[layer][:, -1], at_word)
        spelling = model.spell(prompt, WORDS, layer, ANSWERS)
        close(spelling.answer(spelling.stream.repeat(2, 1)), output.logits[:, -1, ANSWERS].repeat(2, 1))
        stream = spelling.stream.clone().requires_grad_()
        (slope,) = torch.autograd.grad(spelling.answer(stream)[:, 0].sum(), stream)
        assert slope.abs().sum() > 0


def test_raised_logits_follow_the_models_own_norm_and_head(any_model: tuple[str, HuggingFace]) -> None:
    name, model = any_model
    directions = torch.randn(2, model.d_model, generator=torch.Generator().manual_seed(4))
    reference = small_model(name)
    with torch.no_grad():
        expected = _normed(name, reference, directions) @ reference.get_output_embeddings().weight.T
    found, expected = model.raised(directions), expected - expected.mean(1, keepdim=True)
    assert torch.cosine_similarity(found, expected).min() > 0.999
    assert torch.equal(found.argsort(1)[:, -5:], expected.argsort(1)[:, -5:])


def _normed(name: str, model: Any, directions: Tensor) -> Tensor:
    """Return directions after the final norm of each architecture, and what follows it."""
    centred = directions - directions.mean(1, keepdim=True)
    match name:
        case "gpt-2":
            return centred * model.transformer.ln_f.weight
        case "opt":
            return model.model.decoder.project_out(centred * model.model.decoder.final_layer_norm.weight)
        case "mamba":
            return directions * model.backbone.norm_f.weight
        case "gemma-3":
            return directions * (1 + model.model.language_model.norm.weight)
        case "gemma" | "gemma-2" | "qwen-3-next":
            return directions * (1 + model.model.norm.weight)
        case _:
            return directions * model.model.norm.weight


@contextmanager
def watched(model: HuggingFace) -> Iterator[list[int]]:
    """List the blocks in which something is computed, in their order, and -1 for the head."""
    ran: list[int] = []
    parts = [(number, next(block.children())) for number, block in enumerate(model._blocks)]
    parts.append((-1, model._model.get_output_embeddings()))
    handles = [part.register_forward_hook(lambda *_, number=number: ran.append(number)) for number, part in parts]
    try:
        yield ran
    finally:
        for handle in handles:
            handle.remove()


def test_only_blocks_up_to_the_layer_are_run_without_the_head(any_model: tuple[str, HuggingFace]) -> None:
    _, model = any_model
    with watched(model) as ran:
        model.streams(torch.tensor([[0, 4, 5]]), [0, 1])
    assert ran == [0, 1]
    with watched(model) as ran:
        model.word_streams(Prompt((0, 3, 6, 1), (8,)), WORDS, [0])
    assert -1 not in ran


def test_blocks_below_the_stream_are_not_computed_again(any_model: tuple[str, HuggingFace]) -> None:
    _, model = any_model
    spelling = model.spell(PROMPT, WORDS, 1, ANSWERS)
    spelling.answer(spelling.stream)
    with watched(model) as ran:
        spelling.answer(spelling.stream)
    assert ran == [*range(2, model.num_layers), -1]


def test_blocks_needed_by_others_are_not_skipped() -> None:
    """In some architectures, upper blocks use outputs of lower ones."""
    model = HuggingFace(small_model("gpt-2"), toy_tokenizer(), "gpt-2")
    left: list[Tensor] = []
    first, last = (model._model.transformer.h[number].mlp for number in (0, 2))
    first.register_forward_hook(lambda _, __, output: left.append(output))
    last.register_forward_hook(lambda _, __, output: output * left[-1].sum())
    spelling = model.spell(PROMPT, WORDS, 1, ANSWERS)
    found = spelling.answer(spelling.stream)
    with watched(model) as ran:
        close(spelling.answer(spelling.stream), found)
    assert ran == [0, 1, 2, -1]
