"""Stage: the words of a family of concepts, their labels, and their split."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import TypeAdapter

from measure.concepts import (
    FIRST_LETTERS,
    Family,
    built_in_family,
    family_of_labels,
    first_few,
    letter_of_word,
    read_rows,
)
from measure.errors import MeasureError
from measure.models.loading import model_of
from queries.schema import LETTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from measure.concepts import Row
    from measure.tokenizer import Tokenizer

#: Number of folds of a split by groups; the first one is for testing.
NUM_FOLDS = 5
#: A concept with fewer words is cross-fitted: each of its words is tested, with probes fitted without its fold.
SMALL = 500
#: A concept with fewer words, or whose words have fewer groups than there are folds, is not measured.
LEAST_WORDS = 20
#: Maximum number of labels listed in a message.
_MAX_LABELS = 40


class Vocabulary(NamedTuple):
    """The words of a family, sorted by token id.

    Attributes
    ----------
    ids, texts : numpy.ndarray
        Token id and text of each word, (words,).
    labels : numpy.ndarray of bool
        Which concepts each word has, (words, concepts).
    is_test : numpy.ndarray of bool
        Whether a word is tested: words of the first fold, and all words of cross-fitted concepts.
    groups : numpy.ndarray or None
        The group of each word; the words of a group share a fold and are sampled together in a bootstrap.
    folds : numpy.ndarray or None
        The fold of each word; fold 0 is not used for choices that are made once, such as the ranking of latents.
    crossed : numpy.ndarray of bool or None
        Which concepts are cross-fitted: their probes are scored on all words, those of other concepts on fold 0.
    family : Family
    """

    ids: np.ndarray
    texts: np.ndarray
    labels: np.ndarray
    is_test: np.ndarray
    groups: np.ndarray | None = None
    folds: np.ndarray | None = None
    crossed: np.ndarray | None = None
    family: Family = FIRST_LETTERS

    @property
    def train(self) -> np.ndarray:
        """Indices of the training words."""
        return np.flatnonzero(~self.is_test if self.folds is None else self.folds != 0)

    @property
    def test(self) -> np.ndarray:
        """Indices of the words that are tested."""
        return np.flatnonzero(self.is_test)

    @property
    def test_folds(self) -> np.ndarray:
        """The fold of each word that is tested."""
        return np.zeros(len(self.test), int) if self.folds is None else self.folds[self.test]

    @property
    def grouping(self) -> tuple[np.ndarray, np.ndarray]:
        """Fold and group of each word; ValueError if the words were not split by groups."""
        if self.folds is None or self.groups is None:
            message = f"words of {self.family.family} were not split by groups"
            raise ValueError(message)
        return self.folds, self.groups

    def crosses(self, place: int) -> bool:
        """Return whether a concept is cross-fitted."""
        return self.crossed is not None and bool(self.crossed[place])

    def judged(self, place: int) -> np.ndarray:
        """Return a mask of the test words on which a concept is tested, (test words,)."""
        return np.ones(len(self.test), bool) if self.crosses(place) else self.test_folds == 0

    @property
    def scored(self) -> np.ndarray:
        """Indices of the words on which the probe of at least one concept is scored."""
        every = self.crossed is not None and self.crossed.any()
        return np.arange(len(self.ids)) if every else self.test

    @property
    def scored_folds(self) -> np.ndarray:
        """The fold of each word in `scored`."""
        return np.zeros(len(self.scored), int) if self.folds is None else self.folds[self.scored]

    def is_scored(self, place: int) -> np.ndarray:
        """Return a mask of the words in `scored` on which the probes of a concept are scored."""
        return np.ones(len(self.scored), bool) if self.crosses(place) else self.scored_folds == 0

    def test_positions(self, words: np.ndarray) -> np.ndarray:
        """Return the positions in `test` of words given by index."""
        return np.searchsorted(self.test, words)

    def too_few(self, place: int) -> str | None:
        """Return why a concept has too few words to be measured, or None."""
        own = self.labels[:, place]
        if own.sum() < LEAST_WORDS:
            return f"it has {own.sum()} words, fewer than {LEAST_WORDS}"
        if self.groups is not None and (number := len(np.unique(self.groups[own]))) < NUM_FOLDS:
            return f"its words are of {number} groups, fewer than {NUM_FOLDS}"
        if not self.crosses(place):
            held_out = int((own[self.test] & self.judged(place)).sum())
            if held_out in (0, own.sum()):
                return f"{held_out} of its {own.sum()} words are for testing; it needs some for each"
        return None


class _Word(NamedTuple):
    number: int
    text: str
    labels: frozenset[str]
    group: str
    split: str


def read_vocabulary(
    tokenizer: Tokenizer,
    *,
    seed: int = 42,
    letters: str = LETTERS,
    limit: int | None = None,
    split: str = "random",
    test_share: float = 0.2,
    concepts: Mapping[str, Any] | None = None,
) -> Vocabulary:
    """List the words of a family.

    Parameters
    ----------
    tokenizer : Tokenizer
    seed : int
        Seed of the split, and of the sample if there is a limit.
    letters : str
        Letters of a built-in family to include.
    limit : int, optional
        Maximum number of words, sampled at random.
    split : {"random", "stratified"}
        "stratified": each letter has the same share of test words, up to rounding.
    test_share : float
    concepts : mapping, optional
        The configured family (`measure.config.ConceptsPart`) with the absolute `path` of its file; its words are split
        by groups. By default first letters, split according to `split`.

    Raises
    ------
    MeasureError
        If there are too few words to train and test on, or the family's file is invalid.
    """
    given = concepts or {"family": "first-letter"}
    if given.get("path"):
        family, words = _from_file(tokenizer, given)
    else:
        family = built_in_family(given["family"], gated=concepts is not None)
        words = [
            _Word(number, text, frozenset({letter}), text.strip().lower(), "")
            for number, text in tokenizer.words()
            if (letter := letter_of_word(given["family"], text)) in letters
        ]
    if limit is not None and limit < len(words):
        kept = np.random.RandomState(seed).choice(len(words), limit, replace=False)
        words = [words[place] for place in np.sort(kept)]
    if not given.get("path") and len(words) < 10 * len(letters):
        message = (
            f"the tokenizer has {len(words):,} tokens of letters only, too few to probe {len(letters)} letters; use a"
            " model whose vocabulary holds words"
        )
        raise MeasureError(message)
    ids, texts = np.array([word.number for word in words]), np.array([word.text for word in words])
    known = family.names if not given.get("path") else family.labels
    labels = np.array([[label in word.labels for label in known] for word in words])
    if family.gated:
        found = _by_groups(ids, texts, labels, words, seed, family)
        if all(found.too_few(place) for place in family.measured):
            place = family.measured[0]
            named = f"{given.get('file') or family.family}: no label has enough words"
            message = f"{named} ({family.labels[place]}: {found.too_few(place)}); give more, or another model"
            raise MeasureError(message)
        return found
    order = np.random.RandomState(seed).permutation(len(words))
    # The last `test_share` of all shuffled words, or of those of each letter, are for testing.
    parts = [order] if split == "random" else [order[of_letter[order]] for of_letter in labels.T[labels.any(0)]]
    is_test = np.zeros(len(words), bool)
    for part in parts:
        is_test[part[int(len(part) * (1 - test_share)) :]] = True
    return Vocabulary(ids, texts, labels, is_test)


def _from_file(tokenizer: Tokenizer, given: Mapping[str, Any]) -> tuple[Family, list[_Word]]:
    """Read the words of a CSV that are single tokens, and their family."""
    file = Path(given["path"])
    rows = read_rows(file)
    numbers, lost = _numbers(tokenizer, file, rows)
    if not numbers:
        message = f"{file}: none of its words is one token of the model ({first_few(lost)}){_hint(tokenizer, lost)}"
        raise MeasureError(f"{message}; give tokens as the tokenizer has them")
    labels = list(dict.fromkeys(row.label for row in rows if row.label and row.token in numbers))
    words: dict[str, _Word] = {}
    for row in rows:
        if row.token in numbers:
            before = words[row.token].labels if row.token in words else frozenset()
            labels_of = before | ({row.label} - {""})
            words[row.token] = _Word(numbers[row.token], row.token, labels_of, row.group, row.split)
    if not labels:
        message = f"{file}: none of its words has a label; give some"
        raise MeasureError(message)
    if of_all := frozenset.intersection(*(word.labels for word in words.values())):
        message = f"{file}: all its words have the label {min(of_all)!r}; give words without it, too"
        raise MeasureError(message)
    family = family_of_labels(
        file,
        labels,
        **{name: given[name] for name in ("family", "title", "noun", "phrase", "answers", "positive", "parents")},
        complete=all(len(word.labels) == 1 for word in words.values()),
        all_labels={row.label for row in rows} - {""},
    )
    for label, parent in given["parents"].items():
        if apart := [word.text for word in words.values() if label in word.labels and parent not in word.labels]:
            message = f"{file}: {apart[0]!r} has the label {label!r} and not its parent {parent!r}; give it both"
            raise MeasureError(message)
    if family.answers and (every := [word.text for word in words.values() if len(word.labels) == len(labels)]):
        message = f"{file}: {every[0]!r} has every label, so no answer is wrong; remove it, or the answers"
        raise MeasureError(message)
    return family, sorted(words.values(), key=lambda word: word.number)


def _numbers(tokenizer: Tokenizer, file: Path, rows: Sequence[Row]) -> tuple[dict[str, int], list[str]]:
    """Return the token id of each word, and the words that are not single tokens."""
    known = {text: number for number, text in tokenizer.words()}
    numbers, lost = {}, []
    for token in dict.fromkeys(row.token for row in rows):
        ids = [known[token]] if token in known else tokenizer.encode_on(token)
        if len(ids) == 1:
            numbers[token] = ids[0]
        else:
            lost.append(token)
    double = [number for number, times in Counter(numbers.values()).items() if times > 1]
    if double:
        same = [token for token, number in numbers.items() if number == double[0]]
        message = f"{file}: the words {same[0]!r} and {same[1]!r} are the same token; remove one"
        raise MeasureError(message)
    return numbers, lost


def _hint(tokenizer: Tokenizer, lost: Sequence[str]) -> str:
    """Suggest a leading space if words would be tokens with one."""
    spaced = [token for token in lost[:100] if not token.startswith(" ") and len(tokenizer.encode_on(f" {token}")) == 1]
    return f"; with a space before it, as in {f' {spaced[0]}'!r}, it is one" if spaced else ""


def _by_groups(
    ids: np.ndarray, texts: np.ndarray, labels: np.ndarray, words: Sequence[_Word], seed: int, family: Family
) -> Vocabulary:
    """Split words by their groups."""
    _, groups = np.unique([word.group for word in words], return_inverse=True)
    given = np.array([word.split for word in words])
    folds = assign_folds(groups, labels, NUM_FOLDS, seed)
    if (given != "").all():
        # The first fold is the given test split; the training words are divided into the others.
        train = given == "train"
        folds = np.zeros(len(words), int)
        folds[train] = 1 + assign_folds(groups[train], labels[train], NUM_FOLDS - 1, seed)
        crossed = np.zeros(labels.shape[1], bool)
    else:
        crossed = labels.sum(0) < SMALL
    found = Vocabulary(ids, texts, labels, folds == 0, groups, folds, crossed, family)
    measured = [place for place in family.measured if not found.too_few(place)]
    crossed &= np.isin(np.arange(labels.shape[1]), measured)
    return found._replace(is_test=(folds == 0) | labels[:, crossed].any(1))


def assign_folds(groups: np.ndarray, labels: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Distribute groups of words over folds, so that all folds have about as many words of each label.

    Parameters
    ----------
    groups : numpy.ndarray
        The group of each word.
    labels : numpy.ndarray of bool
        (words, labels)
    number : int
        Number of folds.
    seed : int

    Returns
    -------
    numpy.ndarray
        The fold of each word.
    """
    rng = np.random.RandomState(seed)
    _, groups = np.unique(groups, return_inverse=True)
    sizes = np.bincount(groups)
    # A group counts for its rarest label; groups without labels come last.
    rarity = np.argsort(np.argsort(labels.sum(0), kind="stable"), kind="stable")
    rank = np.where(labels, rarity, len(rarity)).min(1, initial=len(rarity))
    rarest = np.full(len(sizes), len(rarity))
    np.minimum.at(rarest, groups, rank)
    own = np.bincount(groups, rank == rarest[groups], len(sizes)).astype(int)
    counts, totals = np.zeros((len(rarity) + 1, number), int), np.zeros(number, int)
    fold_of = np.zeros(len(sizes), int)
    shuffled = rng.permutation(len(sizes))
    # Large groups first, in random order within a size, so that small groups even out the folds.
    for group in shuffled[np.lexsort((-own[shuffled], rarest[shuffled]))]:
        fold = np.lexsort((totals, counts[rarest[group]]))[0]
        fold_of[group] = fold
        counts[rarest[group], fold] += own[group]
        totals[fold] += sizes[group]
    return fold_of[groups]


def describe(vocabulary: Vocabulary, lost: Sequence[str] = ()) -> list[str]:
    """Describe a family's words in lines: the number of words per label, and the concepts that are not measured.

    `lost` are further lines, about words that are not single tokens.
    """
    family = vocabulary.family
    numbers = sorted(
        ((int(number), family.labels[place]) for place, number in enumerate(vocabulary.labels.sum(0)) if number),
        key=lambda pair: -pair[0],
    )
    listed = ", ".join(f"{label} {number:,}" for number, label in numbers[:_MAX_LABELS])
    further = f", and {len(numbers) - _MAX_LABELS:,} further labels" if len(numbers) > _MAX_LABELS else ""
    without = int((~vocabulary.labels.any(1)).sum())
    none = f", none {without:,}" if without else ""
    lines = [f"{family.family}: {len(vocabulary.ids):,} words: {listed}{further}{none}", *lost]
    poor = {place: why for place in family.measured if family.gated and (why := vocabulary.too_few(place))}
    lines += [
        f"{family.concept(place)}: not measured, because {why}"
        for place, why in poor.items()
        if vocabulary.labels[:, place].any()
    ]
    return lines


def words_of_several_tokens(tokenizer: Tokenizer, concepts: Mapping[str, Any]) -> list[str]:
    """Return lines about the words of a family's file that are not single tokens, and the labels lost with them."""
    if not concepts.get("path"):
        return []
    file = Path(concepts["path"])
    rows = read_rows(file)
    numbers, lost = _numbers(tokenizer, file, rows)
    if not lost:
        return []
    left = {row.label for row in rows if row.token in numbers}
    gone = [label for label in dict.fromkeys(row.label for row in rows if row.label) if label not in left]
    with_them = f", and with them the labels {first_few(gone)}" if gone else ""
    number = len(numbers) + len(lost)
    what = f"{len(lost):,} of {number:,} words are no single token of the model and are omitted ({first_few(lost)})"
    return [f"{file}: {what}{with_them}{_hint(tokenizer, lost)}"]


def load_vocabulary(folder: Path) -> Vocabulary:
    """Load the stage's output."""
    family = TypeAdapter(Family).validate_json((folder / "family.json").read_bytes())
    with np.load(folder / "vocabulary.npz") as arrays:
        return Vocabulary(**arrays, family=family)


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Run the stage."""
    tokenizer = model_of(settings, needs).tokenizer
    found = read_vocabulary(tokenizer, **settings["vocabulary"], concepts=settings["concepts"])
    arrays = found._asdict()
    (out / "family.json").write_text(json.dumps(asdict(arrays.pop("family"))), "utf-8")
    np.savez(out / "vocabulary.npz", **{name: array for name, array in arrays.items() if array is not None})
    progress(1)
