"""What an import read, passed over and refused, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


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
    """

    root: Path
    read: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def name(self, file: Path) -> str:
        """Name a file of the source; bytes that are no text as their codes."""
        name = file.relative_to(self.root).as_posix() if file.is_relative_to(self.root) else str(file)
        return name.encode("utf-8", "backslashreplace").decode()

    def reject(self, file: Path, reason: str) -> None:
        """Note that `file`, or the rows that `reason` names, were left out."""
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

    def as_dict(self) -> dict[str, Any]:
        """Return the report as `absorption-explorer import --json` prints it."""
        return {
            "read": len(self.read),
            "skipped": len(self.skipped),
            "rejected": [{"file": file, "reason": reason} for file, reason in self.rejected],
            "notes": self.notes,
        }
