"""Split latents from k-sparse scores, with the same SQL as the dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from queries.catalog import derived_views
from queries.conform import arrow_type
from queries.connection import connect
from queries.schema import TABLES

if TYPE_CHECKING:
    from queries.manifest import Method

_KEY = ("sae", "concept")


def derive_split_latents(measurements: pa.Table, k_sparse: pa.Table, method: Method) -> pa.Table:
    """Fill in the split latents that a source does not store.

    Parameters
    ----------
    measurements : pyarrow.Table
        Columns sae, concept, split_latents.
    k_sparse : pyarrow.Table
        Columns sae, concept, k, latent, f1.
    method : Method
        Provides tau.

    Returns
    -------
    pyarrow.Table
        `measurements` with split_latents; NULL if the ranked latents are unknown, too.
    """
    with connect() as connection:
        connection.register("given", measurements.select([*_KEY, "split_latents"]))
        connection.register("steps", k_sparse.select([*_KEY, "k", "latent", "f1"]))
        connection.execute("CREATE TABLE k_sparse AS SELECT '' AS suite, * FROM steps")
        for needed in ("ranks", "split_at"):
            connection.execute(derived_views()[needed])
        rows = connection.execute(
            "SELECT sae, concept, split_at($tau, $tau, given.split_latents, ranks.latents, ranks.rises)"
            " FROM given LEFT JOIN ranks USING (sae, concept)",
            {"tau": method.tau},
        ).fetchall()
    found = {(sae, concept): latents for sae, concept, latents in rows}
    wanted = zip(*(measurements[name].to_pylist() for name in _KEY), strict=True)
    kind = arrow_type(TABLES["measurements"].column("split_latents").type)
    derived = pa.array([found[key] for key in wanted], kind)
    return measurements.set_column(measurements.column_names.index("split_latents"), "split_latents", derived)
