"""The words of links and arguments of old, in which layer, width and L0 named an SAE and a letter named a concept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from explorer.saes import meets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from explorer.saes import Sae

#: What links to the explorer of the paper's authors call what has another name here.
FORMER_KEYS = {"sae_width": "width", "sae_l0": "l0"}
#: What named the SAE compared with.
OTHER = ("other_layer", "other_width", "other_l0")
#: All that is read and never written.
FORMER = ("letter", "facet_letter", *OTHER)
_VALUES = {
    "compare_by": {"letter": "concept"},
    "mean_policy": {"all_letters": "all_concepts"},
    "evidence_sort": dict.fromkeys(("layer", "width", "l0"), "sae"),
}


def translate_former_keys(values: Mapping[str, Any], saes: Sequence[Sae]) -> dict[str, Any]:
    """Put today's words in the place of former ones.

    Parameters
    ----------
    values : mapping of str to object
        Values by parameter, or their text as a URL has it.
    saes : sequence of Sae
        Those of the suite that is meant.
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
        found["other_sae"] = _named(other, saes)
    elif any(name in values for name in OTHER):
        found["other_sae"] = None
    return found


def _named(place: Sequence[Any], saes: Sequence[Sae]) -> str:
    """Return the id of the SAE of a layer, width and L0; where there is none, what was asked for, to be refused."""
    try:
        layer, width, l0 = (int(part) for part in place)
    except (TypeError, ValueError):
        return ", ".join("?" if part in (None, "") else str(part) for part in place)
    # Formerly, further seeds were no SAEs.
    own = [sae for sae in saes if sae.repeat_of is None]
    fitting = [sae for sae in own if (sae.layer, sae.width) == (layer, width) and meets(sae.l0, l0)]
    nth = -l0 - 1 if l0 < 0 else 0
    return fitting[nth].id if nth < len(fitting) else f"{layer}, {width}, {l0}"
