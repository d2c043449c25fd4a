"""Any causal language model that `transformers` loads: its blocks are watched and their output replaced by hooks."""

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
#: Relative difference up to which a stream behind a cached prefix is that of the whole prompt: only rounding differs.
_SAME = {torch.float32: 1e-3, torch.bfloat16: 0.1}
#: Tokens on which it is tried whether blocks can be skipped, and the relative difference of logits that rounding makes.
_TRIED, _EQUAL = 8, 1e-4


class _StopForward(Exception):  # noqa: N818 - no error
    """Ends a run of the model behind the last layer that is asked for."""


class HuggingFace(LanguageModel):
    """A model of that library.

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
        # Of a multimodal model, an encoder of images may have as many blocks as the language model.
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
        # Logits of the prompt's end are enough where the model can be told so.
        knows = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._at_the_end = {"logits_to_keep": 1} if knows else {}
        self._past = lru_cache(_PREFIXES_KEPT)(self._read_prefix)
        self._skips = cache(self._can_skip)
        # How much else each block that was watched returns in a tuple; None where the stream comes alone.
        self._beside: dict[int, int | None] = {}

    def streams(self, ids: Tensor, layers: Sequence[int]) -> dict[int, Tensor]:
        return self._seen(layers, input_ids=ids, use_cache=False)

    def word_streams(self, prompt: Prompt, words: Tensor, layers: Sequence[int]) -> dict[int, Tensor]:
        found = self._seen(layers, **self._following(prompt, words[:, None]))
        return {layer: stream[:, -1] for layer, stream in found.items()}

    def spell(self, prompt: Prompt, words: Tensor, layer: int, answers: Tensor) -> Spelling:
        suffix = torch.tensor(prompt.suffix, dtype=torch.long, device=self.device)
        ids = torch.cat([words[:, None], suffix.expand(len(words), -1)], dim=1)
        seen = self._seen([layer], **self._following(prompt, ids))[layer]
        place = seen.shape[1] - 1 - len(suffix)

        def answer(at_word: Tensor) -> Tensor:
            copies = len(at_word) // len(words)
            whole = seen.repeat(copies, 1, 1)
            whole = torch.cat([whole[:, :place], at_word[:, None], whole[:, place + 1 :]], dim=1)
            return self._end(prompt, ids.repeat(copies, 1), layer, whole, skip=self._skips(layer))[:, answers]

        return Spelling(seen[:, place], answer)

    def losses(self, ids: Tensor, replaced: dict[int, Callable[[Tensor], Tensor]]) -> Tensor:
        def but_the_first(change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
            return lambda x: torch.cat([x[:, :1], change(x[:, 1:].flatten(0, 1)).view_as(x[:, 1:])], dim=1)

        with torch.no_grad(), self._replaced({layer: but_the_first(change) for layer, change in replaced.items()}):
            logits = self._model(ids, use_cache=False).logits[:, :-1].float()
        return functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(len(ids), -1)

    def raised(self, directions: Tensor) -> Tensor:
        # The model's own way from the last block to the logits is asked, whatever its norm is made of: a direction and
        # its opposite stand in the place of the stream, so what does not depend on it cancels out.
        size = directions.square().mean(1, keepdim=True).sqrt().clamp_min(1e-12)
        both = torch.cat([directions, -directions]) / size.repeat(2, 1)
        ids = torch.full((len(both), 1), self.tokenizer.start, device=self.device)
        with torch.no_grad(), self._replaced({self.num_layers - 1: lambda _: both[:, None]}):
            there, back = self._model(ids, use_cache=False).logits[:, -1].float().chunk(2)
        logits = size * (there - back) / 2
        return logits - logits.mean(dim=1, keepdim=True)

    def _read_prefix(self, ids: tuple[int, ...]) -> Any:
        """Return the cache of a prefix, or None where the model cannot go on from one."""
        whole = torch.tensor([ids], device=self.device)
        with torch.no_grad():
            past = getattr(self._model.base_model(whole, use_cache=True), "past_key_values", None)
        if not _can_be_shared(past):
            return None
        after, last = whole[:, -2:], self.num_layers - 1
        in_one = self._seen([last], input_ids=torch.cat([whole, after], dim=1), use_cache=False)[last]
        expected = in_one[:, whole.shape[1] :]
        found = self._seen([last], input_ids=after, past_key_values=_for_rows(past, 1), use_cache=True)[last]
        same = (found - expected).norm() <= _SAME.get(self._model.dtype, 0.1) * expected.norm()
        return past if same else None

    def _end(self, prompt: Prompt, ids: Tensor, layer: int, stream: Tensor, *, skip: bool) -> Tensor:
        """Return the logits at the end of tokens in a prompt, with a stream in the place of what a block gives.

        Blocks up to that one need not be computed where what they give is used for nothing else.
        """
        with self._passing(layer) if skip else nullcontext(), self._replaced({layer: lambda _: stream}):
            return self._model(**self._following(prompt, ids), **self._at_the_end).logits[:, -1].float()

    def _can_skip(self, layer: int) -> bool:
        """Tell whether the model's answer is the same where blocks up to a layer that was watched are skipped.

        It is not where blocks above use the keys of those below, or more of what they return than the stream.
        """
        prompt, ids = Prompt((self.tokenizer.start,), ()), torch.arange(_TRIED, device=self.device)[None]
        with torch.no_grad():
            stream = self._seen([layer], **self._following(prompt, ids))[layer]
            expected = self._end(prompt, ids, layer, stream, skip=False)
            # What a block leaves behind for others is now of other tokens.
            self._seen([layer], **self._following(prompt, ids.flip(1)))
            try:
                found = self._end(prompt, ids, layer, stream, skip=True)
            except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
                return False
        return bool((found - expected).norm() <= _EQUAL * expected.norm())

    @contextmanager
    def _passing(self, layer: int) -> Iterator[None]:
        """Let blocks up to a layer pass on what they are given."""
        beside = self._beside[layer]

        def passes(stream: Tensor, *_: object, **__: object) -> Any:
            return stream if beside is None else (stream, *[None] * beside)

        skipped = self._blocks[: layer + 1]
        for block in skipped:
            block.forward = passes
        try:
            yield
        finally:
            for block in skipped:
                del block.forward

    def _following(self, prompt: Prompt, ids: Tensor) -> dict[str, Any]:
        """Return the model's arguments for tokens that follow the prompt's prefix; they come last in its output."""
        past = self._past(prompt.prefix)
        if past is None:
            prefix = torch.tensor(prompt.prefix, device=self.device).expand(len(ids), -1)
            return {"input_ids": torch.cat([prefix, ids], dim=1), "use_cache": False}
        return {"input_ids": ids, "past_key_values": _for_rows(past, len(ids)), "use_cache": True}

    def _seen(self, layers: Sequence[int], **inputs: Any) -> dict[int, Tensor]:
        """Run the model up to the last of `layers`; return their streams."""
        found: dict[int, Tensor] = {}

        def keep(layer: int) -> Callable[[Tensor], Tensor]:
            def see(stream: Tensor) -> Tensor:
                found[layer] = stream.clone()
                if layer == max(layers):
                    raise _StopForward
                return stream

            return see

        with torch.no_grad(), suppress(_StopForward), self._replaced({layer: keep(layer) for layer in layers}):
            self._model(**inputs)
        return found

    @contextmanager
    def _replaced(self, changes: Mapping[int, Callable[[Tensor], Tensor]]) -> Iterator[None]:
        """Let changes happen to the streams of layers while the model runs."""

        def hook(layer: int, change: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
            def changed(_module: object, _inputs: object, output: Any) -> Any:
                # Some blocks return the stream alone, others more beside it.
                stream = output[0] if isinstance(output, tuple) else output
                self._beside[layer] = len(output) - 1 if isinstance(output, tuple) else None
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
    """Tell whether a cache holds keys and values alone, of all tokens or of a sliding window."""
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    layers: list[Any] = getattr(past, "layers", [])
    return bool(layers) and all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)


def _for_rows(past: Any, rows: int) -> Any:
    """Return a cache like `past` for so many rows; the library writes to the one that it is given.

    What its layers know beside keys and values is kept: one of a sliding window has seen more tokens than it holds.
    """
    copied = copy.copy(past)
    copied.layers = [copy.copy(layer) for layer in past.layers]
    for layer in copied.layers:
        layer.keys, layer.values = (one.expand(rows, -1, -1, -1) for one in (layer.keys, layer.values))
    return copied


def read_folder(path: Path, device: torch.device, dtype: torch.dtype) -> HuggingFace:
    """Read a model from a local folder, or from a gguf file that `transformers` knows; never from a hub."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = {"gguf_file": path.name} if path.is_file() else {}
    folder = path.parent if path.is_file() else path
    model: Any = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=dtype, **place)  # nosec B615
    model.to(device)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, **place)  # nosec B615
    # Where its files are missing the library returns one that knows nothing.
    if not set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens):
        message = f"{path}: holds no tokenizer; put the model's tokenizer.json there"
        raise MeasureError(message)
    configured = model.config.get_text_config()
    # A multimodal model's outer configuration does not name them.
    tokens = [getattr(one, name, None) for name in ("bos_token_id", "eos_token_id") for one in (tokenizer, configured)]
    start = next((token for token in tokens if isinstance(token, int)), 0)
    return HuggingFace(model, Tokenizer(tokenizer.backend_tokenizer, start), folder.name)
