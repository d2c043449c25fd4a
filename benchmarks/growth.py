"""What more SAEs cost those who look at one: ``python -m benchmarks.growth SUITE``."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.measuring import summary
from explorer import open_store
from explorer.model import ExplorerModel, choices_of
from explorer.state import ExplorerState
from explorer.store import EMBEDDED
from ingest.writer import write_suite
from queries.manifest import MANIFEST
from queries.schema import SAE_KEY
from queries.suite import cosines_file, read_manifest

if TYPE_CHECKING:
    from queries import Store

#: Numbers of SAEs, as shares of those there are.
_SHARES = (0.25, 1, 4)
#: Between the layers of an SAE and of its copy.
_APART = 1000
_LETTERS = "abcdefghijklmnopqrst"
#: The questions of an act are asked side by side, but what one costs is measured while no other runs.
_IN_TURN = Lock()


def main() -> None:
    """Measure, and print JSON: milliseconds by page, question and number of SAEs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", nargs="?", default=str(EMBEDDED), type=Path)
    parser.add_argument("--runs", type=int, default=20)
    arguments = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(dir=arguments.suite.parent) as folder, ExitStack() as opened:
        suites = {share: _scaled(arguments.suite, Path(folder) / f"suite-{share}", share) for share in _SHARES}
        stores = {share: opened.enter_context(open_store(suite)) for share, suite in suites.items()}
        names = {share: f"{len(read_manifest(suite).saes)} SAEs" for share, suite in suites.items()}
        for page in ("explore", "compare", "atlas", "evidence"):
            times = _ask(stores, page, arguments.runs)
            found[page] = {
                question: {names[share]: summary(by_share[share], 1) for share in _SHARES}
                for question, by_share in times.items()
            }
    print(json.dumps(found, indent=2))


def _ask(stores: dict[float, Store], page: str, runs: int) -> dict[str, dict[float, list[float]]]:
    """Change the letter of a page in each store in turn; measure each question that follows."""
    times: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    models = {}
    for share, store in stores.items():
        models[share] = ExplorerModel(store, ExplorerState(choices_of(store), page=page, letter="z"))
    for run in range(runs):
        for share, model in models.items():
            for question, elapsed in _timed(model, _LETTERS[run % len(_LETTERS)], 1 + run / 1000).items():
                times[question][share].append(elapsed)
    return times


def _timed(model: ExplorerModel, letter: str, margin: float) -> dict[str, float]:
    """Move to a letter and a margin that nobody asked for yet, so that nothing comes from the cache."""
    found: dict[str, float] = {}
    fetch = model.store.fetch

    def timed(query: str, **params: Any) -> Any:
        with _IN_TURN:
            start = time.perf_counter()
            try:
                return fetch(query, **params)
            finally:
                found[query] = found.get(query, 0) + 1000 * (time.perf_counter() - start)

    model.store.fetch = timed  # type: ignore[method-assign, assignment]
    try:
        model.state.apply({"letter": letter, "effect_margin": margin})
    finally:
        model.store.fetch = fetch  # type: ignore[method-assign]
    return found


def _scaled(suite: Path, folder: Path, share: float) -> Path:
    """Write a suite with a share of the SAEs of another, or with copies of them in layers far above."""
    manifest = read_manifest(suite)
    kept, copies = manifest.saes[:: max(1, round(1 / share))], max(1, round(share))
    named = pa.array([_name(*sae.key) for sae in kept])

    def rows(table: str) -> pa.Table:
        found = pq.read_table(suite / f"{table}.parquet")
        if "layer" not in found.column_names:
            return found
        found = found.filter(pc.is_in(_name(*(pc.cast(found[key], pa.int64()) for key in SAE_KEY)), named))
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


def _name(layer: Any, width: Any, l0: Any) -> Any:
    """Name an SAE by one number."""
    return pc.add(pc.multiply(pc.add(pc.multiply(layer, 10_000_000), width), 10_000), l0)


if __name__ == "__main__":
    main()
