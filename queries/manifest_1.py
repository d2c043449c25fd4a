"""Converts the SAEs of a manifest of the first layout, identified by layer, width and L0, to the second."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from queries.manifest import MAX_SAES, Record, count
from queries.schema import INTEGER_MAX

#: Layer, width and L0 of an SAE in the first layout; an unknown L0 is -1, -2, ...
FormerKey = tuple[int, int, int]

_ID = re.compile(r"l([0-9]+)-w([0-9]+)(?:-l0-([0-9]+)|-([0-9]+))?")


class _Sae(Record):
    model_config = ConfigDict(extra="allow")

    layer: int = count()
    width: int = count()
    l0: int = Field(ge=-INTEGER_MAX, le=INTEGER_MAX)
    l0_measured: float | None = count(default=None)
    name: str | None = None


class _Saes(BaseModel):
    saes: list[_Sae] = Field(default=[], max_length=MAX_SAES)


def former_id(layer: int, width: int, l0: int) -> str:
    """Return the id of an SAE: l8-w8192-l0-14, or l8-w8192 and l8-w8192-2 if the L0 is unknown."""
    shown = f"-l0-{l0}" if l0 >= 0 else "" if l0 == -1 else f"-{-l0}"
    return f"l{layer}-w{width}{shown}"


def former_key(sae: str) -> FormerKey:
    """Return the key for an id of `former_id`; ValueError for other ids."""
    found = _ID.fullmatch(sae)
    if found is None:
        message = f"{sae} is not an id of the first layout"
        raise ValueError(message)
    layer, width, l0, unknown = found.groups()
    return int(layer), int(width), int(l0) if l0 else -int(unknown or 1)


def with_current_saes(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a manifest with its SAEs in the second layout.

    Raises
    ------
    ValidationError
        If required fields of an SAE are missing or invalid.
    """
    saes = []
    for one in _Saes.model_validate(content).saes:
        nominal = one.l0 if one.l0 >= 0 else None
        named = {"sae": former_id(one.layer, one.width, one.l0), "title": one.name}
        l0 = {"l0": nominal if one.l0_measured is None else one.l0_measured, "l0_nominal": nominal}
        saes.append((one.model_extra or {}) | named | {"layer": one.layer, "width": one.width} | l0)
    return content | {"saes": saes}
