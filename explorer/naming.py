"""Adds the displayed names of SAEs and concepts to rows of a result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from explorer.model import records

if TYPE_CHECKING:
    import pandas as pd

    from explorer.state import Snapshot


def named(rows: pd.DataFrame | None, shown: Snapshot) -> list[dict[str, Any]]:
    """Return the rows as dicts, with their index and the labels of their SAEs and concepts in the current suite.

    Returns
    -------
    list of dict
        With `place`, and if the columns `sae` and `concept` exist, `sae_label`, `sae_short` and `label`.
    """
    saes = {sae.id: sae for sae in shown.saes}
    found = []
    for place, row in enumerate([] if rows is None else records(rows)):
        row["place"] = place
        if "sae" in row:
            row |= {"sae_label": saes[row["sae"]].label, "sae_short": saes[row["sae"]].short}
        if "concept" in row:
            row["label"] = shown.concepts[row["concept"]].label
        found.append(row)
    return found
