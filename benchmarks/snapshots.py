"""Measure the size of snapshots and the time to write them: ``python -m benchmarks.snapshots``."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measuring import summary
from explorer import open_store, save_snapshot
from explorer.store import SWEEPS
from queries.schema import LETTERS, TABLES, concept_id
from queries.suite import cosines_file, read_manifest
from queries.writer import write_suite

#: Numbers of latents of synthetic SAEs, and the embedded SAEs whose data they contain.
_SAES = {4096: "l12-w2048-l0-7", 16_384: "l12-w8192-l0-7", 65_536: "l12-w8192-l0-7"}
_TIMES = 5
_SPREAD = 0.04


def main() -> None:
    """Measure, and print JSON."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for n_latents, original in _SAES.items():
            suite = _widened(Path(folder) / f"suite-{n_latents}", n_latents, original)
            file = Path(folder) / f"{n_latents}.html"
            seconds = []
            for _ in range(_TIMES):
                # A new store each time, so that nothing comes from its cache.
                with open_store(suite) as store:
                    start = time.perf_counter()
                    save_snapshot(store, file, force=True)
                    seconds.append(time.perf_counter() - start)
            found[f"{n_latents} latents"] = {
                "megabytes": round(file.stat().st_size / 1e6, 2),
                "seconds": summary(seconds, 2),
            }
    print(json.dumps(found, indent=2))


def _widened(folder: Path, n_latents: int, original: str) -> Path:
    """Write a suite with the data of an embedded SAE, and more latents with random cosines, which compress worst."""
    manifest = read_manifest(SWEEPS)
    sae = next(sae for sae in manifest.saes if sae.id == original)
    wide = sae.model_copy(update={"width": n_latents, "n_latents": n_latents})
    tables = {}
    for name in manifest.tables:
        if name == "cosines":
            tables[name] = _cosines(original, n_latents)
        elif name != "saes":
            of_sae = [("sae", "=", original)] if "sae" in TABLES[name].key else None
            tables[name] = pq.read_table(SWEEPS / f"{name}.parquet", filters=of_sae)
    write_suite(folder, manifest.model_copy(update={"saes": [wide], "tables": {}}), tables)
    return folder


def _cosines(sae: str, n_latents: int) -> pa.Table:
    """Return an SAE's cosines, with random ones for the additional latents."""
    own = pq.read_table(SWEEPS / cosines_file(sae)).to_pandas()
    rows = np.random.default_rng(0).normal(0, _SPREAD, (len(LETTERS), n_latents)).astype(np.float32)
    concepts = [*map(concept_id, LETTERS)]
    for row, concept in zip(rows, concepts, strict=True):
        known = own[own["concept"] == concept]
        row[known["latent"]] = known["cosine"]
    return pa.table(
        {
            "sae": np.repeat(sae, rows.size),
            "concept": np.repeat(concepts, n_latents),
            "latent": np.tile(np.arange(n_latents, dtype=np.int32), len(LETTERS)),
            "cosine": rows.ravel(),
        }
    )


if __name__ == "__main__":
    main()
