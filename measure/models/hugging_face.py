"""Any causal language model that `transformers` loads; hooks on its blocks read and replace the residual stream."""

from __future__ import annotations

import copy
import inspect
from contextlib import contextmanager, nullcontext, suppress
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from measure.errors import MeasureError
from measure.models.base import LanguageModel, Prompt, Spelling
from measure.tokenizer import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

_PREFIXES_KEPT = 16
#: Maximum relative difference, due to rounding, between a stream with a cached prefix and one without a cache.
_SAME = {torch.float32: 1e-3, torch.bfloat16: 0.1}
#: Number of tokens for testing whether blocks can be skipped, and the maximum relative difference of logits.
_TRIED, _EQUAL = 8, 1e-4


class _StopForward(Exception):  # noqa: N818 - no error
    """Ends a forward pass after the last requested layer."""


class HuggingFace(LanguageModel):
    """A model of `transformers`.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    tokenizer : Tokenizer
    name : str
    """

    def __init__(self, model: Any, tokenizer: Tokenizer, name: str) -> None:
        self._model, self.tokenizer, self.name = model.eval().requires_grad_(requires_grad=False), tokenizer, name
        self.device = model.device
        config = model.config.get_text_config()
        self.d_model, self.num_layers = config.hidden_size, config.num_hidden_layers
        # In a multimodal model, the image encoder may have as many blocks as the language model.
        decoder = getattr(model, "get_decoder", lambda: None)() or model
        self.takes_off_mean = any(isinstance(module, torch.nn.LayerNorm) for module in decoder.modules())
        lists = (module for module in decoder.modules() if isinstance(module, torch.nn.ModuleList))
        blocks = next((module for module in lists if len(module) == self.num_layers), None)
        if blocks is None:
            message = (
                f"{name}: no list of {self.num_layers} blocks was found in {type(model).__name__}; use another model"
            )
            raise MeasureError(message)
        self._blocks = blocks
        # Only the logits at the prompt's end are needed; some models can omit the others.
        can_omit = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._last_logits_only = {"logits_to_keep": 1} if can_omit else {}
        self._past = lru_cache(_PREFIXES_KEPT)(self._read_prefix)
        self._skips = cache(self._can_skip)
        # Per hooked block, the number of its outputs besides the stream; None if it does not return a tuple.
        self._extra_outputs: dict[int, int | None] = {}

    def streams(self, ids: Tensor, layers: Sequence[int]) -> dict[int, Tensor]:
        return self._run_to(layers, input_ids=ids, use_cache=False)

    def word_streams(self, prompt: Prompt, words: Tensor, layers: Sequence[int]) -> dict[int, Tensor]:
        found = self._run_to(layers, **self._inputs_after(prompt, words[:, None]))
        return {layer: stream[:, -1] for layer, stream in found.items()}

    def spell(self, prompt: Prompt, words: Tensor, layer: int, answers: Tensor) -> Spelling:
        suffix = torch.tensor(prompt.suffix, dtype=torch.long, device=self.device)
        ids = torch.cat([words[:, None], suffix.expand(len(words), -1)], dim=1)
        stream = self._run_to([layer], **self._inputs_after(prompt, ids))[layer]
        place = stream.shape[1] - 1 - len(suffix)

        def answer(at_word: Tensor) -> Tensor:
            copies = len(at_word) // len(words)
            whole = stream.repeat(copies, 1, 1)
            whole = torch.cat([whole[:, :place], at_word[:, None], whole[:, place + 1 :]], dim=1)
            return self._end(prompt, ids.repeat(copies, 1), layer, whole, skip=self._skips(layer))[:, answers]

        return Spelling(stream[:, place], answer)

    def losses(self, ids: Tensor, replaced: dict[int, Callable[[Tensor], Tensor]]) -> Tensor:
        def except_first(change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
            return lambda x: torch.cat([x[:, :1], change(x[:, 1:].flatten(0, 1)).view_as(x[:, 1:])], dim=1)

        with torch.no_grad(), self._replaced({layer: except_first(change) for layer, change in replaced.items()}):
            logits = self._model(ids, use_cache=False).logits[:, :-1].float()
        return functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(len(ids), -1)

    def raised(self, directions: Tensor) -> Tensor:
        # Uses the model's own final norm and unembedding, whatever they are: the stream is replaced by each direction
        # and by its negative, so constant terms such as biases cancel.
        size = directions.square().mean(1, keepdim=True).sqrt().clamp_min(1e-12)
        both = torch.cat([directions, -directions]) / size.repeat(2, 1)
        ids = torch.full((len(both), 1), self.tokenizer.start, device=self.device)
        with torch.no_grad(), self._replaced({self.num_layers - 1: lambda _: both[:, None]}):
            positive, negative = self._model(ids, use_cache=False).logits[:, -1].float().chunk(2)
        logits = size * (positive - negative) / 2
        return logits - logits.mean(dim=1, keepdim=True)

    def _read_prefix(self, ids: tuple[int, ...]) -> Any:
        """Return the cache of a prefix, or None if the model gives different results with a cache."""
        whole = torch.tensor([ids], device=self.device)
        with torch.no_grad():
            past = getattr(self._model.base_model(whole, use_cache=True), "past_key_values", None)
        if not _can_be_shared(past):
            return None
        after, last = whole[:, -2:], self.num_layers - 1
        uncached = self._run_to([last], input_ids=torch.cat([whole, after], dim=1), use_cache=False)[last]
        expected = uncached[:, whole.shape[1] :]
        found = self._run_to([last], input_ids=after, past_key_values=_for_rows(past, 1), use_cache=True)[last]
        same = (found - expected).norm() <= _SAME.get(self._model.dtype, 0.1) * expected.norm()
        return past if same else None

    def _end(self, prompt: Prompt, ids: Tensor, layer: int, stream: Tensor, *, skip: bool) -> Tensor:
        """Return the logits at the end of tokens in a prompt, with a block's output replaced by `stream`.

        With `skip`, the blocks up to that one are not computed.
        """
        with self._skipped_blocks(layer) if skip else nullcontext(), self._replaced({layer: lambda _: stream}):
            return self._model(**self._inputs_after(prompt, ids), **self._last_logits_only).logits[:, -1].float()

    def _can_skip(self, layer: int) -> bool:
        """Return whether the logits stay the same if the blocks up to a layer are skipped.

        They do not if later blocks use their keys or outputs other than the stream.
        """
        prompt, ids = Prompt((self.tokenizer.start,), ()), torch.arange(_TRIED, device=self.device)[None]
        with torch.no_grad():
            stream = self._run_to([layer], **self._inputs_after(prompt, ids))[layer]
            expected = self._end(prompt, ids, layer, stream, skip=False)
            # A run on other tokens, so that any state that blocks keep for later ones would change the logits.
            self._run_to([layer], **self._inputs_after(prompt, ids.flip(1)))
            try:
                found = self._end(prompt, ids, layer, stream, skip=True)
            except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
                return False
        return bool((found - expected).norm() <= _EQUAL * expected.norm())

    @contextmanager
    def _skipped_blocks(self, layer: int) -> Iterator[None]:
        """Make the blocks up to a layer return their input."""
        extra = self._extra_outputs[layer]

        def identity(stream: Tensor, *_: object, **__: object) -> Any:
            return stream if extra is None else (stream, *[None] * extra)

        skipped = self._blocks[: layer + 1]
        for block in skipped:
            block.forward = identity
        try:
            yield
        finally:
            for block in skipped:
                del block.forward

    def _inputs_after(self, prompt: Prompt, ids: Tensor) -> dict[str, Any]:
        """Return the model's arguments for tokens after the prompt's prefix, which are the last ones of its output."""
        past = self._past(prompt.prefix)
        if past is None:
            prefix = torch.tensor(prompt.prefix, device=self.device).expand(len(ids), -1)
            return {"input_ids": torch.cat([prefix, ids], dim=1), "use_cache": False}
        return {"input_ids": ids, "past_key_values": _for_rows(past, len(ids)), "use_cache": True}

    def _run_to(self, layers: Sequence[int], **inputs: Any) -> dict[int, Tensor]:
        """Run the model up to the last of `layers`; return their streams."""
        found: dict[int, Tensor] = {}

        def recorder(layer: int) -> Callable[[Tensor], Tensor]:
            def record(stream: Tensor) -> Tensor:
                found[layer] = stream.clone()
                if layer == max(layers):
                    raise _StopForward
                return stream

            return record

        with torch.no_grad(), suppress(_StopForward), self._replaced({layer: recorder(layer) for layer in layers}):
            self._model(**inputs)
        return found

    @contextmanager
    def _replaced(self, changes: Mapping[int, Callable[[Tensor], Tensor]]) -> Iterator[None]:
        """Apply functions to the streams of layers while the model runs."""

        def hook(layer: int, change: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
            def changed(_module: object, _inputs: object, output: Any) -> Any:
                # Some blocks return only the stream, others a tuple that begins with it.
                stream = output[0] if isinstance(output, tuple) else output
                self._extra_outputs[layer] = len(output) - 1 if isinstance(output, tuple) else None
                new = change(stream.float()).to(stream.dtype)
                return (new, *output[1:]) if isinstance(output, tuple) else new

            return changed

        handles = [self._blocks[layer].register_forward_hook(hook(layer, change)) for layer, change in changes.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _can_be_shared(past: Any) -> bool:
    """Return whether a cache contains only keys and values, of all tokens or of a sliding window."""
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    layers: list[Any] = getattr(past, "layers", [])
    return bool(layers) and all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)


def _for_rows(past: Any, rows: int) -> Any:
    """Return a copy of a cache, expanded to `rows` rows, because the model modifies the cache that is passed to it.

    Other attributes of its layers are copied, such as the number of tokens that a sliding window has seen.
    """
    copied = copy.copy(past)
    copied.layers = [copy.copy(layer) for layer in past.layers]
    for layer in copied.layers:
        layer.keys, layer.values = (one.expand(rows, -1, -1, -1) for one in (layer.keys, layer.values))
    return copied


def read_folder(path: Path, device: torch.device, dtype: torch.dtype) -> HuggingFace:
    """Load a model from a local folder, or from a gguf file that `transformers` supports; never from a hub."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = {"gguf_file": path.name} if path.is_file() else {}
    folder = path.parent if path.is_file() else path
    model: Any = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=dtype, **place)  # nosec B615
    model.to(device)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, **place)  # nosec B615
    # If its files are missing, the library returns an empty tokenizer.
    if not set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens):
        message = f"{path}: holds no tokenizer; put the model's tokenizer.json there"
        raise MeasureError(message)
    configured = model.config.get_text_config()
    # The outer configuration of a multimodal model does not have these ids.
    tokens = [getattr(one, name, None) for name in ("bos_token_id", "eos_token_id") for one in (tokenizer, configured)]
    start = next((token for token in tokens if isinstance(token, int)), 0)
    return HuggingFace(model, Tokenizer(tokenizer.backend_tokenizer, start), folder.name)
