"""Time recomputations for new thresholds: ``python -m benchmarks.evidence [SUITE]`` (default: the embedded suite)."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import sync_playwright

from benchmarks.measuring import set_widget, summary, to_painted
from explorer import open_store
from explorer.model import ExplorerModel, choices_of, param_of
from explorer.state import ExplorerState
from explorer.store import SWEEPS
from queries import Store, catalog
from tests.browser import CHROMIUM_ARGS, find_chromium, start_server

if TYPE_CHECKING:
    from collections.abc import Callable

#: Reads the columns that verdicts are computed from, and their keys.
_SCAN = """SELECT count(suite), count(sae), count(concept), sum(top_latent), sum(top_effect), sum(top_cosine),
    sum(margin), sum(silent_from), count(fires_published), count(is_absorption) FROM scores"""
_QUERIES = ("letter_counts", "suite_info", "sae_means", "letter_rates", "threshold_sensitivity", "evidence")


def main() -> None:
    """Measure, and print the figures as JSON: milliseconds, and ratios to references of the same run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", nargs="?", default=str(SWEEPS))
    parser.add_argument("--runs", type=int, default=20)
    arguments = parser.parse_args()
    with open_store(arguments.suite) as store:
        figures = {"suite": _size(store)} | _queries(store, arguments.runs)
    print(json.dumps(figures | _drags(arguments.suite, arguments.runs), indent=2))


def _size(store: Store) -> dict[str, Any]:
    name = next(iter(store.suites))
    info = store.fetch(
        "suite_info", suite=name, metric="ig_ablation", tau=0.03, cosine_threshold=0.025, effect_margin=1.0
    ).iloc[0]
    return {key: int(info[key]) for key in ("n_saes", "n_tested_tokens", "n_absorbed_tokens")}


def _queries(store: Store, runs: int) -> dict[str, Any]:
    """Measure each query that depends on thresholds relative to a plain scan of the columns of verdicts, in turns."""
    state = ExplorerState(choices_of(store), page="evidence")
    model = ExplorerModel(store, state)

    def query(name: str) -> Callable[[float], object]:
        values = {key: param_of(model.shown, key) for key in catalog()[name].params}
        return lambda margin: store.fetch(name, **values | {"effect_margin": margin})

    def scan(_: float) -> object:
        with store._connection.cursor() as cursor:  # noqa: SLF001 - there is no query that only scans
            return cursor.execute(_SCAN).fetchall()

    tasks = {"plain scan": scan} | {name: query(name) for name in _QUERIES}
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for run in range(runs):
        for name, task in tasks.items():
            start = time.perf_counter()
            # Each run has a different threshold, so that no result comes from the cache.
            assert task(1.0 + run / 1000) is not None
            times[name].append(1000 * (time.perf_counter() - start))
    medians = {name: summary(values, 1) for name, values in times.items()}
    ratios = {name: round(medians[name]["median"] / medians["plain scan"]["median"], 1) for name in _QUERIES}
    return {"queries, ms": medians, "ratio to the plain scan": ratios}


def _drags(suite: str, runs: int) -> dict[str, Any]:
    """Measure the time on the page Evidence from a slider's new value until counts, plot and table are painted."""
    figures = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = start_server(Path(folder) / "log", suite)
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_ARGS)
        try:
            # Playwright's waiting evaluates code in the page, which the page's content security policy forbids.
            page = browser.new_context(viewport={"width": 1440, "height": 900}, bypass_csp=True).new_page()
            page.goto(f"{server.url}/dashboard?page=evidence&letter=s")
            page.wait_for_function("document.documentElement.classList.contains('ax-ready')")
            page.wait_for_load_state("networkidle")
            for name, first, step in (
                ("cosine_threshold", 0.03, 0.005),
                ("effect_margin", 0.5, 0.05),
                ("tau", 0.035, 0.005),
            ):
                values = [round(first + step * place, 3) for place in range(runs)]
                figures[name] = summary(
                    [to_painted(page, partial(set_widget, page, name, value)) for value in values], 1
                )
        finally:
            browser.close()
            server.stop()
    return {"step of a slider to painted, ms": figures}


if __name__ == "__main__":
    main()
