"""Split latents from k-sparse scores, by the same statement that the dashboard asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from queries.catalog import derived_views
from queries.conform import arrow_type
from queries.connection import connect
from queries.layout_1 import SAE_KEY, TABLES

if TYPE_CHECKING:
    from queries.manifest import Method

_KEY = (*SAE_KEY, "letter")


def derive_split_latents(letters: pa.Table, k_sparse: pa.Table, method: Method) -> pa.Table:
    """Fill in the split latents that a source does not store.

    Parameters
    ----------
    letters : pyarrow.Table
        Columns layer, width, l0, letter, split_latents.
    k_sparse : pyarrow.Table
        Columns layer, width, l0, letter, k, latent, f1.
    method : Method
        Its tau decides.

    Returns
    -------
    pyarrow.Table
        `letters` with split_latents; NULL where the ranked latents are unknown too.
    """
    with connect() as connection:
        keys = "'' AS suite, [layer, width, l0] AS sae, letter AS concept"
        connection.register("given", letters.select([*_KEY, "split_latents"]))
        connection.register("steps", k_sparse.select([*_KEY, "k", "latent", "f1"]))
        connection.execute(f"CREATE TABLE measurements AS SELECT {keys}, split_latents FROM given")  # noqa: S608 - a constant
        connection.execute(f"CREATE TABLE k_sparse AS SELECT {keys}, k, latent, f1 FROM steps")  # noqa: S608 - a constant
        connection.execute("CREATE TABLE suites AS SELECT '' AS suite, CAST(? AS DOUBLE) AS tau", [method.tau])
        for needed in ("ranks", "splits"):
            connection.execute(derived_views()[needed])
        rows = connection.execute("SELECT sae, concept, split_latents FROM splits(?)", [method.tau]).fetchall()
    found = {(*sae, concept): latents for sae, concept, latents in rows}
    wanted = zip(*(letters[name].to_pylist() for name in _KEY), strict=True)
    derived = pa.array([found[key] for key in wanted], arrow_type(TABLES["letters"].column("split_latents").type))
    return letters.set_column(letters.column_names.index("split_latents"), "split_latents", derived)
