"""Numbers that are not known yet: what the page's sentences write of them, a browser fills in."""

from __future__ import annotations

from typing import Self

#: What surrounds a slot, and stands in no text of the page.
OPEN, CLOSE = "⟦", "⟧"


class Slot(float):
    """A number that is written as its name and its format, as in ⟦absorbed:,⟧.

    Parameters
    ----------
    value : float
        By which it is compared: what is said of one is not what is said of many.
    name : str
        What a browser calls the number; as in 100 rate of a multiple, most less least of a difference, and size of rise
        of what has no sign.
    """

    name: str

    def __new__(cls, value: float, name: str) -> Self:
        """Make one."""
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
        """Multiply it; of what is written, shares are multiplied to become percent."""
        return Slot(other * float(self), f"{other} {self.name}")

    def __abs__(self) -> Slot:
        """Leave out its sign."""
        return Slot(abs(float(self)), f"size of {self.name}")

    def __sub__(self, other: float) -> Slot:
        """Say by how much it is larger than another slot."""
        return Slot(float(self) - float(other), f"{self.name} less {getattr(other, 'name', other)}")
