"""Make copies of a suite with fewer or more SAEs, to measure how costs grow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from queries.suite import cosines_file, read_manifest
from queries.writer import write_suite

if TYPE_CHECKING:
    from pathlib import Path

    from queries.manifest import Sae

#: Numbers of SAEs, relative to the original.
SHARES = (0.25, 1, 4)
#: Difference between the layers of an SAE and of its copy.
_APART = 1000


def scaled_suites(suite: Path, folder: Path) -> dict[str, Path]:
    """Write copies of a suite with each of `SHARES` of its SAEs.

    Parameters
    ----------
    suite : Path
    folder : Path
        Folder for the suites.

    Returns
    -------
    dict of str to Path
        The suites by their number of SAEs, as in "260 SAEs".
    """
    written = [_scaled(suite, folder / f"suite-{share}", share) for share in SHARES]
    return {f"{len(read_manifest(each).saes)} SAEs": each for each in written}


def _scaled(suite: Path, folder: Path, share: float) -> Path:
    """Write a suite with a share of another's layers, or with copies of its layers at much higher layers."""
    manifest = read_manifest(suite)
    layers = sorted({sae.layer for sae in manifest.saes if sae.layer is not None})[:: max(1, round(1 / share))]
    kept = [sae for sae in manifest.saes if sae.layer in layers and sae.repeat_of is None]
    copies = {f"{sae.id}{_copy(nth)}": (sae, nth) for nth in range(max(1, round(share))) for sae in kept}

    def rows(table: str) -> pa.Table:
        found = pq.read_table(suite / f"{table}.parquet")
        if "sae" not in found.column_names:
            return found
        found = found.filter(pc.is_in(found["sae"], pa.array([sae.id for sae in kept])))
        place = found.column_names.index("sae")
        return pa.concat_tables(
            found.set_column(place, "sae", pc.binary_join_element_wise(found["sae"], _copy(nth), ""))
            for nth in range(max(1, round(share)))
        )

    saes = [
        sae.model_copy(update={"sae": name, "layer": (sae.layer or 0) + _APART * nth})
        for name, (sae, nth) in copies.items()
    ]
    scaled = manifest.model_copy(update={"saes": saes, "tables": {}})
    tables: dict[str, Any] = {table: rows(table) for table in manifest.tables if table not in ("saes", "cosines")}
    if "cosines" in manifest.tables:
        tables["cosines"] = (_cosines(suite, sae, name) for name, (sae, _) in sorted(copies.items()))
    write_suite(folder, scaled, tables)
    return folder


def _copy(nth: int) -> str:
    return f"-copy-{nth}" if nth else ""


def _cosines(suite: Path, sae: Sae, name: str) -> pa.Table:
    """Read the cosines of an SAE for its copy called `name`."""
    found = pq.read_table(suite / cosines_file(sae.id))
    return found.set_column(0, "sae", pa.array([name]).take(pa.array(np.zeros(len(found), np.int32))))
