"""Time the queries for one SAE in suites with different numbers of SAEs: ``python -m benchmarks.growth SUITE``."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from benchmarks.measuring import summary
from benchmarks.scaled import scaled_suites
from explorer import open_store
from explorer.model import ExplorerModel, choices_of
from explorer.pages import Pages
from explorer.state import ExplorerState
from explorer.store import SWEEPS
from explorer.views.concepts import Concepts

if TYPE_CHECKING:
    from queries import Store

_LETTERS = "abcdefghijklmnopqrst"
#: The queries of an action run in parallel in the dashboard; here they run one at a time, so that each can be timed.
_IN_TURN = Lock()


def main() -> None:
    """Measure, and print JSON: milliseconds by page, query and number of SAEs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", nargs="?", default=str(SWEEPS), type=Path)
    parser.add_argument("--runs", type=int, default=20)
    arguments = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(dir=arguments.suite.parent) as folder, ExitStack() as opened:
        suites = scaled_suites(arguments.suite, Path(folder))
        stores = {saes: opened.enter_context(open_store(suite)) for saes, suite in suites.items()}
        for page in ("explore", "compare", "atlas", "evidence"):
            times = _time_queries(stores, page, arguments.runs)
            found[page] = {
                query: {saes: summary(each, 1) for saes, each in by_saes.items()} for query, by_saes in times.items()
            }
    print(json.dumps(found, indent=2))


def _time_queries(stores: dict[str, Store], page: str, runs: int) -> dict[str, dict[str, list[float]]]:
    """Change the letter of a page in each store in turn; time each query that this triggers."""
    times: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    models = {}
    for saes, store in stores.items():
        models[saes] = ExplorerModel(store, ExplorerState(choices_of(store), page=page, letter="z"), Concepts, Pages)
    for run in range(runs):
        for saes, model in models.items():
            for query, elapsed in _timed(model, _LETTERS[run % len(_LETTERS)], 1 + run / 1000).items():
                times[query][saes].append(elapsed)
    return times


def _timed(model: ExplorerModel, letter: str, margin: float) -> dict[str, float]:
    """Set a new letter and a new margin, so that nothing comes from the cache; return milliseconds by query."""
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


if __name__ == "__main__":
    main()
