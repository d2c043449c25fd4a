"""The SAEs of a suite and their attributes: choosing, labelling and comparing them."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from explorer.format import l0_label, l0_labels, latents_label, width_label

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

#: Attributes that distinguish SAEs, in the order in which a choice narrows the next, and in which SAEs are sorted.
ATTRIBUTES = ("layer", "hook", "architecture", "width", "l0", "seed")
#: Displayed names of the attributes.
TITLES = {
    "layer": "Layer",
    "hook": "Hook",
    "architecture": "Architecture",
    "width": "Width",
    "l0": "L0",
    "seed": "Seed",
}
#: Attributes shared by the SAEs of a sweep, which differ in width, L0 and seed.
SWEEP = ("layer", "hook", "architecture")
#: Attributes that every label contains, even if they do not distinguish SAEs.
_ALWAYS_NAMED = ("layer", "width", "l0")


class Sae(NamedTuple):
    """One SAE.

    Attributes
    ----------
    id : str
        Its id in queries and addresses.
    layer, hook, architecture, width, seed
        None if unknown; `hook` without the block, for example resid_post.
    l0 : float or None
        Displayed L0: the nominal one if there is one, else the measured one.
    l0_measured : float or None
        Measured L0, by which SAEs are matched.
    repeat_of : str or None
        The SAE of which it is a further seed.
    title : str or None
        Its name by its publisher.
    n_latents : int
        Number of latents; a lower bound unless `counted`.
    canonical : bool
        Whether Neuronpedia hosts it.
    cosines : bool
        Whether its cosines are stored.
    label, short : str
        Its label in sentences, and on axes; both are unique in the suite.
    """

    id: str
    layer: int | None = None
    hook: str | None = None
    architecture: str | None = None
    width: int | None = None
    l0: float | None = None
    seed: int | None = None
    l0_measured: float | None = None
    repeat_of: str | None = None
    title: str | None = None
    n_latents: int = 0
    counted: bool = True
    canonical: bool = False
    cosines: bool = False
    label: str = ""
    short: str = ""

    @property
    def matched_l0(self) -> float | None:
        """The L0 for comparisons with other SAEs."""
        return self.l0 if self.l0_measured is None else self.l0_measured


def values_of(saes: Iterable[Sae], name: str) -> list[Any]:
    """Return the distinct values of an attribute, in the order of the SAEs."""
    return list(dict.fromkeys(getattr(sae, name) for sae in saes))


def distinguishing_attributes(saes: Collection[Sae]) -> list[str]:
    """Return the attributes with more than one value among the SAEs."""
    return [name for name in ATTRIBUTES if len(values_of(saes, name)) > 1]


def value_label(name: str, value: Any) -> str:
    """Format the value of an attribute."""
    if value is None:
        return "unknown"
    if name == "width":
        return width_label(value)
    return l0_label(value) if name == "l0" else str(value)


def value_labels(name: str, values: Iterable[Any]) -> dict[Any, str]:
    """Format the values of an attribute so that all labels differ."""
    return l0_labels(values) if name == "l0" else {value: value_label(name, value) for value in values}


def axis_attributes(saes: Collection[Sae]) -> list[str]:
    """Return the attributes in the short labels of SAEs."""
    distinguishing = distinguishing_attributes(saes)
    named = [name for name in ATTRIBUTES if name in distinguishing or name in _ALWAYS_NAMED]
    return distinguishing if len(named) > len(_ALWAYS_NAMED) and distinguishing else named


def labelled(saes: Sequence[Sae]) -> list[Sae]:
    """Return the SAEs with their labels, built from their attributes and, if needed to be unique, title or id."""
    distinguishing, short = distinguishing_attributes(saes), axis_attributes(saes)
    seeds = Counter(map(_without_seed, saes))
    # The seed is part of a label only if there are others.
    named = [sae if seeds[_without_seed(sae)] > 1 else sae._replace(seed=None) for sae in saes]
    names = [(_label(sae, distinguishing), _short(sae, short)) for sae in named]
    labels, shorts = (
        ({name for name in group if group.count(name) > 1} for group in zip(*names, strict=True)) if names else ((), ())
    )
    return [
        sae._replace(
            label=f"{label} ({sae.title or sae.id})" if label in labels else label,
            short=sae.title or sae.id if name in shorts else name,
        )
        for sae, (label, name) in zip(saes, names, strict=True)
    ]


def _without_seed(sae: Sae) -> tuple[Any, ...]:
    return tuple(getattr(sae, name) for name in ATTRIBUTES if name != "seed")


def _short(sae: Sae, names: Iterable[str]) -> str:
    return " · ".join(value_label(name, getattr(sae, name)) for name in names if name != "seed" or sae.seed is not None)


def _label(sae: Sae, distinguishing: Collection[str]) -> str:
    texts = {
        "layer": f"layer {value_label('layer', sae.layer)}",
        "hook": value_label("hook", sae.hook),
        "architecture": sae.architecture or "unknown architecture",
        "width": "unknown width" if sae.width is None else latents_label(sae.width, counted=sae.counted),
        "l0": f"L0 {l0_label(sae.l0)}",
        "seed": f"seed {value_label('seed', sae.seed)}",
    }
    if sae.seed is None:
        del texts["seed"]
    return ", ".join(words for name, words in texts.items() if name in distinguishing or name in _ALWAYS_NAMED)


def choose(saes: Sequence[Sae], requested: Mapping[str, Any]) -> tuple[Sae | None, dict[str, list[Any]]]:
    """Return the SAE that best matches the requested values, and the options of each attribute.

    Each attribute narrows the next. A requested value that does not exist is replaced by the first option; for L0 by
    that of the canonical SAE, else by the nearest.

    Parameters
    ----------
    saes : sequence of Sae
    requested : mapping of str to object
        Values by attribute, and under "sae" an id, which distinguishes SAEs with equal attributes. A negative L0 means
        the first SAE of unknown L0 (-1), the second (-2), ..., as in former links.

    Returns
    -------
    tuple of Sae or None, and dict of str to list
        The SAE (None if there is none), and the options of each attribute and of "sae".
    """
    options: dict[str, list[Any]] = {}
    left = list(saes)
    for name in ATTRIBUTES:
        options[name] = values_of(left, name)
        value = _nearest(left, name, requested.get(name, ...))
        left = [sae for sae in left if getattr(sae, name) == value]
    options["sae"] = [sae.id for sae in left]
    l0 = requested.get("l0")
    place = int(-l0) - 1 if l0 is not None and l0 < 0 else 0
    named = [sae for sae in left if sae.id == requested.get("sae")] or left[place : place + 1] or left
    return (named[0] if named else None), options


def matches(value: Any, requested: Any) -> bool:
    """Return whether a value is the requested one; an L0 may be rounded, and a negative one matches an unknown L0."""
    if value == requested:
        return True
    return isinstance(requested, float | int) and (
        requested < 0 if value is None else isinstance(value, float) and round(value) == requested
    )


def _nearest(saes: Sequence[Sae], name: str, requested: Any) -> Any:
    """Return the value closest to the requested one; `...` means none, and None the unknown value."""
    values = values_of(saes, name)
    met = [] if requested is ... else [value for value in values if value == requested]
    met = met or [value for value in values if requested is not ... and matches(value, requested)]
    if met or not values:
        return met[0] if met else None
    known = [value for value in values if value is not None] or values
    if name == "l0":
        canonical = [sae.l0 for sae in saes if sae.canonical]
        if canonical:
            return canonical[0]
        if isinstance(requested, int | float):
            return min(known, key=lambda value: abs(_log(value) - _log(requested)))
    return known[0]


def _log(l0: float | None) -> float:
    """Return an L0 on a log scale, on which distances are measured; infinity if unknown."""
    return math.inf if l0 is None else math.log(max(l0, 0) + 1)


def l0_distance(one: Sae, other: Sae) -> float:
    """Return the distance of the measured L0s of two SAEs on a log scale."""
    places = _log(one.matched_l0), _log(other.matched_l0)
    return 0.0 if places[0] == places[1] else abs(places[0] - places[1])


def suggest_other(saes: Iterable[Sae], sae: Sae | None, *, in_layer: bool = True) -> Sae | None:
    """Suggest an SAE to compare `sae` with: one that differs in one attribute, such as the width, at the nearest L0.

    SAEs that differ in L0 or seed only come last. Returns None if there is no other SAE. With `in_layer`, the SAEs are
    those of the same suite, and only those of the layer are considered, without further seeds of `sae`, because SAEs
    are compared over all their seeds.
    """
    if sae is None:
        return None
    others = list(saes)
    if in_layer:
        own = _first_training(sae)
        others = [other for other in others if other.layer == sae.layer and _first_training(other) != own]

    def distance(other: Sae) -> tuple[bool, int, bool, float]:
        differing = _differing(other, sae)
        return in_layer and differing == 0, differing, _of_other_seed(other, sae), l0_distance(other, sae)

    return min(others, key=distance, default=None)


def counterparts(saes: Iterable[Sae], sae: Sae, name: str) -> list[Sae]:
    """Return, for each value of an attribute, the SAE most similar to `sae` in all others.

    Among several, SAEs of the same seed come first, then those at the nearest L0.
    """
    found: dict[Any, Sae] = {}
    for other in saes:
        value = getattr(other, name)
        held = found.get(value)
        if held is None or _unlike(other, sae, name) < _unlike(held, sae, name):
            found[value] = other
    found[getattr(sae, name)] = sae
    return list(found.values())


def by_width(saes: Iterable[Sae], sae: Sae) -> list[Sae]:
    """Return, from narrow to wide, the SAE most similar to `sae` for each known width of its layer and hook."""
    there = [other for other in saes if (other.layer, other.hook) == (sae.layer, sae.hook) and other.width is not None]
    return sorted(counterparts(there, sae, "width"), key=lambda other: other.width or 0) if sae.width else []


def are_of_one_sweep(other: Sae, sae: Sae) -> bool:
    """Return whether `other` differs from `sae` in width and L0 only; an unknown seed matches any but further seeds."""
    alike = all(getattr(other, name) == getattr(sae, name) for name in SWEEP)
    may_share = None in (other.seed, sae.seed) and other.repeat_of is None
    return alike and (other.seed == sae.seed or may_share)


def _unlike(other: Sae, sae: Sae, name: str) -> tuple[int, bool, float]:
    return _differing(other, sae, name), name != "seed" and _of_other_seed(other, sae), l0_distance(other, sae)


def _of_other_seed(other: Sae, sae: Sae) -> bool:
    return None not in (other.seed, sae.seed) and other.seed != sae.seed


def _first_training(sae: Sae) -> str:
    """Return the id of the SAE that `sae` repeats with another seed, or its own."""
    return sae.repeat_of or sae.id


def _differing(other: Sae, sae: Sae, *but: str) -> int:
    """Return the number of attributes, except L0, seed and `but`, in which two SAEs differ."""
    return sum(getattr(other, name) != getattr(sae, name) for name in ATTRIBUTES if name not in ("l0", "seed", *but))
