"""Readers of running text in the formats of Debian packages; each yields paragraphs."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import zlib
from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: Shorter ones are headings, labels and lines of tables.
_LEAST_CHARACTERS = 80
_BLANK_LINE = re.compile(r"\n\s*\n|\n%\n")
_POD_MARK = re.compile(r"[A-Z]<{1,2}\s?([^<>]*?)\s?>{1,2}")
#: A string in R's serialisation: type and encoding, then the length.
_R_STRING = re.compile(rb"\x00[\x00-\x08]\x00\x09(....)", re.DOTALL)


def plain(file: Path) -> Iterator[str]:
    """Read paragraphs separated by blank lines (or by %, as in fortunes), also from gzip files."""
    yield from _paragraphs(_text(file))


def pod(file: Path) -> Iterator[str]:
    """Read Perl's documentation without its markup; code, which is indented, is omitted."""
    for paragraph in re.split(r"\n\s*\n", _text(file)):
        if not paragraph.startswith(("=", " ", "\t")):
            yield from _paragraphs(_POD_MARK.sub(r"\1", _POD_MARK.sub(r"\1", paragraph)))


def wordnet(file: Path) -> Iterator[str]:
    """Read the glosses of a WordNet data file, eight per paragraph."""
    glosses = [line.split("| ", 1)[1].strip() for line in _text(file).splitlines() if "| " in line]
    for start in range(0, len(glosses), 8):
        yield ". ".join(glosses[start : start + 8])


def html(file: Path) -> Iterator[str]:
    """Read the paragraphs of a page."""
    parser = _Paragraphs()
    parser.feed(_text(file))
    yield from parser.found


def r_data(file: Path) -> Iterator[str]:
    """Read the lines of text in an R package's data; empty lines separate paragraphs."""
    lines: list[str] = []
    for record in _r_records(file.read_bytes()):
        end = 0
        for match in _R_STRING.finditer(record):
            if match.start() < end:
                continue
            length = int.from_bytes(match[1], "big")
            end = match.end() + length
            lines.append(record[match.end() : end].decode("utf-8", "replace"))
    yield from _paragraphs("\n".join(lines))


READERS: dict[str, Callable[[Path], Iterator[str]]] = {
    "plain": plain,
    "pod": pod,
    "wordnet": wordnet,
    "html": html,
    "r-data": r_data,
}


def _text(file: Path) -> str:
    data = file.read_bytes()
    return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8", "replace")


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in _BLANK_LINE.split(text):
        joined = " ".join(paragraph.split())
        if len(joined) >= _LEAST_CHARACTERS:
            yield joined


def _r_records(data: bytes) -> Iterator[bytes]:
    """Decompress the records of an .rdb file: each has its length, a mark unless it is zlib's, and data."""
    while len(data) > 5:  # noqa: PLR2004 - see above
        kind = data[4:5]
        decompressor = {b"2": bz2.BZ2Decompressor, b"Z": lzma.LZMADecompressor}.get(kind, zlib.decompressobj)()
        try:
            record = decompressor.decompress(data[5:] if kind in b"2Z" else data[4:])
        except (OSError, lzma.LZMAError, zlib.error):
            return
        yield record
        data = decompressor.unused_data


class _Paragraphs(HTMLParser):
    """Collects the text of <p> elements."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._parts: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - the parser's own signature
        if tag == "p":
            self._parts = []

    def handle_data(self, data: str) -> None:
        if self._parts is not None:
            self._parts.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "p" and self._parts is not None:
            self.found += _paragraphs("".join(self._parts).replace("¶", ""))
            self._parts = None
