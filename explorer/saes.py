"""The SAEs of a suite as a reader tells them apart: by attributes, of which each narrows the next."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from explorer.format import l0_label, l0_labels, latents_label, width_label

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

#: What tells SAEs apart, in the order in which a choice narrows the next; where a suite lists them, they are sorted so.
ATTRIBUTES = ("layer", "hook", "architecture", "width", "l0", "seed")
#: How each is called.
TITLES = {
    "layer": "Layer",
    "hook": "Hook",
    "architecture": "Architecture",
    "width": "Width",
    "l0": "L0",
    "seed": "Seed",
}
#: What SAEs of one sweep share, which differ in width, L0 and seed.
SWEEP = ("layer", "hook", "architecture")
#: Named of every SAE, also where they do not tell it from others.
_ALWAYS_NAMED = ("layer", "width", "l0")


class Sae(NamedTuple):
    """One SAE.

    Attributes
    ----------
    id : str
        Its name in questions and addresses.
    layer, hook, architecture, width, seed
        None where unknown; `hook` without the block, as in resid_post.
    l0 : float or None
        By which it is called: the nominal one where there is one, else as it was measured.
    l0_measured : float or None
        By which SAEs are matched.
    repeat_of : str or None
        The SAE of which it is a further seed.
    title : str or None
        What its publisher calls it.
    n_latents : int
        Where nobody `counted` them, the least that there are.
    canonical : bool
        Whether Neuronpedia hosts it.
    cosines : bool
        Whether its cosines are stored.
    label, short : str
        Its name in sentences, and on axes: unique in its suite.
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
        """The L0 that others are compared with."""
        return self.l0 if self.l0_measured is None else self.l0_measured


def values_of(saes: Iterable[Sae], name: str) -> list[Any]:
    """Return the distinct values of an attribute, in the order of the SAEs."""
    return list(dict.fromkeys(getattr(sae, name) for sae in saes))


def telling(saes: Collection[Sae]) -> list[str]:
    """Return the attributes of which the SAEs have more than one value."""
    return [name for name in ATTRIBUTES if len(values_of(saes, name)) > 1]


def value_label(name: str, value: Any) -> str:
    """Write the value of an attribute."""
    if value is None:
        return "unknown"
    if name == "width":
        return width_label(value)
    return l0_label(value) if name == "l0" else str(value)


def value_labels(name: str, values: Iterable[Any]) -> dict[Any, str]:
    """Write the values of an attribute so that they can be told apart."""
    return l0_labels(values) if name == "l0" else {value: value_label(name, value) for value in values}


def named_by(saes: Collection[Sae]) -> list[str]:
    """Return the attributes that name SAEs on axes."""
    tell = telling(saes)
    named = [name for name in ATTRIBUTES if name in tell or name in _ALWAYS_NAMED]
    return tell if len(named) > len(_ALWAYS_NAMED) and tell else named


def labelled(saes: Sequence[Sae]) -> list[Sae]:
    """Give each SAE its names: what is known of it, and where that does not tell it from another, its title or id."""
    tell, short = telling(saes), named_by(saes)
    seeds = Counter(map(_but_seed, saes))
    # A seed is worth a word where there are others.
    named = [sae if seeds[_but_seed(sae)] > 1 else sae._replace(seed=None) for sae in saes]
    names = [(_label(sae, tell), _short(sae, short)) for sae in named]
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


def _but_seed(sae: Sae) -> tuple[Any, ...]:
    return tuple(getattr(sae, name) for name in ATTRIBUTES if name != "seed")


def _short(sae: Sae, names: Iterable[str]) -> str:
    return " · ".join(value_label(name, getattr(sae, name)) for name in names if name != "seed" or sae.seed is not None)


def _label(sae: Sae, tell: Collection[str]) -> str:
    said = {
        "layer": f"layer {value_label('layer', sae.layer)}",
        "hook": value_label("hook", sae.hook),
        "architecture": sae.architecture or "unknown architecture",
        "width": "unknown width" if sae.width is None else latents_label(sae.width, counted=sae.counted),
        "l0": f"L0 {l0_label(sae.l0)}",
        "seed": f"seed {value_label('seed', sae.seed)}",
    }
    if sae.seed is None:
        del said["seed"]
    return ", ".join(words for name, words in said.items() if name in tell or name in _ALWAYS_NAMED)


def choose(saes: Sequence[Sae], wish: Mapping[str, Any]) -> tuple[Sae | None, dict[str, list[Any]]]:
    """Find the SAE that comes closest to a wish, and what could have been chosen at each step.

    Each attribute narrows the next. A wish that cannot be met gives way to the first option; for L0 to that of the
    canonical SAE, else to the nearest.

    Parameters
    ----------
    saes : sequence of Sae
    wish : mapping of str to object
        Values by attribute, and under "sae" an id, by which SAEs that are alike are told apart. A negative L0 means the
        first SAE of unknown L0 (-1), the second (-2), ..., as links of old have it.

    Returns
    -------
    tuple of Sae or None, and dict of str to list
        The SAE (None where there is none), and the options of each attribute and of "sae".
    """
    options: dict[str, list[Any]] = {}
    left = list(saes)
    for name in ATTRIBUTES:
        options[name] = values_of(left, name)
        value = _nearest(left, name, wish.get(name, ...))
        left = [sae for sae in left if getattr(sae, name) == value]
    options["sae"] = [sae.id for sae in left]
    l0 = wish.get("l0")
    place = int(-l0) - 1 if l0 is not None and l0 < 0 else 0
    named = [sae for sae in left if sae.id == wish.get("sae")] or left[place : place + 1] or left
    return (named[0] if named else None), options


def meets(value: Any, wish: Any) -> bool:
    """Tell whether a value is the one that was wished for; an L0 may be given rounded, or negative where unknown."""
    if value == wish:
        return True
    return isinstance(wish, float | int) and (
        wish < 0 if value is None else isinstance(value, float) and round(value) == wish
    )


def _nearest(saes: Sequence[Sae], name: str, wish: Any) -> Any:
    """Return the value that comes closest to a wish: `...` for none, while None is a wish for what is unknown."""
    values = values_of(saes, name)
    met = [] if wish is ... else [value for value in values if value == wish]
    met = met or [value for value in values if wish is not ... and meets(value, wish)]
    if met or not values:
        return met[0] if met else None
    known = [value for value in values if value is not None] or values
    if name == "l0":
        canonical = [sae.l0 for sae in saes if sae.canonical]
        if canonical:
            return canonical[0]
        if isinstance(wish, int | float):
            return min(known, key=lambda value: abs(_log(value) - _log(wish)))
    return known[0]


def _log(l0: float | None) -> float:
    """Place an L0 on the scale on which L0s are near each other; an unknown one is as far as can be from any known."""
    return math.inf if l0 is None else math.log(max(l0, 0) + 1)


def l0_distance(one: Sae, other: Sae) -> float:
    """Return how far the L0s of two SAEs are from each other, as they were measured."""
    places = _log(one.matched_l0), _log(other.matched_l0)
    return 0.0 if places[0] == places[1] else abs(places[0] - places[1])


def suggest_other(saes: Iterable[Sae], sae: Sae | None, *, in_layer: bool = True) -> Sae | None:
    """Suggest what to compare `sae` with: what differs from it in one attribute, as in its width, at the nearest L0.

    What differs in L0 or seed only comes last. Returns None where there is no other one (`in_layer`: of the same suite,
    in its layer; its further seeds are none, for two SAEs are compared over all their seeds).
    """
    if sae is None:
        return None
    others = list(saes)
    if in_layer:
        own = _first_training(sae)
        others = [other for other in others if other.layer == sae.layer and _first_training(other) != own]

    def distance(other: Sae) -> tuple[bool, int, float]:
        differing = _differing(other, sae)
        return in_layer and differing == 0, differing, l0_distance(other, sae)

    return min(others, key=distance, default=None)


def counterparts(saes: Iterable[Sae], sae: Sae, name: str) -> list[Sae]:
    """Return, for each value of an attribute, the SAE that is most like `sae` in all others, at the nearest L0."""
    found: dict[Any, Sae] = {}
    for other in saes:
        value = getattr(other, name)
        held = found.get(value)
        if held is None or _unlike(other, sae, name) < _unlike(held, sae, name):
            found[value] = other
    found[getattr(sae, name)] = sae
    return list(found.values())


def by_width(saes: Iterable[Sae], sae: Sae) -> list[Sae]:
    """Return, from narrow to wide, the SAE of each known width of the layer and hook that is most like `sae`."""
    there = [other for other in saes if (other.layer, other.hook) == (sae.layer, sae.hook) and other.width is not None]
    return sorted(counterparts(there, sae, "width"), key=lambda other: other.width or 0) if sae.width else []


def are_of_one_sweep(other: Sae, sae: Sae) -> bool:
    """Tell whether `other` differs from `sae` in width and L0 only; an unknown seed may be any but a further one."""
    alike = all(getattr(other, name) == getattr(sae, name) for name in SWEEP)
    may_share = None in (other.seed, sae.seed) and other.repeat_of is None
    return alike and (other.seed == sae.seed or may_share)


def _unlike(other: Sae, sae: Sae, name: str) -> tuple[int, float]:
    return _differing(other, sae, name), l0_distance(other, sae)


def _first_training(sae: Sae) -> str:
    """Return the id of the SAE that `sae` repeats with another seed, or its own."""
    return sae.repeat_of or sae.id


def _differing(other: Sae, sae: Sae, *but: str) -> int:
    """Count the attributes, L0, seed and `but` omitted, in which two SAEs differ."""
    return sum(getattr(other, name) != getattr(sae, name) for name in ATTRIBUTES if name not in ("l0", "seed", *but))
