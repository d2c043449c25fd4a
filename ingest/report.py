"""What an import read, passed over and refused, and why."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: What names that differ only in a letter or a number have there, as in score_probe_a.
_PLACES = re.compile(r"(?<=_)([a-zA-Z]|[0-9]+)(?=_|$)")


@dataclass
class Report:
    """Filled while a source is read.

    Attributes
    ----------
    root : Path
        The source; files are named relative to it.
    read : set of str
        Files whose content is in the suite.
    skipped : set of str
        Files that hold nothing a suite has a place for.
    rejected : list of (str, str)
        File and reason, for whole files and for single rows; everything else of them was imported.
    notes : list of str
        What was made of the data that a reader of the suite should know.
    held, taken : dict of str to set of str
        By file, the names of the numbers that it holds, and of those that the suite has a place for.
    """

    root: Path
    read: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    held: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    taken: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def name(self, file: Path) -> str:
        """Name a file of the source; bytes that are no text as their codes."""
        name = file.relative_to(self.root).as_posix() if file.is_relative_to(self.root) else str(file)
        return name.encode("utf-8", "backslashreplace").decode()

    def reject(self, file: Path, reason: str) -> None:
        """Note that `file`, or the rows that `reason` names, were omitted."""
        if (entry := (self.name(file), reason)) not in self.rejected:  # a file may be looked at twice
            self.rejected.append(entry)

    def skip(self, *files: Path) -> None:
        """Note that `files` hold nothing that the suite has a place for."""
        names = {self.name(file) for file in files}
        self.read -= names
        self.skipped |= names

    def note(self, text: str) -> None:
        """Note something once."""
        if text not in self.notes:
            self.notes.append(text)

    def hold(self, file: Path, names: Iterable[str]) -> None:
        """Note that `file` holds numbers called `names`; those that are never taken are reported."""
        self.held[self.name(file)].update(names)

    def take(self, file: Path, names: Iterable[str]) -> None:
        """Note that the numbers called `names` in `file` go into the suite."""
        self.taken[self.name(file)].update(names)

    @property
    def unused(self) -> dict[tuple[str, ...], list[str]]:
        """The numbers that were not imported from files that were read: files by the short names of such numbers."""
        found: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
        for file in sorted(self.read):
            names = _short({name.rpartition(".")[2] for name in self.held[file] - self.taken[file]})
            if names:
                found[names].append(file)
        return dict(found)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as `absorption-explorer import --json` prints it."""
        return {
            "read": len(self.read),
            "skipped": len(self.skipped),
            "rejected": [{"file": file, "reason": reason} for file, reason in self.rejected],
            "unused": [{"names": list(names), "files": files} for names, files in self.unused.items()],
            "notes": self.notes,
        }


def _short(names: set[str]) -> tuple[str, ...]:
    """Write names that differ only in a letter or a number as one."""
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[_PLACES.sub("*", name)].append(name)
    return tuple(sorted(same[0] if len(same) == 1 else pattern for pattern, same in alike.items()))
