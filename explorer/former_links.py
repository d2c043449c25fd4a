"""Translates former links and arguments, in which layer, width and L0 identify an SAE and a letter a concept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from explorer.saes import matches

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from explorer.saes import Sae

#: Keys in links to the explorer of the paper's authors, with their names here.
FORMER_KEYS = {"sae_width": "width", "sae_l0": "l0"}
#: Former keys of the other SAE in a comparison.
OTHER = ("other_layer", "other_width", "other_l0")
#: All keys that are accepted but never written.
FORMER = ("letter", "facet_letter", *OTHER)
_VALUES = {
    "compare_by": {"letter": "concept"},
    "mean_policy": {"all_letters": "all_concepts"},
    "evidence_sort": dict.fromkeys(("layer", "width", "l0"), "sae"),
}


def translate_former_keys(values: Mapping[str, Any], saes: Sequence[Sae]) -> dict[str, Any]:
    """Replace former keys and values by current ones.

    Parameters
    ----------
    values : mapping of str to object
        Values by parameter, or their text in a URL.
    saes : sequence of Sae
        SAEs of the suite.
    """
    found = {
        name: _VALUES.get(name, {}).get(value, value) if isinstance(value, str) else value
        for name, value in values.items()
    }
    for former, name in (("letter", "concept"), ("facet_letter", "facet_concept")):
        if former in found:
            letter = found.pop(former)
            found[name] = f"first-letter.{str(letter).lower()}" if letter else None
    other = [found.pop(name, None) for name in OTHER]
    if any(part not in (None, "") for part in other):
        found["other_sae"] = _other_sae_id(other, saes)
    elif any(name in values for name in OTHER):
        found["other_sae"] = None
    return found


def _other_sae_id(place: Sequence[Any], saes: Sequence[Sae]) -> str:
    """Return the id of the SAE with a layer, width and L0; if there is none, a text of these, which is rejected."""
    try:
        layer, width, l0 = (int(part) for part in place)
    except (TypeError, ValueError):
        return ", ".join("?" if part in (None, "") else str(part) for part in place)
    # Formerly, further seeds were not separate SAEs.
    own = [sae for sae in saes if sae.repeat_of is None]
    fitting = [sae for sae in own if (sae.layer, sae.width) == (layer, width) and matches(sae.l0, l0)]
    nth = -l0 - 1 if l0 < 0 else 0
    return fitting[nth].id if nth < len(fitting) else f"{layer}, {width}, {l0}"
