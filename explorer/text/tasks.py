"""The discovery tasks: ten guided steps from a first letter to reading every plot."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Task:
    """One step of the checklist.

    Attributes
    ----------
    id : str
        Name under which its progress is kept.
    title : str
        What to do, a short imperative.
    hint : str
        Where to click and what to look for.
    hint_without_canonical : str
        The hint for a suite without a canonical SAE, where it differs; else empty.
    """

    id: str
    title: str
    hint: str
    hint_without_canonical: str = ""

    def hint_for(self, *, has_canonical: bool) -> str:
        """Return the hint that fits a suite with or without canonical SAEs."""
        return self.hint if has_canonical else self.hint_without_canonical or self.hint


#: The tasks in the order in which they are offered.
TASKS: tuple[Task, ...] = tuple(
    Task(**task) for task in tomllib.loads(files(__package__).joinpath("tasks.toml").read_text("utf-8"))["task"]
)
