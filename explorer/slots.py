"""Placeholders for numbers in the page's texts, which a browser fills in."""

from __future__ import annotations

from typing import Self

#: Brackets of a slot; no text of the page contains them.
OPEN, CLOSE = "⟦", "⟧"


class Slot(float):
    """A number that is printed as its name and its format, as in ⟦absorbed:,⟧.

    Parameters
    ----------
    value : float
        For comparisons, such as between singular and plural.
    name : str
        Name of the number in the browser; a multiple is written as in `100 rate`, a difference as in `most less least`,
        an absolute value as in `size of rise`.
    """

    name: str

    def __new__(cls, value: float, name: str) -> Self:
        """Create a slot."""
        slot = super().__new__(cls, value)
        slot.name = name
        return slot

    def __format__(self, spec: str) -> str:
        """Write the slot."""
        return f"{OPEN}{self.name}:{spec}{CLOSE}"

    def __str__(self) -> str:
        """Write the slot without a format."""
        return format(self)

    def __rmul__(self, other: float) -> Slot:
        """Return a multiple, for example a share in percent."""
        return Slot(other * float(self), f"{other} {self.name}")

    def __abs__(self) -> Slot:
        """Return the absolute value."""
        return Slot(abs(float(self)), f"size of {self.name}")

    def __sub__(self, other: float) -> Slot:
        """Subtract another slot."""
        return Slot(float(self) - float(other), f"{self.name} less {getattr(other, 'name', other)}")
