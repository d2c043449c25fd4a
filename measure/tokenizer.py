"""A model's tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Tokenizer as Backend

#: Characters that stand for a leading space in byte-level and in SentencePiece vocabularies.
_SPACE_MARKS = {"Ġ": " ", "▁": " "}


class Tokenizer:
    """Tokens of one model.

    Parameters
    ----------
    backend : tokenizers.Tokenizer
    start : int
        Id of the token that begins every window and prompt; its position is excluded from all statistics.
    """

    def __init__(self, backend: Backend, start: int) -> None:
        self._backend = backend
        self.start = start
        # Such a tokenizer adds a space before the text.
        self._prepends = self.encode("a") == self.encode(" a")

    def __len__(self) -> int:
        # Ids need not be contiguous.
        return max(self._backend.get_vocab().values(), default=-1) + 1

    def words(self) -> list[tuple[int, str]]:
        """Return id and text of the tokens that consist of letters A-Z, with or without a leading space."""
        found = []
        for piece, number in self._backend.get_vocab().items():
            text = _SPACE_MARKS.get(piece[:1], piece[:1]) + piece[1:]
            letters = text.removeprefix(" ")
            if letters.isascii() and letters.isalpha():
                found.append((number, text))
        return sorted(found)

    def encode(self, text: str) -> list[int]:
        """Return the ids of the tokens of `text`, without special tokens."""
        return self._backend.encode(text, add_special_tokens=False).ids

    def encode_on(self, text: str) -> list[int]:
        """Return the ids of the tokens of `text` as a continuation: without the space that some tokenizers add."""
        if not self._prepends:
            return self.encode(text)
        before = self.encode("\n")
        both = self.encode(f"\n{text}")
        return both[len(before) :] if both[: len(before)] == before else self.encode(text)

    def texts(self, ids: Sequence[int]) -> list[str]:
        """Return the text of each token."""
        return [self._backend.decode([number], skip_special_tokens=False) for number in ids]


def from_gguf(fields: dict[str, Any], start: int) -> Tokenizer:
    """Build the byte-level BPE tokenizer that a gguf file describes; `start` is the token that begins a text."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers

    vocabulary = {piece: number for number, piece in enumerate(fields["tokenizer.ggml.tokens"])}
    merges = [tuple(merge.split(" ", 1)) for merge in fields["tokenizer.ggml.merges"]]
    backend = Backend(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    return Tokenizer(backend, start)
