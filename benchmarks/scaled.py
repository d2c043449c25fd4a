"""A suite with fewer or more SAEs: what the growth of a cost is measured on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from queries.manifest import MANIFEST
from queries.suite import cosines_file, read_manifest
from queries.writer import write_suite

if TYPE_CHECKING:
    from pathlib import Path

#: Numbers of SAEs, as shares of those there are.
SHARES = (0.25, 1, 4)
#: Between the layers of an SAE and of its copy.
_APART = 1000


def scaled_suites(suite: Path, folder: Path) -> dict[str, Path]:
    """Write a suite again with each share of its SAEs.

    Parameters
    ----------
    suite : Path
    folder : Path
        Where the suites are written; on the disk of `suite`, whose cosines they share.

    Returns
    -------
    dict of str to Path
        The suites by the number of their SAEs, as in "260 SAEs".
    """
    written = [_scaled(suite, folder / f"suite-{share}", share) for share in SHARES]
    return {f"{len(read_manifest(each).saes)} SAEs": each for each in written}


def _scaled(suite: Path, folder: Path, share: float) -> Path:
    """Write a suite with a share of the layers of another, or with copies of its layers far above."""
    manifest = read_manifest(suite)
    layers = sorted({sae.layer for sae in manifest.saes})[:: max(1, round(1 / share))]
    kept, copies = [sae for sae in manifest.saes if sae.layer in layers], max(1, round(share))

    def rows(table: str) -> pa.Table:
        found = pq.read_table(suite / f"{table}.parquet")
        if "layer" not in found.column_names:
            return found
        found = found.filter(pc.is_in(found["layer"], pa.array(layers, found["layer"].type)))
        place = found.column_names.index("layer")
        return pa.concat_tables(
            found.set_column(place, "layer", pc.add(found["layer"], pa.scalar(_APART * nth, found["layer"].type)))
            for nth in range(copies)
        )

    above = [(sae, sae.model_copy(update={"layer": sae.layer + _APART * nth})) for nth in range(copies) for sae in kept]
    scaled = manifest.model_copy(update={"saes": [sae for _, sae in above], "tables": {}})
    written = write_suite(folder, scaled, {table: rows(table) for table in manifest.tables if table != "cosines"})
    if "cosines" in manifest.tables:
        # The layer of a file of cosines is that of its path.
        for sae, copy in above:
            to = folder / cosines_file(copy.key)
            to.parent.mkdir(parents=True)
            os.link(suite / cosines_file(sae.key), to)
        tables = written.tables | {"cosines": manifest.tables["cosines"]}
        (folder / MANIFEST).write_text(scaled.model_copy(update={"tables": tables}).model_dump_json(), encoding="utf-8")
    return folder
