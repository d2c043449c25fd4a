"""Stage: running text, cut into windows for training, held-out evaluation and evidence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from measure.errors import MeasureError
from measure.models.loading import model_of
from measure.readers import READERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from measure.tokenizer import Tokenizer


class Windows(NamedTuple):
    """Windows of text, each after the model's start token.

    Attributes
    ----------
    ids : numpy.ndarray
        Token ids, (windows, length + 1), in random order. The first `num_held_out` windows are held out; the others are
        for training SAEs or, if none is trained, for evidence only.
    sources : numpy.ndarray
        Index of each window's source in the list of sources.
    num_held_out : int
    evidence : numpy.ndarray
        Indices of the windows for statistics of latents; those that may be redistributed come first.
    num_shown : int
        Number of these that may be redistributed; contexts are taken from them.
    """

    ids: np.ndarray
    sources: np.ndarray
    num_held_out: int
    evidence: np.ndarray
    num_shown: int

    @property
    def held_out(self) -> np.ndarray:
        """The held-out windows."""
        return self.ids[: self.num_held_out]

    @property
    def train(self) -> np.ndarray:
        """The windows for training."""
        return self.ids[self.num_held_out :]


def paragraphs(folder: Path, pattern: str, reader: str) -> Iterator[str]:
    """Read the paragraphs of all files below `folder` that match a pattern.

    Raises
    ------
    MeasureError
        If there is no such file, or no such reader.
    """
    if reader not in READERS:
        message = f"text: there is no reader {reader!r}; choose one of {', '.join(READERS)}"
        raise MeasureError(message)
    files = sorted(file for file in folder.glob(pattern) if file.is_file())
    if not files:
        message = f"{folder}: no file matches {pattern!r}; fix the text's files in the configuration"
        raise MeasureError(message)
    for file in files:
        yield from READERS[reader](file)


def cut(texts: Iterable[str], tokenizer: Tokenizer, *, length: int, limit: int, seed: int) -> np.ndarray:
    """Concatenate texts, cut them into windows of `length` tokens, and draw windows up to `limit` tokens in total."""
    ids = [token for text in texts for token in (*tokenizer.encode(text), *tokenizer.encode_on("\n\n"))]
    number = len(ids) // length
    windows = np.array(ids[: number * length], np.int32).reshape(number, length)
    drawn = np.sort(np.random.RandomState(seed).permutation(number)[: limit // length])
    return np.column_stack([np.full(len(drawn), tokenizer.start, np.int32), windows[drawn]])


def mix(
    by_source: Mapping[str, np.ndarray], ships: Sequence[bool], *, held_out: int, evidence: int, seed: int, train: bool
) -> Windows:
    """Shuffle the windows of all sources, hold some out, and choose those for evidence.

    Without training, all other windows are dropped.

    Raises
    ------
    MeasureError
        If there are fewer than twice as many windows as are to be held out.
    """
    ids = np.concatenate(list(by_source.values()))
    sources = np.repeat(np.arange(len(by_source)), [len(part) for part in by_source.values()])
    if len(ids) < 2 * held_out:
        message = f"the text has {len(ids):,} windows, of which {held_out:,} shall be held out; give more text"
        raise MeasureError(message)
    order = np.random.RandomState(seed).permutation(len(ids))
    ids, sources = ids[order], sources[order]
    may = np.asarray(ships)[sources]
    training = np.arange(held_out, len(ids))
    # Statistics may use any text; but if enough may be redistributed, they use the same text as contexts.
    chosen = training[np.argsort(~may[training], kind="stable")][:evidence]
    num_shown = int(may[chosen].sum())
    if not train:
        kept = np.concatenate([np.arange(held_out), np.sort(chosen)])
        ids, sources, chosen = ids[kept], sources[kept], np.searchsorted(kept, chosen)
    return Windows(ids, sources, held_out, chosen, num_shown)


def load_windows(folder: Path) -> Windows:
    """Load the stage's output."""
    with np.load(folder / "windows.npz") as arrays:
        numbers = int(arrays["num_held_out"]), int(arrays["num_shown"])
        return Windows(arrays["ids"], arrays["sources"], numbers[0], arrays["evidence"], numbers[1])


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Run the stage."""
    tokenizer = model_of(settings, needs).tokenizer
    how, sources = settings["windows"], settings["text"]
    by_source = {}
    for source in sources:
        folder = needs[source["source"]] if source["debian"] else Path(source["folder"])
        texts = paragraphs(folder, source["files"], source["reader"])
        by_source[source["source"]] = cut(
            texts, tokenizer, length=how["length"], limit=source["tokens"], seed=how["seed"]
        )
        progress(len(by_source) / len(sources))
    found = mix(
        by_source,
        [source["ship"] for source in sources],
        held_out=how["held_out"],
        evidence=how["evidence"],
        seed=how["seed"],
        train=how["train"],
    )
    np.savez(out / "windows.npz", **found._asdict())
