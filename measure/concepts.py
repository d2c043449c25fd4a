"""Families of concepts: what their concepts are called, which words have them, and how the model is asked for them."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, NamedTuple

from measure.errors import MeasureError
from queries.manifest import NAME_LENGTH
from queries.schema import LETTERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

#: The columns of a family's CSV; the first two are needed.
COLUMNS = ("token", "label", "group", "split")
_SPLITS = ("", "train", "test")
#: Words that a line names of those that are wrong.
_NAMED = 5
#: A family of so many labels has to be told which of them is meant.
_TWO = 2


@dataclass(frozen=True)
class Family:
    """Concepts of one kind.

    Attributes
    ----------
    family, title, noun : str
        Its id; what it and one of its concepts are called.
    names : tuple of str
        What the ids of its concepts end in, in their order; the model's answers are called so, too.
    labels, phrases : tuple of str
        What is shown of each concept, and said of its words.
    answers : tuple of str
        What the model answers with for each, after a space; empty where it is not asked.
    measured : tuple of int
        Places of the concepts that are measured: all, or of a yes and a no the yes.
    parents : tuple of int or None
        Places of the concepts that they are kinds of; empty where none is.
    question : str
        What follows the word where prompts are drawn: answers are then a letter of the word, the first or the last.
    gated : bool
        Whether its words were split by groups, and a gate stands before its rates (measure/stages/gate.py).
    """

    family: str
    title: str
    noun: str
    names: tuple[str, ...]
    labels: tuple[str, ...]
    phrases: tuple[str, ...]
    answers: tuple[str, ...] = ()
    measured: tuple[int, ...] = ()
    parents: tuple[int | None, ...] = ()
    question: str = ""
    gated: bool = False

    def concept(self, place: int) -> str:
        """Return the id of the concept at a place."""
        return f"{self.family}.{self.names[place]}"

    def parent(self, place: int) -> str | None:
        """Return the id of the concept that the one at a place is a kind of, if it is measured."""
        parent = self.parents[place] if self.parents else None
        return None if parent is None or parent not in self.measured else self.concept(parent)

    def answer(self, word: str) -> str:
        """Return the answer of a worked example: the letter of the word that the family is about."""
        return word.strip()[_LETTER_AT[self.family]].upper()


#: The families that are built in, and which letter of a word each is about.
_LETTER_AT = {"first-letter": 0, "last-letter": -1}
BUILT_IN = tuple(_LETTER_AT)
_BUILT_IN_TEXTS = {
    "first-letter": ("First letters", "starts with {}", " has the first letter:"),
    "last-letter": ("Last letters", "ends with {}", " has the last letter:"),
}


def built_in_family(family: str = "first-letter", *, gated: bool = False) -> Family:
    """Return a family that is built in."""
    title, phrase, question = _BUILT_IN_TEXTS[family]
    upper = tuple(LETTERS.upper())
    return Family(
        family,
        title,
        "letter",
        names=tuple(LETTERS),
        labels=upper,
        phrases=tuple(phrase.format(letter) for letter in upper),
        answers=upper,
        measured=tuple(range(len(LETTERS))),
        question=question,
        gated=gated,
    )


FIRST_LETTERS = built_in_family()


def letter_of_word(family: str, word: str) -> str:
    """Return the letter that a word has by a family that is built in, in lower case."""
    return word.strip()[_LETTER_AT[family]].lower()


class Row(NamedTuple):
    """A line of a family's CSV; `label` is empty for a word that has none of the labels.

    A word of which no group is told is in that of its form in lower case.
    """

    line: int
    token: str
    label: str
    group: str
    split: str


def read_rows(file: Path) -> list[Row]:
    """Read the words of a family.

    Raises
    ------
    MeasureError
        Where the file is no such CSV, or a line contradicts another one.
    """
    rows = list(_lines(file, _text_of(file)))
    if not rows:
        message = f"{file}: has no words; give some"
        raise MeasureError(message)
    known: dict[tuple[str, str], int] = {}
    first: dict[str, Row] = {}
    for row in rows:
        if (row.token, row.label) in known:
            what = f"has the label {row.label!r}" if row.label else "stands without a label"
            message = f"{file}: line {row.line}: {row.token!r} {what} twice (line {known[row.token, row.label]}, too)"
            raise MeasureError(f"{message}; remove one")
        known[row.token, row.label] = row.line
        before = first.setdefault(row.token, row)
        for name in ("group", "split"):
            if getattr(row, name) != getattr(before, name):
                message = (
                    f"{file}: line {row.line}: {row.token!r} has another {name} than in line {before.line}; fix it"
                )
                raise MeasureError(message)
        if row is not before and not (row.label and before.label):
            message = f"{file}: line {row.line}: {row.token!r} has no label and one (line {before.line}); remove one"
            raise MeasureError(message)
    _check_splits(file, list(first.values()))
    return rows


def _text_of(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        message = f"{file}: {error.strerror}; fix its path in the configuration"
        raise MeasureError(message) from error
    except UnicodeDecodeError as error:
        message = f"{file}: is not in UTF-8 (byte {error.start + 1}); save it in UTF-8"
        raise MeasureError(message) from error
    if "\0" in text:
        message = f"{file}: is not in UTF-8 (it holds NUL, as UTF-16 does); save it in UTF-8"
        raise MeasureError(message)
    return text


def _lines(file: Path, text: str) -> Iterable[Row]:
    """Read a CSV's lines; spaces belong to tokens, and to nothing else."""
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [name.strip() for name in next(reader, [])]
        if not set(COLUMNS[:2]) <= set(header) <= set(COLUMNS) or len(set(header)) < len(header):
            message = (
                f"{file}: its first line is {','.join(header)!r}; it needs the columns token,label and may have"
                " group,split, parted by commas"
            )
            raise MeasureError(message)
        for fields in reader:
            if not fields:
                continue
            if len(fields) != len(header):
                message = f"{file}: line {reader.line_num}: has {len(fields)} fields, not {len(header)}; fix it"
                raise MeasureError(message)
            told = dict.fromkeys(COLUMNS, "") | dict(zip(header, fields, strict=True))
            label, group, split = (told[name].strip() for name in COLUMNS[1:])
            row = Row(reader.line_num, told["token"], label, group or told["token"].strip().lower(), split)
            if not row.token.strip():
                message = f"{file}: line {row.line}: has no token; give one or remove the line"
                raise MeasureError(message)
            if not row.label.isprintable():
                message = f"{file}: line {row.line}: label {row.label!r} holds what cannot be shown; remove that"
                raise MeasureError(message)
            if (length := len(row.label)) > NAME_LENGTH:
                message = (
                    f"{file}: line {row.line}: has a label of {length:,} characters, {NAME_LENGTH} at most; shorten it"
                )
                raise MeasureError(message)
            if row.split not in _SPLITS:
                message = f"{file}: line {row.line}: split is {row.split!r}; give train or test, or leave it out"
                raise MeasureError(message)
            yield row
    except csv.Error as error:
        message = f"{file}: line {reader.line_num}: no CSV ({error}); fix it"
        raise MeasureError(message) from error


def _check_splits(file: Path, rows: Sequence[Row]) -> None:
    """Refuse a split that is told of some words only, or that parts a group."""
    told = {bool(row.split) for row in rows}
    if len(told) > 1:
        row = next(row for row in rows if not row.split)
        message = f"{file}: line {row.line}: {row.token!r} has no split, others have one; give it to all or to none"
        raise MeasureError(message)
    groups: dict[str, Row] = {}
    for row in rows:
        before = groups.setdefault(row.group, row)
        if row.split != before.split:
            message = (
                f"{file}: line {row.line}: group {row.group!r} is for {row.split}, in line {before.line} for"
                f" {before.split}; give all words of a group the same split"
            )
            raise MeasureError(message)


def name_of(label: str) -> str:
    """Return what the id of a label's concept ends in: lower-case letters and digits, hyphens between them."""
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")


def family_of_labels(
    file: Path,
    labels: Sequence[str],
    *,
    family: str,
    title: str | None,
    noun: str | None,
    phrase: str | None,
    answers: Mapping[str, str],
    positive: str | None,
    parents: Mapping[str, str],
    complete: bool = True,
    told: Iterable[str] = (),
) -> Family:
    """Describe a family that a CSV tells.

    Parameters
    ----------
    file : Path
        The CSV, to be named.
    labels : sequence of str
        The labels that words of the model have, in their order.
    family : str
    title, noun, phrase : str, optional
        `phrase` says of a word that it has a label, which stands for {label} there.
    answers : mapping of str to str
        By label; none where the model is not asked.
    positive : str, optional
        Of a yes and a no the one that is measured: two labels, of which each word has one.
    parents : mapping of str to str
        By label the one that it is a kind of, where there is one.
    complete : bool
        Whether each word has one of the labels, and no more.
    told : iterable of str
        All labels of the file, those too that no word of the model has.

    Raises
    ------
    MeasureError
        Where labels and what is said of them do not fit.
    """
    by_name: dict[str, str] = {}
    for label in labels:
        other = by_name.setdefault(name_of(label), label)
        if other != label or not name_of(label):
            why = (
                f"labels {other!r} and {label!r} are the same id" if other != label else f"label {label!r} gives no id"
            )
            message = f"{file}: {why} ({family}.{name_of(label)}); rename one, letters and digits count"
            raise MeasureError(message)
    _check_answers(file, labels, answers, {*labels, *told})
    _check_parents(file, parents, {*labels, *told})
    yes_and_no = len(labels) == _TWO and complete
    if yes_and_no and positive not in labels:
        message = (
            f"{file}: has two labels, {labels[0]!r} and {labels[1]!r}, of which one is measured; say which by"
            f" positive = {labels[0]!r} in the configuration"
        )
        raise MeasureError(message)
    if not yes_and_no and positive is not None:
        message = f"{file}: is no family of a yes and a no, where each word has one of two labels; remove positive"
        raise MeasureError(message)
    places = {label: place for place, label in enumerate(labels)}
    return Family(
        family,
        title or family,
        noun or "concept",
        names=tuple(map(name_of, labels)),
        labels=tuple(labels),
        phrases=tuple((phrase or "is {label}").replace("{label}", label) for label in labels),
        answers=tuple(answers[label] for label in labels) if answers else (),
        measured=tuple(place for place, label in enumerate(labels) if positive in (None, label)),
        parents=tuple(places.get(parents.get(label, "")) for label in labels) if parents else (),
        gated=True,
    )


def _check_parents(file: Path, parents: Mapping[str, str], told: set[str]) -> None:
    if strange := [label for pair in parents.items() for label in pair if label not in told]:
        message = f"{file}: no word has the label {strange[0]!r} of the configuration's parents; remove it there"
        raise MeasureError(message)
    try:
        TopologicalSorter({label: [parent] for label, parent in parents.items()}).prepare()
    except CycleError as error:
        message = f"{file}: label {error.args[1][0]!r} is above itself in the configuration's parents; remove it there"
        raise MeasureError(message) from error


def _check_answers(file: Path, labels: Sequence[str], answers: Mapping[str, str], told: set[str]) -> None:
    if not answers:
        return
    if missing := [label for label in labels if label not in answers]:
        message = f"{file}: label {missing[0]!r} has no answer; give one for each label in the configuration's answers"
        raise MeasureError(message)
    if strange := [label for label in answers if label not in told]:
        message = f"{file}: no word has the label {strange[0]!r} of the configuration's answers; remove it there"
        raise MeasureError(message)
    if len(labels) < _TWO:
        message = f"{file}: has one label, so there is no wrong answer; remove answers, or give words of another label"
        raise MeasureError(message)


def shortened(words: Sequence[str]) -> str:
    """Name a few of some words."""
    return ", ".join(map(repr, words[:_NAMED])) + (", ..." if len(words) > _NAMED else "")
