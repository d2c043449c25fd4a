"""An imported suite, queried as the dashboard does."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from ingest.source import Source
from queries.catalog import catalog
from queries.schema import letter_of
from queries.store import Store
from queries.writer import write_suite
from tests.questions import FAMILY, THRESHOLDS, keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pandas as pd

    from ingest.findings import Findings


class Suite:
    """The suite and the report of an import."""

    def __init__(self, source: Source, findings: Findings, folder: Path) -> None:
        self.findings = findings
        self.folder = folder
        self.report = source.report
        write_suite(folder, findings.manifest, findings.tables)

    @cached_property
    def store(self) -> Store:
        """The store of the suite, opened on first use."""
        return Store(self.folder)

    @property
    def saes(self) -> dict[str, str | None]:
        """Titles by id."""
        return {sae.id: sae.title for sae in self.findings.manifest.saes}

    def reasons(self, name: str) -> list[str]:
        return [reason for file, reason in self.report.rejected if file == name]

    def ask(self, name: str, **values: Any) -> list[dict[str, Any]]:
        """Run a query on the suite, by default for first letters and the suite's metric."""
        manifest = self.findings.manifest
        own = {"suite": manifest.name, "family": FAMILY, "metric": manifest.method.metric}
        asked = {key: value for key, value in own.items() if key in catalog()[name].params}
        return self.store.fetch(name, **(asked | keys(**values))).to_dict("records")

    def table(self, name: str) -> pd.DataFrame:
        """Return a table, with the layer of the SAE and the letter if its rows have SAEs and concepts."""
        frame = pq.read_table(self.folder / f"{name}.parquet").to_pandas()
        if "sae" in frame and name != "saes":
            frame["layer"] = frame["sae"].map({sae.id: sae.layer for sae in self.findings.manifest.saes})
        if "concept" in frame:
            frame["letter"] = frame["concept"].map(letter_of)
        return frame

    def rates(self, **thresholds: float) -> dict[tuple[int, str], float | None]:
        """Return the rate by layer and letter; None if it is unknown."""
        layers = {sae.id: sae.layer or 0 for sae in self.findings.manifest.saes}
        with self.store._connection.cursor() as cursor:
            rows = cursor.execute(
                "SELECT sae, concept, absorption_rate"
                " FROM rates($metric, NULL, $tau, $cosine_threshold, $effect_margin) ORDER BY ALL",
                {"metric": self.findings.manifest.method.metric} | THRESHOLDS | thresholds,
            ).fetchall()
        return {(layers[sae], letter_of(concept)): rate for sae, concept, rate in rows}

    def splits(self, letter: str, tau: float = 0.03) -> list[int]:
        """Return the split latents of the first SAE."""
        sae = min(self.findings.manifest.saes, key=lambda sae: sae.layer or 0)
        return [row["latent"] for row in self.ask("split_latents", sae=sae.id, letter=letter, tau=tau)]


def importing(read: Callable[..., list[Findings]], folder: Path) -> Iterator[Callable[..., Suite]]:
    """Return a function that imports the folder ``results`` of `folder` with `read`; stores are closed at the end."""
    suites: list[Suite] = []

    def do(**options: Any) -> Suite:
        source = Source(folder / "results")
        (findings,) = read(source, **options)
        suites.append(Suite(source, findings, folder / f"suite-{len(suites)}"))
        return suites[-1]

    yield do
    for suite in suites:
        if "store" in vars(suite):
            suite.store.close()
