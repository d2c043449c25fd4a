"""Verdicts on tested tokens whose source stores only scores, with the same macro as the dashboard."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from queries.catalog import functions
from queries.connection import connect

if TYPE_CHECKING:
    import pyarrow as pa

    from queries.manifest import Method


def with_verdicts(tested: pa.Table, measurements: pa.Table, method: Method) -> pa.Table:
    """Compute the missing verdicts of tested tokens.

    Parameters
    ----------
    tested : pyarrow.Table
        Rows of tested_tokens with all its columns.
    measurements : pyarrow.Table
        Columns sae, concept, split_latents.
    method : Method
        Provides the thresholds.

    Returns
    -------
    pyarrow.Table
        `tested` with is_absorption; NULL in rows with neither a verdict nor an effect.
    """
    splits = measurements.select(["sae", "concept", "split_latents"])
    splits = splits.filter(pc.is_valid(splits["split_latents"]))
    with connect() as connection:
        connection.execute(functions()["ablation"])
        connection.register("tested", tested)
        connection.register("every_split", splits)
        # One SAE and concept may be measured by several metrics.
        connection.execute(
            "CREATE TEMP VIEW splits AS SELECT sae, concept, any_value(split_latents) AS split_latents"
            " FROM every_split GROUP BY ALL"
        )
        return connection.execute(
            files("ingest").joinpath("verdicts.sql").read_text("utf-8"),
            {"cosine_threshold": method.cosine_threshold, "effect_margin": method.effect_margin},
        ).to_arrow_table()
