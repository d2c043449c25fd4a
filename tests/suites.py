"""Suites that tests look at."""

from __future__ import annotations

from explorer.store import EMBEDDED

#: The embedded suites: architectures at one layer, of several families of concepts; layers, widths and L0s.
ARCHITECTURES, SWEEPS = EMBEDDED
