"""What measuring asks of a language model, whatever it is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from torch import Tensor

    from measure.tokenizer import Tokenizer


class Prompt(NamedTuple):
    """Tokens before and after the place of a word."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]


@dataclass(frozen=True)
class Spelling:
    """Words in their prompt, from one block on.

    Attributes
    ----------
    stream : Tensor
        Residual stream at the words after the block, (words, d_model).
    answer : callable
        Takes such a stream in its place, copies of it one below the other too, (n * words, d_model); returns the logits
        of the answers asked for at the end of the prompt, (n * words, answers). Differentiable.
    """

    stream: Tensor
    answer: Callable[[Tensor], Tensor]


class LanguageModel(ABC):
    """A causal language model whose residual stream can be read and replaced.

    Layers are counted from 0; the stream of a layer is that after its block.

    Attributes
    ----------
    name : str
    d_model, num_layers : int
    tokenizer : Tokenizer
    device : torch.device
    takes_off_mean : bool
        Whether its norms take off the mean of the stream, which may then be taken off before.
    """

    takes_off_mean: bool = False
    name: str
    d_model: int
    num_layers: int
    tokenizer: Tokenizer
    device: torch.device

    @abstractmethod
    def streams(self, ids: Tensor, layers: Sequence[int]) -> dict[int, Tensor]:
        """Return the stream of each layer for windows of text, (windows, tokens, d_model)."""

    @abstractmethod
    def spell(self, prompt: Prompt, words: Tensor, layer: int, answers: Tensor) -> Spelling:
        """Put words into a prompt, for the logits of `answers` at its end."""

    @abstractmethod
    def word_streams(self, prompt: Prompt, words: Tensor, layers: Sequence[int]) -> dict[int, Tensor]:
        """Return the stream of each layer at words in a prompt, (words, d_model)."""

    @abstractmethod
    def losses(self, ids: Tensor, replaced: dict[int, Callable[[Tensor], Tensor]]) -> Tensor:
        """Return the cross entropy of every next token, (windows, tokens - 1).

        `replaced` gives, by layer, what becomes of its stream at every position but the first.
        """

    @abstractmethod
    def raised(self, directions: Tensor) -> Tensor:
        """Return what directions of the stream add to the logits of all tokens by way of the final norm's weight.

        Less its mean over the vocabulary, and not divided by the norm: only order and relative size mean something.
        """
