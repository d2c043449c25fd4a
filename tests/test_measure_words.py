"""Families of words are derived from WordNet's files: suffixes, main parts of speech, and kinds."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pytest

from measure.config import read_config
from measure.words import FAMILIES, PARENTS, read_lexicon, write_families
from tests.browser import ROOT

if TYPE_CHECKING:
    from pathlib import Path

#: Synsets in the format of wndb(5WN), with places and meanings made up: a licence's line, and one line each.
_DATA = {
    "noun": """\
  1 a line of a licence begins with two spaces
00000100 05 n 01 frog 0 000 | made up
00000200 06 n 01 string 0 000 | made up
00000300 18 n 02 singer 0 vocalist 0 001 + 00000100 v 0101 | made up
00000400 13 n 01 frog 0 000 | made up
00000500 04 n 01 creation 0 001 + 00000200 v 0101 | made up
00000600 06 n 01 corner 0 000 | made up
00000700 17 n 01 water 0 001 + 00000400 v 0101 | made up
00000800 06 n 01 bed 0 000 | made up
00000900 05 n 01 toad 0 000 | made up
00001000 13 n 01 toad 0 000 | made up
""",
    "verb": """\
00000100 36 v 01 sing 0 001 + 00000300 n 0101 01 + 02 00 | made up
00000200 36 v 01 create 0 000 00 | made up
00000300 35 v 01 corn 0 000 00 | made up
00000400 35 v 01 water 0 000 00 | made up
00000500 38 v 01 run 0 000 00 | made up
""",
    "adj": """\
00000100 00 a 01 quick 0 000 | made up
00000200 00 s 01 galore(ip) 0 000 | made up
""",
    "adv": """\
00000100 02 r 01 quickly 0 001 \\ 00000100 a 0101 | made up
""",
}
_EXCEPTIONS = {"noun": "", "verb": "ran run\nrunning run\n", "adj": "", "adv": ""}
#: "frog" is mostly the animal; "water" is a noun as often as a verb.
_COUNTS = "frog%1:05:00:: 1 9\nfrog%1:13:00:: 2 1\nwater%1:17:00:: 1 5\nwater%2:35:00:: 1 5\n"
_TOKENS = [
    *(" frog", " string", " singer", " singing", " creation", " corner", " water", " watered", " bed", " running"),
    *(" quickly", " quicker", " strings", " bus", " run", " Frog", " NASA", "frog", " toad", " xyzzy", " it", " McCoy"),
]


@pytest.fixture
def families(tmp_path: Path) -> dict[str, list[tuple[str, str]]]:
    """The lines of each family written for these words."""
    for name, lines in _DATA.items():
        (tmp_path / f"data.{name}").write_text(lines, "ascii")
        (tmp_path / f"{name}.exc").write_text(_EXCEPTIONS[name], "ascii")
    (tmp_path / "cntlist.rev").write_text(_COUNTS, "ascii")
    write_families(_TOKENS, read_lexicon(tmp_path), tmp_path)
    found: dict[str, list[tuple[str, str]]] = {}
    for name in FAMILIES:
        with (tmp_path / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            found[name] = [(row["token"], row["label"]) for row in rows]
        assert rows.fieldnames == ["token", "label"]
    return found


def test_only_true_suffixes_are_labelled(families: dict[str, list[tuple[str, str]]]) -> None:
    found = dict(families["suffixes"])
    assert {token: label for token, label in found.items() if label} == {
        " singer": "-er",
        " quicker": "-er",
        " singing": "-ing",
        " running": "-ing",
        " creation": "-tion",
        " watered": "-ed",
        " quickly": "-ly",
        " strings": "-s",
    }
    assert {" string", " corner", " bed", " water", " frog"} <= {token for token, label in found.items() if not label}
    assert not {" bus", " xyzzy", " it", "frog", " Frog"} & found.keys()


def test_words_are_labelled_by_their_main_sense(families: dict[str, list[tuple[str, str]]]) -> None:
    parts = dict(families["parts-of-speech"])
    kinds: dict[str, set[str]] = {}
    for token, label in families["kinds"]:
        kinds.setdefault(token, set()).add(label)
    # Each kind is listed with its parents; if the senses of a word differ in kind, only their common parents are.
    assert kinds[" frog"] == {"animal", "living thing", "physical entity"}
    assert kinds[" singer"] == {"person", "living thing", "physical entity"}
    assert kinds[" toad"] == {"physical entity"}
    assert kinds[" run"] == kinds[" quickly"] == {""}
    assert " water" not in kinds
    assert " water" not in parts
    assert (parts[" frog"], parts[" run"], parts[" quickly"]) == ("noun", "verb", "adverb")


def test_capitalizations_are_distinguished(families: dict[str, list[tuple[str, str]]]) -> None:
    found = dict(families["capitals"])
    assert (found[" Frog"], found[" NASA"], found[" frog"]) == ("initial", "all", "no")
    assert not {" McCoy", "frog", " it"} & found.keys()


def test_embedded_configuration_has_the_same_parents() -> None:
    families = {part.family: part for part in read_config(ROOT / "measure" / "architectures.toml").concepts}
    assert families["kind"].parents == PARENTS
