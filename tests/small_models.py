"""Small models with random weights, one for each architecture that `measure` handles differently."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import transformers

from tests.toy_language import TOKENS

if TYPE_CHECKING:
    from collections.abc import Callable

D_MODEL, WINDOW = 24, 4
_TOKENS: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
_LLAMA_LIKE = _TOKENS | {
    "hidden_size": D_MODEL,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}


def _gemma_3(vocab_size: int) -> Any:
    """The multimodal class, whose encoder of images has as many blocks."""
    of_text = _LLAMA_LIKE | {
        "vocab_size": vocab_size,
        "sliding_window": WINDOW,
        "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
    }
    of_images = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
    config = transformers.Gemma3Config(
        text_config=of_text, vision_config=of_images | {"image_size": 28, "patch_size": 14}
    )
    return transformers.Gemma3ForConditionalGeneration(config)


def _gpt_oss(vocab_size: int) -> Any:
    """Blocks with a sliding window and without take turns."""
    config = transformers.GptOssConfig(
        **_LLAMA_LIKE,
        vocab_size=vocab_size,
        sliding_window=WINDOW,
        num_local_experts=2,
        num_experts_per_tok=1,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    )
    return transformers.GptOssForCausalLM(config)


def _qwen_3_next(vocab_size: int) -> Any:
    """Most blocks keep a state in place of keys and values."""
    config = transformers.Qwen3NextConfig(
        **(_LLAMA_LIKE | {"num_hidden_layers": 4}),
        vocab_size=vocab_size,
        num_experts=2,
        num_experts_per_tok=1,
        moe_intermediate_size=16,
        shared_expert_intermediate_size=16,
        linear_num_key_heads=2,
        linear_num_value_heads=2,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
    )
    return transformers.Qwen3NextForCausalLM(config)


def _opt(vocab_size: int) -> Any:
    """Its final norm comes first among its modules, and its head reads another width."""
    config = transformers.OPTConfig(
        **(_TOKENS | {"pad_token_id": 1}),
        vocab_size=vocab_size,
        hidden_size=D_MODEL,
        ffn_dim=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        word_embed_proj_dim=16,
        max_position_embeddings=256,
    )
    return transformers.OPTForCausalLM(config)


MODELS: dict[str, Callable[[int], Any]] = {
    "gpt-2": lambda vocab_size: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(**_TOKENS, vocab_size=vocab_size, n_embd=D_MODEL, n_layer=3, n_head=4)
    ),
    "gemma": lambda vocab_size: transformers.GemmaForCausalLM(
        transformers.GemmaConfig(**_LLAMA_LIKE, vocab_size=vocab_size)
    ),
    "gemma-2": lambda vocab_size: transformers.Gemma2ForCausalLM(
        transformers.Gemma2Config(**_LLAMA_LIKE, vocab_size=vocab_size, sliding_window=WINDOW)
    ),
    "gemma-3": _gemma_3,
    "opt": _opt,
    "mistral": lambda vocab_size: transformers.MistralForCausalLM(
        transformers.MistralConfig(**_LLAMA_LIKE, vocab_size=vocab_size, sliding_window=WINDOW)
    ),
    "gpt-oss": _gpt_oss,
    "qwen-3-next": _qwen_3_next,
    "mamba": lambda vocab_size: transformers.MambaForCausalLM(
        transformers.MambaConfig(
            **_TOKENS, vocab_size=vocab_size, hidden_size=D_MODEL, num_hidden_layers=3, state_size=4
        )
    ),
}


def small_model(name: str, vocab_size: int = TOKENS) -> Any:
    """Build a model, its weights drawn at random."""
    torch.manual_seed(0)
    model = MODELS[name](vocab_size).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if not key.endswith(("A_log", "dt_bias", "dt_proj.bias")):  # decays must stay in their range
                parameter.normal_(0, 0.3)
    return model
