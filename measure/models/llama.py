"""Models of the Llama family from a gguf file, in plain PyTorch: matrix products in bfloat16, the stream in float32."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn import functional

from measure.models.base import LanguageModel, Prompt, Spelling

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from measure.tokenizer import Tokenizer

_PREFIXES_KEPT = 16


class Shape(NamedTuple):
    """Hyperparameters that cannot be inferred from the weights."""

    num_heads: int
    num_kv_heads: int
    rope_base: float
    epsilon: float


class _Block(NamedTuple):
    attention_norm: Tensor
    qkv: Tensor
    out: Tensor
    mlp_norm: Tensor
    gate_up: Tensor
    down: Tensor


class _Past(NamedTuple):
    """Keys and values of a prefix at one block, (kv heads, tokens, d_head)."""

    keys: Tensor
    values: Tensor


class Llama(LanguageModel):
    """A decoder with rotary position embeddings, RMS norms, gated MLPs and grouped-query attention.

    Parameters
    ----------
    name : str
    weights : mapping of str to Tensor
        By gguf's names; the rows of q and k in Hugging Face's order, in which the two halves of a head are rotated
        together.
    shape : Shape
    tokenizer : Tokenizer
    device : torch.device
    dtype : torch.dtype
        Precision of matrix products.
    """

    def __init__(
        self,
        name: str,
        weights: Mapping[str, Tensor],
        shape: Shape,
        tokenizer: Tokenizer,
        *,
        device: torch.device,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        self.name, self.tokenizer, self.device, self._shape, self._dtype = name, tokenizer, device, shape, dtype
        self._embedding = weights["token_embd.weight"].float().to(device)
        self._head = weights.get("output.weight", weights["token_embd.weight"]).to(device, dtype)
        self._final_norm = weights["output_norm.weight"].float().to(device)
        self.d_model = self._embedding.shape[1]
        self._d_head = weights["blk.0.attn_q.weight"].shape[0] // shape.num_heads
        self.num_layers = sum(key.endswith("attn_norm.weight") for key in weights)
        self._blocks = [self._block(weights, number) for number in range(self.num_layers)]
        self._past = lru_cache(_PREFIXES_KEPT)(self._read_prefix)

    def _block(self, weights: Mapping[str, Tensor], number: int) -> _Block:
        def stacked(*names: str) -> Tensor:
            return torch.cat([weights[f"blk.{number}.{name}.weight"] for name in names]).to(self.device, self._dtype)

        def norm(name: str) -> Tensor:
            return weights[f"blk.{number}.{name}.weight"].float().to(self.device)

        return _Block(
            norm("attn_norm"),
            stacked("attn_q", "attn_k", "attn_v"),
            stacked("attn_output"),
            norm("ffn_norm"),
            stacked("ffn_gate", "ffn_up"),
            stacked("ffn_down"),
        )

    def streams(self, ids: Tensor, layers: Sequence[int]) -> dict[int, Tensor]:
        with torch.no_grad():
            return self._run_to(self._embed(ids), layers)

    def word_streams(self, prompt: Prompt, words: Tensor, layers: Sequence[int]) -> dict[int, Tensor]:
        with torch.no_grad():
            found = self._run_to(self._embed(words[:, None]), layers, self._past(prompt.prefix))
            return {layer: stream[:, 0] for layer, stream in found.items()}

    def spell(self, prompt: Prompt, words: Tensor, layer: int, answers: Tensor) -> Spelling:
        past = self._past(prompt.prefix)
        suffix = torch.tensor(prompt.suffix, device=self.device)
        ids = torch.cat([words[:, None], suffix.expand(len(words), -1)], dim=1)
        with torch.no_grad():
            stream = self._run_to(self._embed(ids), [layer], past)[layer]

        def answer(at_word: Tensor) -> Tensor:
            rest = stream[:, 1:].repeat(len(at_word) // len(words), 1, 1)
            x = torch.cat([at_word[:, None], rest], dim=1)
            for number in range(layer + 1, self.num_layers):
                # After the last block, only the last position is needed.
                x = self._apply_block(number, x, past[number], last_only=number == self.num_layers - 1)
            return self._logits(x[:, -1], answers)

        return Spelling(stream[:, 0], answer)

    def losses(self, ids: Tensor, replaced: dict[int, Callable[[Tensor], Tensor]]) -> Tensor:
        with torch.no_grad():
            x = self._embed(ids)
            for number in range(self.num_layers):
                x = self._apply_block(number, x)
                if number in replaced:
                    x = torch.cat([x[:, :1], replaced[number](x[:, 1:].flatten(0, 1)).view_as(x[:, 1:])], dim=1)
            logits = self._logits(x[:, :-1])
            return functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(
                len(ids), -1
            )

    def raised(self, directions: Tensor) -> Tensor:
        with torch.no_grad():
            logits = (directions * self._final_norm) @ self._head.float().T
            return logits - logits.mean(dim=1, keepdim=True)

    def _embed(self, ids: Tensor) -> Tensor:
        return self._embedding[ids]

    def _logits(self, x: Tensor, tokens: Tensor | None = None) -> Tensor:
        head = self._head if tokens is None else self._head[tokens]
        return functional.linear(self._normed(x, self._final_norm), head).float()

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return functional.rms_norm(x, x.shape[-1:], weight, self._shape.epsilon).to(self._dtype)

    def _run_to(self, x: Tensor, layers: Sequence[int], past: Sequence[_Past] | None = None) -> dict[int, Tensor]:
        """Run the model up to the last of `layers`; return their streams."""
        found = {}
        for number in range(max(layers) + 1):
            x = self._apply_block(number, x, past[number] if past else None)
            if number in layers:
                found[number] = x
        return found

    def _read_prefix(self, ids: tuple[int, ...]) -> list[_Past]:
        """Return keys and values of a prefix at every block."""
        with torch.no_grad():
            x = self._embed(torch.tensor([ids], device=self.device))
            past = []
            for number, block in enumerate(self._blocks):
                _, keys, values = self._qkv(block, x, 0)
                past.append(_Past(keys[0].contiguous(), values[0].contiguous()))
                x = self._apply_block(number, x)
            return past

    def _apply_block(self, number: int, x: Tensor, past: _Past | None = None, *, last_only: bool = False) -> Tensor:
        """Return the stream after a block."""
        block = self._blocks[number]
        start = past.keys.shape[1] if past else 0
        queries, keys, values = self._qkv(block, x, start)
        if last_only:
            x, queries = x[:, -1:], queries[:, :, -1:]
        if past is None:
            mixed = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True, enable_gqa=True)
        else:
            mixed = self._attend(queries, keys, values, past)
        x = x + functional.linear(mixed.transpose(1, 2).flatten(2), block.out).float()
        gate, up = functional.linear(self._normed(x, block.mlp_norm), block.gate_up).chunk(2, dim=-1)
        return x + functional.linear(functional.silu(gate) * up, block.down).float()

    def _qkv(self, block: _Block, x: Tensor, start: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys (both rotated) and values, (batch, heads, tokens, d_head)."""
        shape = self._shape
        heads = functional.linear(self._normed(x, block.attention_norm), block.qkv).unflatten(-1, (-1, self._d_head))
        heads = heads.transpose(1, 2)
        split = [shape.num_heads, shape.num_kv_heads, shape.num_kv_heads]
        queries, keys, values = heads.split(split, dim=1)
        cosine, sine = _rotation(start, x.shape[1], self._d_head, shape.rope_base, self.device)
        return _rotated(queries, cosine, sine), _rotated(keys, cosine, sine), values

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor, past: _Past) -> Tensor:
        """Attend to a prefix that all rows share, without copying it for each row, and to the row's own tokens."""
        batch, num_heads, tokens, d_head = queries.shape
        groups = self._shape.num_kv_heads
        grouped = queries.reshape(batch, groups, -1, d_head)  # heads that share keys are concatenated
        # One matrix product for all rows: (groups, batch x heads x tokens, d_head).
        shared = grouped.transpose(0, 1).flatten(1, 2)
        to_past = (shared @ past.keys.transpose(1, 2)).unflatten(1, (batch, -1)).transpose(0, 1)
        to_own = (grouped @ keys.transpose(2, 3)).unflatten(2, (-1, tokens))
        mask = torch.ones(tokens, keys.shape[2], dtype=torch.bool, device=self.device).tril(keys.shape[2] - tokens)
        to_own = to_own.masked_fill(~mask, -torch.inf).flatten(2, 3)
        weights = torch.softmax(torch.cat([to_past, to_own], dim=-1).float() * d_head**-0.5, dim=-1).to(self._dtype)
        on_past, on_own = weights.split([past.keys.shape[1], keys.shape[2]], dim=-1)
        from_past = (on_past.transpose(0, 1).flatten(1, 2) @ past.values).unflatten(1, (batch, -1)).transpose(0, 1)
        return (from_past + on_own @ values).reshape(batch, num_heads, tokens, d_head)


@lru_cache
def _rotation(start: int, tokens: int, d_head: int, base: float, device: torch.device) -> tuple[Tensor, Tensor]:
    frequencies = base ** -(torch.arange(0, d_head, 2, device=device) / d_head)
    angles = torch.outer(torch.arange(start, start + tokens, device=device), frequencies).repeat(1, 2)
    return angles.cos(), angles.sin()


def _rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = x.float().chunk(2, dim=-1)
    rotated_90 = torch.cat([-second, first], dim=-1)
    return (x.float() * cosine + rotated_90 * sine).to(x.dtype)


def read_gguf(file: Any, device: torch.device, dtype: torch.dtype = torch.bfloat16) -> Llama:
    """Load a Llama model from an opened gguf file, and dequantise it."""
    from gguf.quants import dequantize

    from measure.tokenizer import from_gguf

    fields = {name: field.contents() for name, field in file.fields.items()}
    shape = Shape(
        num_heads=fields["llama.attention.head_count"],
        num_kv_heads=fields["llama.attention.head_count_kv"],
        rope_base=fields["llama.rope.freq_base"],
        epsilon=fields["llama.attention.layer_norm_rms_epsilon"],
    )
    weights = {}
    for tensor in file.tensors:
        weight = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
        for kind, heads in (("attn_q", shape.num_heads), ("attn_k", shape.num_kv_heads)):
            if kind in tensor.name:
                weight = _unpermuted(weight, heads)
        weights[tensor.name] = weight
    tokenizer = from_gguf(fields, start=fields["tokenizer.ggml.tokens"].index("<|endoftext|>"))
    return Llama(fields["general.name"], weights, shape, tokenizer, device=device, dtype=dtype)


def _unpermuted(weight: Tensor, heads: int) -> Tensor:
    """Undo llama.cpp's order of a head's rows, in which rows that are rotated together are adjacent."""
    return weight.unflatten(0, (heads, -1, 2)).transpose(1, 2).reshape(weight.shape)
