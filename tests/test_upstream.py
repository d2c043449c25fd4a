"""The private parts of libraries that the project relies on exist, and are all listed in one table."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from tornado.httpserver import HTTPServer

from explorer.upstream.hooks import MissingPartError, wrap_method
from explorer.upstream.parts import PARTS, Part

ROOT = Path(__file__).parents[1] / "explorer"
PRIVATE = re.compile(r"_[a-z]\w*")
#: Attributes that Panel adds to each class.
MADE = ("_param__", "_data_model")
LIBRARIES = ("bokeh", "holoviews", "panel", "tornado")


def bokehjs() -> str:
    return files("bokeh").joinpath("server/static/js/bokeh.min.js").read_text("utf-8")


def has(kind: type, name: str) -> bool:
    """Return whether a class or its instances have an attribute."""
    sources = (inspect.getsource(each) for each in kind.__mro__ if each is not object)
    return hasattr(kind, name) or any(re.search(rf"\bself\.{name}\b", source) for source in sources)


@pytest.mark.security
@pytest.mark.parametrize("part", PARTS, ids=lambda part: f"{part.of.__name__ if part.of else 'BokehJS'}.{part.name}")
def test_every_private_part_exists(part: Part) -> None:
    there = has(part.of, part.name) if part.of else re.search(rf"\b{part.name}\b", bokehjs())
    library = part.of.__module__.partition(".")[0] if part.of else "bokeh"
    assert there, f"{library} {version(library)} has no {part.name} any more; it was relied on: {part.why}"


def _modules() -> list[Any]:
    names = (file.relative_to(ROOT.parent).with_suffix("").parts for file in ROOT.rglob("*.py"))
    return [import_module(".".join(name).removesuffix(".__init__")) for name in names]


def test_overridden_private_methods_are_listed() -> None:
    kinds = {kind for module in _modules() for kind in vars(module).values() if inspect.isclass(kind)}
    overridden = {
        (name, base)
        for kind in kinds
        if kind.__module__.startswith("explorer.")
        for name in vars(kind)
        if PRIVATE.fullmatch(name) and not name.startswith(MADE)
        for base in kind.__mro__
        if base.__module__.partition(".")[0] in LIBRARIES and name in vars(base)
    }
    listed = {(part.name, base) for part in PARTS if part.of for base in part.of.__mro__}
    assert {(name, base.__name__) for name, base in overridden - listed} == set()


def test_used_private_parts_of_bokehjs_are_listed() -> None:
    scripts = [file.read_text("utf-8") for file in ROOT.rglob("*.js")]
    used = {name for script in scripts for name in re.findall(r"\.(_[a-z]\w*)", script)}
    assert used <= {part.name for part in PARTS if part.of is None}


def test_private_access_to_libraries_is_in_upstream_only() -> None:
    # Exceptions are marked in their own line.
    offences = [
        f"{file.name}: {line.strip()}"
        for file in ROOT.rglob("*.py")
        if "upstream" not in file.parts
        for line in file.read_text("utf-8").splitlines()
        if re.search("noqa: (SLF001|B010)", line) and "its own class" not in line
    ]
    assert offences == []


def test_missing_part_is_named() -> None:
    with pytest.raises(MissingPartError, match=r"tornado \S+ no longer has HTTPServer\.gone, on which the explorer"):
        wrap_method(HTTPServer, "gone", lambda own: own)
