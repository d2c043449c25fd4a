"""The SAEs of a manifest of the first layout, named by layer, width and L0, as those of the second."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from queries.manifest import MAX_SAES, Record, count
from queries.schema import INTEGER_MAX

#: Layer, width and L0 of an SAE as the first layout has them; the L0 is -1, -2, ... where it is not known.
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
    """Name an SAE, as in l8-w8192-l0-14; of unknown L0, l8-w8192 and l8-w8192-2."""
    shown = f"-l0-{l0}" if l0 >= 0 else "" if l0 == -1 else f"-{-l0}"
    return f"l{layer}-w{width}{shown}"


def former_key(sae: str) -> FormerKey:
    """Return the key of which `former_id` made an id."""
    found = _ID.fullmatch(sae)
    if found is None:
        message = f"{sae} is no id of the first layout"
        raise ValueError(message)
    layer, width, l0, unknown = found.groups()
    return int(layer), int(width), int(l0) if l0 else -int(unknown or 1)


def converted(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a manifest with its SAEs as the second layout has them.

    Raises
    ------
    ValidationError
        Where they do not say what they must.
    """
    saes = []
    for one in _Saes.model_validate(content).saes:
        nominal = one.l0 if one.l0 >= 0 else None
        named = {"sae": former_id(one.layer, one.width, one.l0), "title": one.name}
        l0 = {"l0": nominal if one.l0_measured is None else one.l0_measured, "l0_nominal": nominal}
        saes.append((one.model_extra or {}) | named | {"layer": one.layer, "width": one.width} | l0)
    return content | {"saes": saes}
