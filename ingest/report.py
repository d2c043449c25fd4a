"""The report of an import: what was read, skipped and rejected, and why."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: The part in which names may differ only in a letter or a number, as in score_probe_a.
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
        Files without data that a suite can store.
    rejected : list of (str, str)
        File and reason, for whole files or single rows; the remaining rows of a file were imported.
    notes : list of str
        Remarks on the conversion that users of the suite should know.
    held, taken : dict of str to set of str
        By file, the names of the numbers in it, and of those that were imported.
    """

    root: Path
    read: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    held: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    taken: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def name(self, file: Path) -> str:
        """Return the name of a file relative to the source; bytes that are not text are escaped."""
        name = file.relative_to(self.root).as_posix() if file.is_relative_to(self.root) else str(file)
        return name.encode("utf-8", "backslashreplace").decode()

    def reject(self, file: Path, reason: str) -> None:
        """Record that `file`, or the rows that `reason` names, were omitted."""
        if (entry := (self.name(file), reason)) not in self.rejected:  # a file may be read twice
            self.rejected.append(entry)

    def skip(self, *files: Path) -> None:
        """Record that `files` have no data that a suite can store."""
        names = {self.name(file) for file in files}
        self.read -= names
        self.skipped |= names

    def note(self, text: str) -> None:
        """Add a remark, unless it is there already."""
        if text not in self.notes:
            self.notes.append(text)

    def hold(self, file: Path, names: Iterable[str]) -> None:
        """Record the names of the numbers in `file`; those that are never taken are reported as unused."""
        self.held[self.name(file)].update(names)

    def take(self, file: Path, names: Iterable[str]) -> None:
        """Record that the numbers called `names` in `file` are imported."""
        self.taken[self.name(file)].update(names)

    @property
    def unused(self) -> dict[tuple[str, ...], list[str]]:
        """The numbers in imported files that were not imported: lists of files, by the short names of the numbers."""
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
    """Merge names that differ only in a letter or a number."""
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[_PLACES.sub("*", name)].append(name)
    return tuple(sorted(same[0] if len(same) == 1 else pattern for pattern, same in alike.items()))
