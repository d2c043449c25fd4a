"""Read JSON files of a source, in the Unicode encoding of their byte-order mark."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic_core import from_json

from ingest import limits
from ingest.files import UnreadableError, reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ingest.source import Source

_Parsed = TypeVar("_Parsed")

_WHAT = "JSON file"
#: The marks of UTF-32 start with those of UTF-16.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def peek_json(source: Source, file: Path) -> bytes:
    """Return the content of a JSON file as UTF-8, or b"" if it is unreadable; the report does not count it as read."""
    try:
        with reading(source.root, file, _WHAT, limits.JSON) as stream:
            return _utf8(stream.read())
    except UnreadableError:
        return b""


def read_json(source: Source, file: Path, parse: Callable[[Any], _Parsed]) -> _Parsed:
    """Read a JSON file and `parse` its content.

    Raises
    ------
    UnreadableError
        If it is not JSON, has too many values (`limits.JSON_VALUES`), or `parse` fails.
    """
    with source.opened(file, _WHAT, limits.JSON) as stream:
        content = _utf8(stream.read())
        if sum(map(content.count, (b",", b"[", b"{"))) > limits.JSON_VALUES:
            message = f"holds more than {limits.JSON_VALUES:,} values; omit what is not of the evaluation"
            raise UnreadableError(message)
        return parse(from_json(content))


def number_names(content: Any, name: str = "") -> set[str]:
    """Return the paths of the numbers in parsed JSON, as in ``sparsity.l0``; list indices are not part of a path."""
    return set(_number_names(content, name))


def _number_names(content: Any, name: str) -> Iterator[str]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _number_names(value, f"{name}.{key}" if name else str(key))
    elif isinstance(content, list):
        for value in content:
            yield from _number_names(value, name)
    elif isinstance(content, int | float):
        yield name


def _utf8(content: bytes) -> bytes:
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return content.decode(encoding).encode()
    return content
