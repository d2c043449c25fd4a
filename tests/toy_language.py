"""Small language models for tests: two equivalent ones, and one with exact answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer as Backend
from tokenizers import models
from transformers import LlamaConfig, LlamaForCausalLM

from measure.models.base import LanguageModel, Prompt, Spelling
from measure.models.hugging_face import HuggingFace
from measure.models.llama import Llama, Shape
from measure.tokenizer import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
LAYERS, TOKENS = 3, 40


def toy_tokenizer() -> Tokenizer:
    vocabulary = {chr(ord("0") + number): number for number in range(TOKENS)}
    return Tokenizer(Backend(models.BPE(vocab=vocabulary, merges=[])), start=0)


def reference_model() -> LlamaForCausalLM:
    """Return a Llama of transformers with random weights."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=TOKENS,
        hidden_size=24,
        intermediate_size=32,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        rms_norm_eps=1e-5,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.4)
    return model


def both_models() -> tuple[HuggingFace, Llama]:
    """Return two models with the same weights: transformers' and the project's own implementation."""
    model = reference_model()
    state = model.state_dict()
    weights = {
        "token_embd.weight": state["model.embed_tokens.weight"],
        "output_norm.weight": state["model.norm.weight"],
        **{
            f"blk.{layer}.{own}.weight": state[f"model.layers.{layer}.{theirs}.weight"]
            for layer in range(LAYERS)
            for own, theirs in _NAMES.items()
        },
    }
    shape = Shape(num_heads=4, num_kv_heads=2, rope_base=10_000.0, epsilon=1e-5)
    own = Llama("toy", weights, shape, toy_tokenizer(), device=torch.device("cpu"), dtype=torch.float32)
    return HuggingFace(model, toy_tokenizer(), "toy"), own


class ToyModel(LanguageModel):
    """A model whose answers are a matrix times the stream at the word, after tanh unless it is linear."""

    name, d_model, num_layers, device = "toy", 6, 1, torch.device("cpu")

    def __init__(self, *, linear: bool) -> None:
        generator = torch.Generator().manual_seed(3)
        self.embedding = torch.randn(TOKENS, self.d_model, generator=generator)
        self.head = torch.randn(self.d_model, 26, generator=generator)
        self.linear = linear
        self.tokenizer = toy_tokenizer()

    def answer(self, stream: Tensor) -> Tensor:
        return (stream if self.linear else torch.tanh(stream)) @ self.head

    def spell(self, prompt: Prompt, words: Tensor, layer: int, answers: Tensor) -> Spelling:  # noqa: ARG002
        return Spelling(self.embedding[words], self.answer)

    def streams(self, ids: Tensor, layers: Sequence[int]) -> dict[int, Tensor]:
        raise NotImplementedError

    def word_streams(self, prompt: Prompt, words: Tensor, layers: Sequence[int]) -> dict[int, Tensor]:
        raise NotImplementedError

    def losses(self, ids: Tensor, replaced: dict[int, Callable[[Tensor], Tensor]]) -> Tensor:
        raise NotImplementedError

    def raised(self, directions: Tensor) -> Tensor:
        raise NotImplementedError
