"""Synthetic results in a user's own tables, as CSV and as parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from tests.result_files import save

if TYPE_CHECKING:
    from pathlib import Path

TESTED = "tested_tokens.parquet"
LATENTS = "latents.parquet"
SAES = "saes.csv"
K_SPARSE = "k_sparse.csv"
DESCRIPTION = "suite.toml"


def write_results(root: Path) -> Path:
    """Write tables of two concepts on one SAE; the tested tokens alone are enough to import."""
    tested = pd.DataFrame(
        {
            "sae": "mine",
            "concept": ["pos.verb", "pos.verb", "pos.noun"],
            "token": [" run", " walk", " dog"],
            "top_latent": [3, 4, 5],
            "top_effect": [-2.5, -2.5, -1.5],
            "top_cosine": [0.5, 0.5, 0.25],
            "second_effect": [-0.5, -2.0, None],
        }
    )
    save(root / TESTED, tested)
    save(root / LATENTS, pd.DataFrame({"sae": "mine", "latent": [3, 4, 5], "density": [0.5, 0.25, 0.125]}))
    (root / SAES).write_text("sae,num_latents,layer\nmine,64,8\n", "utf-8")
    (root / K_SPARSE).write_text("sae,concept,k,latent,f1\nmine,pos.verb,1,9,0.5\n", "utf-8")
    (root / DESCRIPTION).write_text("title = 'Mine'\n", "utf-8")
    return root
