"""Any causal language model that `transformers` loads: its blocks are watched and their output replaced by hooks."""

from __future__ import annotations

from contextlib import contextmanager
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from measure.models.base import LanguageModel, Prompt, Spelling
from measure.tokenizer import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

_PREFIXES_KEPT = 16


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
        self._blocks = next(
            module
            for module in model.modules()
            if isinstance(module, torch.nn.ModuleList) and len(module) == self.num_layers
        )
        self._past = lru_cache(_PREFIXES_KEPT)(self._read_prefix)

    def streams(self, ids: Tensor, layers: Sequence[int]) -> dict[int, Tensor]:
        with torch.no_grad(), self._watched(layers) as found:
            self._model(ids, use_cache=False)
        return found

    def word_streams(self, prompt: Prompt, words: Tensor, layers: Sequence[int]) -> dict[int, Tensor]:
        with torch.no_grad(), self._watched(layers) as found:
            self._continued(prompt, words[:, None])
        return {layer: stream[:, 0] for layer, stream in found.items()}

    def spell(self, prompt: Prompt, words: Tensor, layer: int, answers: Tensor) -> Spelling:
        suffix = torch.tensor(prompt.suffix, device=self.device)
        ids = torch.cat([words[:, None], suffix.expand(len(words), -1)], dim=1)

        def answer(at_word: Tensor) -> Tensor:
            copies = len(at_word) // len(words)
            with self._replaced({layer: lambda stream: torch.cat([at_word[:, None], stream[:, 1:]], dim=1)}):
                return self._continued(prompt, ids.repeat(copies, 1))[:, -1, answers]

        return Spelling(self.word_streams(prompt, words, [layer])[layer], answer)

    def losses(self, ids: Tensor, replaced: dict[int, Callable[[Tensor], Tensor]]) -> Tensor:
        def but_the_first(change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
            return lambda x: torch.cat([x[:, :1], change(x[:, 1:].flatten(0, 1)).view_as(x[:, 1:])], dim=1)

        with torch.no_grad(), self._replaced({layer: but_the_first(change) for layer, change in replaced.items()}):
            logits = self._model(ids, use_cache=False).logits[:, :-1].float()
        return functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(len(ids), -1)

    def raised(self, directions: Tensor) -> Tensor:
        norms = [module for module in self._model.modules() if "norm" in type(module).__name__.lower()]
        weight = getattr(norms[-1], "weight", None) if norms else None
        head = self._model.get_output_embeddings().weight.float()
        logits = (directions * (1 if weight is None else weight.float())) @ head.T
        return logits - logits.mean(dim=1, keepdim=True)

    def _read_prefix(self, ids: tuple[int, ...]) -> Any:
        with torch.no_grad():
            return self._model(torch.tensor([ids], device=self.device), use_cache=True).past_key_values

    def _continued(self, prompt: Prompt, ids: Tensor) -> Tensor:
        """Run tokens that follow the prompt's prefix; return the logits."""
        from transformers import DynamicCache

        # The library writes to the cache that it is given.
        past = DynamicCache(
            [
                (layer.keys.expand(len(ids), -1, -1, -1), layer.values.expand(len(ids), -1, -1, -1))
                for layer in self._past(prompt.prefix).layers
            ]
        )
        return self._model(ids, past_key_values=past, use_cache=True).logits.float()

    @contextmanager
    def _watched(self, layers: Sequence[int]) -> Iterator[dict[int, Tensor]]:
        """Collect the streams of layers while the model runs."""
        found: dict[int, Tensor] = {}

        def keep(layer: int, stream: Tensor) -> Tensor:
            found[layer] = stream.float()
            return stream

        with self._replaced({layer: partial(keep, layer) for layer in layers}):
            yield found

    @contextmanager
    def _replaced(self, changes: Mapping[int, Callable[[Tensor], Tensor]]) -> Iterator[None]:
        """Let changes happen to the streams of layers while the model runs."""

        def hook(change: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
            def changed(_module: object, _inputs: object, output: Any) -> Any:
                # Some blocks return the stream alone, others more beside it.
                stream = output[0] if isinstance(output, tuple) else output
                new = change(stream.float()).to(stream.dtype)
                return (new, *output[1:]) if isinstance(output, tuple) else new

            return changed

        handles = [self._blocks[layer].register_forward_hook(hook(change)) for layer, change in changes.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def read_folder(path: Path, device: torch.device, dtype: torch.dtype) -> HuggingFace:
    """Read a model from a local folder, or from a gguf file that `transformers` knows; never from a hub."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = {"gguf_file": path.name} if path.is_file() else {}
    folder = path.parent if path.is_file() else path
    model: Any = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=dtype, **place)  # nosec B615
    model.to(device)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, **place)  # nosec B615
    start = next(
        token
        for token in (
            tokenizer.bos_token_id,
            model.config.bos_token_id,
            tokenizer.eos_token_id,
            model.config.eos_token_id,
            0,
        )
        if isinstance(token, int)
    )
    return HuggingFace(model, Tokenizer(tokenizer.backend_tokenizer, start), folder.name)
