"""The interface of language models."""

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
    """The tokens before and after a word."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]


@dataclass(frozen=True)
class Spelling:
    """A forward pass of words in a prompt, which can be resumed after one block with another stream at the words.

    Attributes
    ----------
    stream : Tensor
        Residual stream at the words after the block, (words, d_model).
    answer : callable
        Takes a stream to use in its place, or several, concatenated, (n * words, d_model); returns the logits of the
        requested answers at the end of the prompt, (n * words, answers). Differentiable.
    """

    stream: Tensor
    answer: Callable[[Tensor], Tensor]


class LanguageModel(ABC):
    """A causal language model whose residual stream can be read and replaced.

    Layers are numbered from 0; the stream of a layer is the residual stream after its block.

    Attributes
    ----------
    name : str
    d_model, num_layers : int
    tokenizer : Tokenizer
    device : torch.device
    takes_off_mean : bool
        Whether its norms subtract the mean of the stream (LayerNorm), so that centring the stream changes nothing.
    """

    takes_off_mean: bool = False
    name: str
    d_model: int
    num_layers: int
    tokenizer: Tokenizer
    device: torch.device

    @abstractmethod
    def streams(self, ids: Tensor, layers: Sequence[int]) -> dict[int, Tensor]:
        """Return the stream of each layer on windows of text.

        Parameters
        ----------
        ids : Tensor
            (windows, tokens)
        layers : sequence of int

        Returns
        -------
        dict of int to Tensor
            By layer, (windows, tokens, d_model).
        """

    @abstractmethod
    def spell(self, prompt: Prompt, words: Tensor, layer: int, answers: Tensor) -> Spelling:
        """Run words in a prompt up to a layer, ready to compute the logits of `answers` at the prompt's end."""

    @abstractmethod
    def word_streams(self, prompt: Prompt, words: Tensor, layers: Sequence[int]) -> dict[int, Tensor]:
        """Return the stream of each layer at words in a prompt, (words, d_model)."""

    @abstractmethod
    def losses(self, ids: Tensor, replaced: dict[int, Callable[[Tensor], Tensor]]) -> Tensor:
        """Return the cross entropy of every next token, (windows, tokens - 1).

        Parameters
        ----------
        ids : Tensor
            (windows, tokens)
        replaced : dict of int to callable
            By layer, a function that maps its stream at all positions but the first to a replacement, both
            (windows * (tokens - 1), d_model).
        """

    @abstractmethod
    def raised(self, directions: Tensor) -> Tensor:
        """Return the direct effect of directions of the stream on the logits of all tokens, (directions, tokens).

        It includes the weight of the final norm, but no division by the norm, and its mean over the vocabulary is
        subtracted: only order and relative size are meaningful.
        """
