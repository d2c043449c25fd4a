"""A suite with several metrics: tokens with evidence by ablation and by projection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from queries.conform import arrow_schema
from queries.manifest import FORMAT_VERSION, Manifest, Method, Model, Sae
from queries.schema import TABLES
from queries.writer import write_suite

if TYPE_CHECKING:
    from pathlib import Path

SAE, CONCEPT, FAMILY, TRUE_POSITIVES = "l0-w1000-l0-10", "first-letter.s", "first-letter", 200
PUBLISHED = (0.03, 0.025, 1.0)
_PROJECTIONS = ["main_projection", "absorbing_projection", "latents_projection", "total_projection"]


def evidence(size: int = TRUE_POSITIVES) -> pd.DataFrame:
    """Draw tested tokens with evidence by ablation and by projection."""
    random = np.random.default_rng(0)
    rows = []
    for nth in range(size):
        latents = random.choice(np.arange(1, 40), 5, replace=False)
        effects = np.sort(random.normal(-1, 2, 5))
        cosines = random.normal(0.1, 0.2, 5).clip(-1, 1)
        projections = random.gamma(1, 1, 5) * cosines
        rows.append(
            {
                "token": f"s{nth:03}",
                "latents": latents.tolist(),
                "effects": effects.tolist(),
                "cosines": cosines.tolist(),
                "projections": projections.tolist(),
                "top_latent": int(latents[0]),
                "top_effect": effects[0],
                "top_cosine": cosines[0],
                "second_latent": int(latents[1]),
                "second_effect": min(effects[1], 0.0),
                "main_projection": random.normal(0.2, 0.3),
                "absorbing_projection": random.gamma(1, 0.5),
                "latents_projection": random.normal(0.7, 0.5),
                "total_projection": random.normal(0.8, 0.5),
                "is_absorption": bool(random.random() < 0.5),
            }
        )
    tokens = pd.DataFrame(rows)
    floats = ["top_effect", "top_cosine", "second_effect", *_PROJECTIONS]
    # In the stored types.
    return tokens.assign(**{name: tokens[name].astype("float32").astype(float) for name in floats})


def write_several_metrics(folder: Path, *unranked: str) -> Path:
    """Write a suite of one SAE and one concept with several metrics, one of which has a rate by chance.

    The concepts `unranked` are measured alike, but for the latents that k-sparse probing ranks for them.
    """
    counts = {"sae": SAE, "concept": CONCEPT, "num_probe_true_positives": TRUE_POSITIVES, "split_latents": [1, 2]}
    measured = [
        counts | {"metric": "ig_ablation"},
        counts | {"metric": "full"},
        counts | {"metric": "fraction"},
        counts | {"metric": "fraction-0.3", "random_rate": 0.0625},
        {"sae": SAE, "concept": CONCEPT, "metric": "projection-3", "absorption_rate": 0.125, "random_rate": 0.03125},
    ]
    measured += [row | {"concept": concept} for concept in unranked for row in measured]
    ranks = [{"k": 1, "latent": 1, "f1": 0.5}, {"k": 2, "latent": 2, "f1": 0.6}]
    write_suite(
        folder,
        Manifest(
            format_version=FORMAT_VERSION,
            name="several",
            model=Model(name="none"),
            method=Method(metric="ig_ablation"),
            saes=[Sae(sae=SAE, layer=0, width=1000, n_latents=1024, l0=10.0)],
            tables={},
        ),
        {
            "concepts": pa.Table.from_pylist(
                [{"concept": CONCEPT, "family": FAMILY, "label": "S", "phrase": "starts with S", "position": 18}]
                + [{"concept": concept, "family": FAMILY, "label": "T", "position": 19} for concept in unranked]
            ),
            "measurements": pa.Table.from_pylist(measured, arrow_schema(TABLES["measurements"].columns)),
            "k_sparse": pa.Table.from_pylist([{"sae": SAE, "concept": CONCEPT} | rank for rank in ranks]),
            "tested_tokens": pa.Table.from_pandas(
                pd.concat(evidence().assign(sae=SAE, concept=concept) for concept in (CONCEPT, *unranked)).assign(
                    metric="ig_ablation"
                ),
                preserve_index=False,
            ),
        },
    )
    return folder


def fractions(tokens: pd.DataFrame, metric: str = "fraction") -> list[float]:
    """Return SAEBench's absorption fraction of each token, by version 0.6.0 or 0.4.0."""
    values = []
    for main, absorbing, latents, total in tokens[_PROJECTIONS].to_numpy():
        if metric == "fraction-0.3":
            nothing = main >= total or latents <= 0
            values.append(0.0 if nothing else min(1.0, max(0.0, (latents - main) / latents)))
        elif main >= total or absorbing / total < 0.4:
            values.append(0.0)
        elif main <= 0:
            values.append(1.0)
        else:
            carried = min(absorbing, total - main)
            values.append(min(1.0, max(0.0, carried / (carried + main))))
    return values


def taken_apart(tokens: pd.DataFrame, split: set[int]) -> pd.DataFrame:
    """Return the projections of these split latents and of the three largest absorbing latents, per token."""
    tokens = tokens.copy()
    for at, row in enumerate(tokens.to_dict("records")):
        carried = [*zip(row["latents"], row["projections"], np.asarray(row["cosines"], np.float32), strict=True)]
        others = [pi for latent, pi, cos in carried if latent not in split and pi > 0 and cos >= 0.1]
        tokens.loc[at, "main_projection"] = sum(pi for latent, pi, _ in carried if latent in split)
        tokens.loc[at, "absorbing_projection"] = sum(sorted(others)[-3:])
    return tokens
