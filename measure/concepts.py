"""Families of concepts: their names, the words that have them, and how a model is prompted for them."""

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

#: The columns of a family's CSV; the first two are required.
COLUMNS = ("token", "label", "group", "split")
_SPLITS = ("", "train", "test")
#: Maximum number of words listed in a message.
_MAX_LISTED = 5
#: Number of labels of a binary family, of which the configuration names the positive one.
_BINARY = 2


@dataclass(frozen=True)
class Family:
    """Concepts of one kind.

    Attributes
    ----------
    family, title, noun : str
        Its id; its title; the noun for one of its concepts.
    names : tuple of str
        The last part of the id of each concept, which also names the model's answer. All tuples are in this order.
    labels, phrases : tuple of str
        The label of each concept, and a phrase about a word that has it ("starts with L").
    answers : tuple of str
        The answer for each concept, which follows a space in a prompt; empty if the model is not asked.
    measured : tuple of int
        Indices of the concepts that are measured: all, or the positive one of a binary family.
    parents : tuple of int or None
        For each concept, the index of the concept that it is a kind of; empty if there is no hierarchy.
    question : str
        Text after the word in generated prompts, for built-in families; their answer is a letter of the word.
    gated : bool
        Whether its words were split by groups, and concepts must pass a gate to have a rate (measure/stages/gate.py).
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
        """Return the id of the concept at an index."""
        return f"{self.family}.{self.names[place]}"

    def parent(self, place: int) -> str | None:
        """Return the id of the parent of the concept at an index; None if it has none that is measured."""
        parent = self.parents[place] if self.parents else None
        return None if parent is None or parent not in self.measured else self.concept(parent)

    def answer(self, word: str) -> str:
        """Return the answer of a worked example, a letter of the word."""
        return word.strip()[_LETTER_AT[self.family]].upper()


#: The built-in families, and the position of the letter that each is about.
_LETTER_AT = {"first-letter": 0, "last-letter": -1}
BUILT_IN = tuple(_LETTER_AT)
_BUILT_IN_TEXTS = {
    "first-letter": ("First letters", "starts with {}", " has the first letter:"),
    "last-letter": ("Last letters", "ends with {}", " has the last letter:"),
}


def built_in_family(family: str = "first-letter", *, gated: bool = False) -> Family:
    """Return a built-in family."""
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
    """Return the letter of a word that a built-in family is about, in lower case."""
    return word.strip()[_LETTER_AT[family]].lower()


class Row(NamedTuple):
    """A line of a family's CSV; `label` is empty for a word that has none of the labels.

    The default group is the word in lower case.
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
        If the file is not a valid CSV of a family, or its lines contradict each other.
    """
    rows = list(_lines(file, _text_of(file)))
    if not rows:
        message = f"{file}: has no words; give some"
        raise MeasureError(message)
    known: dict[tuple[str, str], int] = {}
    first: dict[str, Row] = {}
    for row in rows:
        if (row.token, row.label) in known:
            what = f"has the label {row.label!r}" if row.label else "is listed without a label"
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
    """Read a CSV's lines; spaces are kept in tokens and stripped from all other fields."""
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [name.strip() for name in next(reader, [])]
        if not set(COLUMNS[:2]) <= set(header) <= set(COLUMNS) or len(set(header)) < len(header):
            message = (
                f"{file}: its first line is {','.join(header)!r}; it needs the columns token,label and may have"
                " group,split, separated by commas"
            )
            raise MeasureError(message)
        for fields in reader:
            if not fields:
                continue
            if len(fields) != len(header):
                message = f"{file}: line {reader.line_num}: has {len(fields)} fields, not {len(header)}; fix it"
                raise MeasureError(message)
            values = dict.fromkeys(COLUMNS, "") | dict(zip(header, fields, strict=True))
            label, group, split = (values[name].strip() for name in COLUMNS[1:])
            row = Row(reader.line_num, values["token"], label, group or values["token"].strip().lower(), split)
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
    """Reject a split that is given for some words only, or that separates words of one group."""
    if len({bool(row.split) for row in rows}) > 1:
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


def id_suffix(label: str) -> str:
    """Return the last part of the id of a label's concept: lower-case letters, digits and hyphens."""
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
    all_labels: Iterable[str] = (),
) -> Family:
    """Build the family of a CSV file.

    Parameters
    ----------
    file : Path
        The CSV, for error messages.
    labels : sequence of str
        The labels that words of the model's vocabulary have, in order.
    family : str
    title, noun, phrase : str, optional
        `phrase` is a template with {label} about a word that has the label.
    answers : mapping of str to str
        By label; empty if the model is not asked.
    positive : str, optional
        The label that is measured, in a binary family.
    parents : mapping of str to str
        By label, the label that it is a kind of.
    complete : bool
        Whether each word has exactly one of the labels. With two labels the family is then binary.
    all_labels : iterable of str
        All labels in the file, including those that no word of the model's vocabulary has.

    Raises
    ------
    MeasureError
        If labels, answers, `positive` and parents are inconsistent.
    """
    by_name: dict[str, str] = {}
    for label in labels:
        other = by_name.setdefault(id_suffix(label), label)
        if other != label or not id_suffix(label):
            why = (
                f"labels {other!r} and {label!r} are the same id" if other != label else f"label {label!r} gives no id"
            )
            message = f"{file}: {why} ({family}.{id_suffix(label)}); rename one, letters and digits count"
            raise MeasureError(message)
    _check_answers(file, labels, answers, {*labels, *all_labels})
    _check_parents(file, parents, {*labels, *all_labels})
    binary = len(labels) == _BINARY and complete
    if binary and positive not in labels:
        message = (
            f"{file}: has two labels, {labels[0]!r} and {labels[1]!r}, of which one is measured; say which by"
            f" positive = {labels[0]!r} in the configuration"
        )
        raise MeasureError(message)
    if not binary and positive is not None:
        message = f"{file}: is no family of a yes and a no, where each word has one of two labels; remove positive"
        raise MeasureError(message)
    places = {label: place for place, label in enumerate(labels)}
    return Family(
        family,
        title or family,
        noun or "concept",
        names=tuple(map(id_suffix, labels)),
        labels=tuple(labels),
        phrases=tuple((phrase or "is {label}").replace("{label}", label) for label in labels),
        answers=tuple(answers[label] for label in labels) if answers else (),
        measured=tuple(place for place, label in enumerate(labels) if positive in (None, label)),
        parents=tuple(places.get(parents.get(label, "")) for label in labels) if parents else (),
        gated=True,
    )


def _check_parents(file: Path, parents: Mapping[str, str], all_labels: set[str]) -> None:
    if unknown := [label for pair in parents.items() for label in pair if label not in all_labels]:
        message = f"{file}: no word has the label {unknown[0]!r} of the configuration's parents; remove it there"
        raise MeasureError(message)
    try:
        TopologicalSorter({label: [parent] for label, parent in parents.items()}).prepare()
    except CycleError as error:
        message = f"{file}: label {error.args[1][0]!r} is above itself in the configuration's parents; remove it there"
        raise MeasureError(message) from error


def _check_answers(file: Path, labels: Sequence[str], answers: Mapping[str, str], all_labels: set[str]) -> None:
    if not answers:
        return
    if missing := [label for label in labels if label not in answers]:
        message = f"{file}: label {missing[0]!r} has no answer; give one for each label in the configuration's answers"
        raise MeasureError(message)
    if unknown := [label for label in answers if label not in all_labels]:
        message = f"{file}: no word has the label {unknown[0]!r} of the configuration's answers; remove it there"
        raise MeasureError(message)
    if len(labels) < _BINARY:
        message = f"{file}: has one label, so there is no wrong answer; remove answers, or give words of another label"
        raise MeasureError(message)


def first_few(words: Sequence[str]) -> str:
    """List the first few words."""
    return ", ".join(map(repr, words[:_MAX_LISTED])) + (", ..." if len(words) > _MAX_LISTED else "")
