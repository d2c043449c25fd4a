"""Compare a suite's architectures, as tables in Markdown: ``python -m benchmarks.architectures [SUITE]``.

For each architecture, width and target L0, over seeds: the quality of the SAEs and their absorption rates by each
metric. Then the differences in rates from BatchTopK with the intervals that Compare shows, the smallest difference that
could have been detected, and the differences between seeds.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer import open_store
from explorer.statistics import mean_difference
from explorer.store import ARCHITECTURES

if TYPE_CHECKING:
    import pandas as pd

    from queries import Store

_GROUP = ["layer", "width", "l0_nominal", "architecture"]
_BASE = "BatchTopK"


class Rates:
    """The rates of a suite's SAEs by family and metric, at the suite's thresholds."""

    def __init__(self, store: Store) -> None:
        ((name, suite),) = store.suites.items()
        self._store = store
        method = suite.manifest.method
        self._how = {name: getattr(method, name) for name in ("tau", "cosine_threshold", "effect_margin")}
        self._suite = name
        self.families = {family.family: family.title for family in suite.manifest.families}
        self.metrics: list[str] = store.fetch("metrics").query("suite == @name")["metric"].tolist()
        saes = store.fetch("saes").query("suite == @name")
        self.groups = saes.groupby(_GROUP, dropna=False)["sae"].agg(list)

    def of(self, family: str, metric: str, column: str = "absorption_rate") -> pd.DataFrame:
        """Return a column of the rates, (SAEs, concepts)."""
        rows = self._store.fetch(
            "concept_rates", suite=self._suite, family=family, scope="suite", metric=metric, **self._how
        )
        return rows.pivot_table(index="sae", columns="concept", values=column, dropna=False)

    def means(self, family: str, metric: str) -> pd.DataFrame:
        """Return the metadata of each SAE, and its means over the concepts of a family."""
        params = {"suite": self._suite, "family": family, "scope": "suite", "metric": metric}
        found = self._store.fetch("sae_means", **params, **self._how, mean_policy="all_concepts")
        return found.set_index("sae")


def _over_seeds(values: pd.Series, scale: float = 1.0, digits: int = 2) -> str:
    """Format the mean over seeds, with minimum and maximum."""
    known = values.dropna() * scale
    if known.empty:
        return "undefined"
    low, high = known.min(), known.max()
    return f"{known.mean():.{digits}f}" + (f" ({low:.{digits}f} to {high:.{digits}f})" if len(known) > 1 else "")


def print_table(head: list[str], rows: list[list[Any]]) -> None:
    """Print a table in Markdown."""
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")
    print()


def print_quality(rates: Rates) -> None:
    """Print the quality of the SAEs."""
    means = rates.means(next(iter(rates.families)), rates.metrics[0])
    rows = []
    for (layer, width, l0, architecture), saes in rates.groups.items():
        of = means.loc[[sae for sae in saes if sae in means.index]]
        rows.append(
            [
                *(layer, f"{width:,}", f"{l0:g}", architecture, len(saes), f"{of['l0'].mean():.1f}"),
                _over_seeds(of["variance_explained"], digits=3),
                _over_seeds(of["loss_recovered"], digits=3),
                _over_seeds(of["dead_fraction"], 100, 1),
            ]
        )
    print_table(
        [
            "layer",
            "width",
            "nominal L0",
            "architecture",
            "seeds",
            "L0",
            "variance explained",
            "loss recovered",
            "dead, %",
        ],
        rows,
    )


def print_rates(rates: Rates, family: str) -> None:
    """Print the mean rates of a family by each metric, and those by chance (random directions)."""
    tables = {metric: rates.of(family, metric) for metric in rates.metrics}
    by_chance = {metric: rates.of(family, metric, "random_rate") for metric in rates.metrics}
    gaps = rates.of(family, rates.metrics[0], "f1_gap")
    rows = []
    for (layer, width, l0, architecture), saes in rates.groups.items():
        row = [layer, f"{width:,}", f"{l0:g}", architecture, _over_seeds(gaps.reindex(saes).mean(axis=1))]
        for metric, table in tables.items():
            found, chance = table.reindex(saes), by_chance[metric].reindex(saes)
            defined = f", {int(found.notna().all().sum())} of {table.shape[1]} concepts"
            null = f"; chance {100 * np.nanmean(chance):.2f}" if chance.notna().any(axis=None) else ""
            row.append(f"{_over_seeds(found.mean(axis=1), 100)}{defined}{null}")
        rows.append(row)
    print(f"### {rates.families[family]}\n")
    print_table(
        ["layer", "width", "L0", "architecture", "probe's F1 less the main latent's"]
        + [f"{metric}, %" for metric in rates.metrics],
        rows,
    )


def print_differences(rates: Rates, family: str) -> None:
    """Print the difference in rates of each architecture from BatchTopK at the nearest L0, in percentage points."""
    rows = []
    for metric in rates.metrics:
        table = rates.of(family, metric)
        for (layer, width, l0, architecture), saes in rates.groups.items():
            bases = [key for key in rates.groups.index if (*key[:2], key[3]) == (layer, width, _BASE)]
            if not bases or architecture == _BASE:
                continue
            base = rates.groups[min(bases, key=lambda key: abs(key[2] - l0))]
            found = mean_difference(*(table.reindex(each).to_numpy(float) for each in (base, saes)))
            if found is None:
                rows.append([metric, layer, f"{width:,}", f"{l0:g}", architecture, "undefined", "", "", 0])
                continue
            interval = "unknown" if found.low is None else f"{100 * found.low:+.2f} to {100 * (found.high or 0):+.2f}"
            least = "unknown" if found.detectable is None else f"{100 * found.detectable:.2f}"
            difference = f"{100 * found.mean:+.2f}"
            rows.append(
                [metric, layer, f"{width:,}", f"{l0:g}", architecture, difference, interval, least, found.num_concepts]
            )
    head = ["metric", "layer", "width", "L0", f"less {_BASE}", "difference", "95% interval", "detectable", "concepts"]
    print_table(head, rows)


def print_seeds(rates: Rates, family: str) -> None:
    """Print the absolute differences between the means of SAEs that differ only in their seed."""
    rows = []
    for metric in rates.metrics:
        table, apart = rates.of(family, metric), []
        for saes in rates.groups:
            known = table.reindex(saes).mean(axis=1).dropna()
            apart += [abs(one - other) for one, other in combinations(known, 2)]
        if apart:
            rows.append([metric, f"{100 * np.mean(apart):.2f}", f"{100 * np.max(apart):.2f}", len(apart)])
    print_table(["metric", "mean distance of two seeds", "largest", "pairs"], rows)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", nargs="?", default=str(ARCHITECTURES))
    with open_store(parser.parse_args().suite) as store:
        rates = Rates(store)
        print_quality(rates)
        for family in rates.families:
            print_rates(rates, family)
            print_differences(rates, family)
            print_seeds(rates, family)


if __name__ == "__main__":
    main()
