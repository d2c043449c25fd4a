"""Stage: the alphabetic tokens of a vocabulary, their letters, and which of them are for testing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from measure.errors import MeasureError
from measure.models.loading import model_of
from queries.schema import LETTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from measure.tokenizer import Tokenizer


class Vocabulary(NamedTuple):
    """Words in the order of their numbers; `letters` counts a as 0."""

    ids: np.ndarray
    texts: np.ndarray
    letters: np.ndarray
    is_test: np.ndarray

    @property
    def train(self) -> np.ndarray:
        """The places of the training words."""
        return np.flatnonzero(~self.is_test)

    @property
    def test(self) -> np.ndarray:
        """The places of the test words."""
        return np.flatnonzero(self.is_test)

    def test_rows(self, words: np.ndarray) -> np.ndarray:
        """Return which of the test words the words are that lie at these places."""
        return np.searchsorted(self.test, words)


def read_vocabulary(
    tokenizer: Tokenizer,
    *,
    seed: int = 42,
    letters: str = LETTERS,
    limit: int | None = None,
    split: str = "random",
    test_share: float = 0.2,
) -> Vocabulary:
    """List the words of a tokenizer.

    Parameters
    ----------
    tokenizer : Tokenizer
    seed : int
        Of the split, and of the sample where there is a limit.
    letters : str
        First letters that are taken in.
    limit : int, optional
        Number of words to sample; all where there is none.
    split : {"random", "stratified"}
        Stratified: each letter has the same share of test words, as far as whole words allow.
    test_share : float

    Raises
    ------
    MeasureError
        Where too few tokens are alphabetic to train and test on.
    """
    words = [(number, text) for number, text in tokenizer.words() if text.strip()[0].lower() in letters]
    if limit is not None and limit < len(words):
        kept = np.random.RandomState(seed).choice(len(words), limit, replace=False)
        words = [words[place] for place in np.sort(kept)]
    if len(words) < 10 * len(letters):
        message = (
            f"the tokenizer has {len(words):,} tokens of letters only, too few to probe {len(letters)} letters; use a"
            " model whose vocabulary holds words"
        )
        raise MeasureError(message)
    ids, texts = zip(*words, strict=True)
    first = np.array([LETTERS.index(text.strip()[0].lower()) for text in texts])
    order = np.random.RandomState(seed).permutation(len(words))
    # Shuffled words of one letter after the other, of each as many for testing as its share asks for.
    groups = [order] if split == "random" else [order[first[order] == letter] for letter in np.unique(first)]
    is_test = np.zeros(len(words), bool)
    for group in groups:
        is_test[group[int(len(group) * (1 - test_share)) :]] = True
    return Vocabulary(np.array(ids), np.array(texts), first, is_test)


def load_vocabulary(folder: Path) -> Vocabulary:
    """Read what the stage wrote."""
    with np.load(folder / "vocabulary.npz") as arrays:
        return Vocabulary(**arrays)


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Do the stage."""
    found = read_vocabulary(model_of(settings, needs).tokenizer, **settings["vocabulary"])
    np.savez(out / "vocabulary.npz", **found._asdict())
    progress(1)
