"""Rows of answers with the names of their SAEs and concepts, as a page writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from explorer.model import records

if TYPE_CHECKING:
    import pandas as pd

    from explorer.state import Snapshot


def named(rows: pd.DataFrame | None, shown: Snapshot) -> list[dict[str, Any]]:
    """Return the rows, each with its place, and where it has an SAE or a concept of the suite shown, their names.

    Returns
    -------
    list of dict
        With `place`, and `sae_label`, `sae_short` and `label` of the columns `sae` and `concept`.
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
