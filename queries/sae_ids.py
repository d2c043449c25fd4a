"""Ids of SAEs, built from the attributes that distinguish them, and the order in which SAEs are listed."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from queries.manifest import Sae

_BASE = ("layer", "width", "l0")
#: Further attributes for ids of SAEs with equal base attributes, by priority.
_FURTHER = ("hook", "architecture", "seed", "exact_l0", "title")
_ORDER = ("layer", "hook", "width", "architecture", "l0", "exact_l0", "title", "seed")
_WORD = re.compile(r"[a-z0-9._]+")
#: Maximum characters of a text in an id.
_LONGEST = 60


def sae_ids(saes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return ids for SAEs.

    An id contains layer, nominal width and rounded L0, as far as they are known: l8-w8192-l0-14. If several SAEs share
    these, attributes that differ are added: hook, architecture, seed, the decimals of the L0, and finally words of the
    titles. So an id depends on the SAE and on similar ones, but not on their order.

    Parameters
    ----------
    saes : sequence of mapping
        The known attributes of each, by the names of `queries.manifest.Sae`.

    Returns
    -------
    list of str
        Distinct ids, in the order of `saes`.
    """
    parts = [_parts(sae) for sae in saes]
    used = [set(_BASE) for _ in saes]
    _choose_parts(range(len(saes)), parts, used, [*_BASE, *_FURTHER])
    ids = [
        "-".join(of[name] for name in _ORDER if name in names and name in of).strip("-._") or "sae"
        for of, names in zip(parts, used, strict=True)
    ]
    number: defaultdict[str, int] = defaultdict(int)
    taken = set(ids)
    for place in sorted(range(len(saes)), key=lambda place: str(saes[place].get("title"))):
        own = ids[place]
        number[own] += 1
        if number[own] > 1:
            while f"{own}-{number[own]}" in taken:
                number[own] += 1
            ids[place] = f"{own}-{number[own]}"
            taken.add(ids[place])
    return ids


def _parts(sae: Mapping[str, Any]) -> dict[str, str]:
    """Return the known attributes of an SAE as parts of an id."""
    l0 = sae.get("l0") if sae.get("l0_nominal") is None else sae["l0_nominal"]
    measured = sae.get("l0")
    written = {
        "layer": _number("l", sae.get("layer")),
        "width": _number("w", sae.get("width")),
        "l0": None if l0 is None else f"l0-{round(l0)}",
        "exact_l0": None if measured is None else f"l0-{measured:.2f}".rstrip("0").rstrip("."),
        "hook": _slug(re.sub(r"^blocks\.[0-9]+\.|hook_", "", str(sae.get("hook") or ""))),
        "architecture": _slug(str(sae.get("architecture") or "")),
        "seed": _number("s", sae.get("seed")),
        "title": str(sae.get("title") or ""),
    }
    return {name: part for name, part in written.items() if part}


def _number(name: str, value: int | None) -> str | None:
    return None if value is None else f"{name}{value}"


def _slug(text: str) -> str:
    return "-".join(_WORD.findall(text.lower()))[:_LONGEST]


def _choose_parts(
    group: Iterable[int], parts: list[dict[str, str]], used: list[set[str]], names: Sequence[str]
) -> None:
    """Choose further parts for the ids of a group of SAEs whose ids are equal so far."""
    places = list(group)
    if len(places) == 1 or not names:
        return
    if names[0] == "title":
        _shorten(places, parts)
    by_value: defaultdict[str, list[int]] = defaultdict(list)
    for place in places:
        by_value[parts[place].get(names[0], "")].append(place)
    if len(by_value) > 1:
        for place in places:
            used[place] |= {names[0]}
            if names[0] == "exact_l0":
                used[place] -= {"l0"}
    for same in by_value.values():
        _choose_parts(same, parts, used, names[1:])


def _shorten(places: list[int], parts: list[dict[str, str]]) -> None:
    """Reduce titles to the words in which they differ."""
    words = [_WORD.findall(parts[place].get("title", "").lower()) for place in places]
    start = _num_shared(words)
    end = _num_shared([each[start:][::-1] for each in words])
    for place, each in zip(places, words, strict=True):
        parts[place]["title"] = "-".join(each[start : len(each) - end])[:_LONGEST]


def _num_shared(words: list[list[str]]) -> int:
    """Return the number of leading words that all have in common."""
    return next((n for n, each in enumerate(zip(*words, strict=False)) if len(set(each)) > 1), min(map(len, words)))


def sorted_saes(saes: Iterable[Sae]) -> list[Sae]:
    """Sort SAEs by layer, hook, architecture, width, L0, seed and id, the order of lists; unknown values come last.

    Further seeds follow the SAE that they repeat.
    """
    every = list(saes)
    by_id = {sae.id: sae for sae in every}

    def place(sae: Sae) -> tuple[tuple[Any, ...], ...]:
        own = by_id.get(sae.repeat_of or sae.id, sae)
        l0 = own.l0 if own.l0_nominal is None else own.l0_nominal
        values = (
            *(own.layer, own.hook, own.architecture, own.width, l0, own.seed, own.l0, own.id),
            *(sae is not own, sae.seed, sae.id),
        )
        return tuple((True,) if value is None else (False, value) for value in values)

    return sorted(every, key=place)
