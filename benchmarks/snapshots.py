"""Size of a snapshot, and how long it takes: ``python -m benchmarks.snapshots``."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measuring import summary
from explorer import open_store, save_snapshot
from explorer.store import EMBEDDED
from queries.layout_1 import SAE_KEY
from queries.schema import LETTERS
from queries.suite import cosines_file, read_manifest
from queries.writer import write_suite

if TYPE_CHECKING:
    from queries.manifest import Sae

#: Number of latents of a made-up SAE, and the embedded SAE that lends it all that is known of its own latents.
_SAES = {4096: (12, 2048, 7), 16_384: (12, 8192, 7), 65_536: (12, 8192, 7)}
_TIMES = 5
_SPREAD = 0.04


def main() -> None:
    """Measure, and print JSON."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for n_latents, lender in _SAES.items():
            suite = _widened(Path(folder) / f"suite-{n_latents}", n_latents, lender)
            file = Path(folder) / f"{n_latents}.html"
            seconds = []
            for _ in range(_TIMES):
                # A new store each time: nothing comes from its cache.
                with open_store(suite) as store:
                    start = time.perf_counter()
                    save_snapshot(store, file, force=True)
                    seconds.append(time.perf_counter() - start)
            found[f"{n_latents} latents"] = {
                "megabytes": round(file.stat().st_size / 1e6, 2),
                "seconds": summary(seconds, 2),
            }
    print(json.dumps(found, indent=2))


def _widened(folder: Path, n_latents: int, lender: tuple[int, int, int]) -> Path:
    """Write a suite of one SAE: all of an embedded one, and further latents at random cosines, which compress worst."""
    manifest = read_manifest(EMBEDDED)
    sae = next(sae for sae in manifest.saes if sae.key == lender)
    wide = sae.model_copy(update={"width": n_latents, "n_latents": n_latents})
    of_sae = [(key, "=", value) for key, value in zip(SAE_KEY, lender, strict=True)]
    tables = {}
    for name in manifest.tables:
        if name == "cosines":
            rows = _cosines(sae, n_latents)
        elif name in ("tokens", "prompts"):
            rows = pq.read_table(EMBEDDED / f"{name}.parquet")
        else:
            rows = pq.read_table(EMBEDDED / f"{name}.parquet", filters=of_sae)
        if "width" in rows.column_names:
            place = rows.column_names.index("width")
            rows = rows.set_column(place, "width", pa.array([n_latents] * len(rows), pa.int32()))
        tables[name] = rows
    write_suite(folder, manifest.model_copy(update={"saes": [wide], "tables": {}}), tables)
    return folder


def _cosines(sae: Sae, n_latents: int) -> pa.Table:
    """Take an SAE's cosines, and draw those of the latents it does not have."""
    own = pq.read_table(EMBEDDED / cosines_file(sae.key), columns=["letter", "latent", "cosine"]).to_pandas()
    rows = np.random.default_rng(0).normal(0, _SPREAD, (len(LETTERS), n_latents)).astype(np.float32)
    for row, letter in zip(rows, LETTERS, strict=True):
        known = own[own["letter"] == letter]
        row[known["latent"]] = known["cosine"]
    count = rows.size
    return pa.table(
        {
            "layer": np.full(count, sae.layer, np.int32),
            "width": np.full(count, n_latents, np.int32),
            "l0": np.full(count, sae.l0, np.int32),
            "letter": np.repeat(list(LETTERS), n_latents),
            "latent": np.tile(np.arange(n_latents, dtype=np.int32), len(LETTERS)),
            "cosine": rows.ravel(),
        }
    )


if __name__ == "__main__":
    main()
