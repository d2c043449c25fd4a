"""A suite of SAEs of increasing width with random decoder directions and words, and its kin computed by NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from queries.first_letters import first_letters
from queries.manifest import FORMAT_VERSION, Manifest, Method, Model, Sae
from queries.schema import concept_id
from queries.writer import write_suite

if TYPE_CHECKING:
    from pathlib import Path

WORDS = [f"s{number}" for number in range(40)]
#: By SAE, from narrow to wide: latents, split latents and absorbing latents of the concept.
SAES: dict[str, tuple[int, list[int], list[int]]] = {
    "w16": (16, [3, 5], [7]),
    "w64": (64, [10, 11, 12], [20, 21]),
    "w200": (200, [150], [30, 31, 32]),
}
CONCEPT = concept_id("s")
TOP = 5


@dataclass(frozen=True)
class Drawn:
    """A random SAE: unit directions, (latents, 12), and the activations of latents on words."""

    directions: np.ndarray
    activations: np.ndarray


def draw(seed: int = 0) -> dict[str, Drawn]:
    """Draw the SAEs; each wider one has the directions of the narrower one, each split in two."""
    rng = np.random.default_rng(seed)
    drawn: dict[str, Drawn] = {}
    former = np.zeros((0, 12))
    for sae, (number, *_) in SAES.items():
        directions = rng.normal(size=(number, 12))
        for half in range(min(2, number // max(len(former), 1)) if len(former) else 0):
            directions[half::2][: len(former)] = former + rng.normal(size=former.shape) / 2
        directions /= np.linalg.norm(directions, axis=1)[:, None]
        activations = rng.uniform(1, 9, (len(WORDS), number)) * (rng.random((len(WORDS), number)) < 0.15)
        activations[:, 1] = 0  # never fires
        drawn[sae] = Drawn(directions, activations.astype(np.float32))
        former = directions
    return drawn


def kin_of(drawn: dict[str, Drawn]) -> list[dict[str, Any]]:
    """Compare all latents of all SAEs with each other."""
    rows = []
    for sae, other in permutations(drawn, 2):
        one, two = drawn[sae], drawn[other]
        cosines = (one.directions @ two.directions.T).astype(np.float32)
        for latent in range(len(cosines)):
            fires = one.activations[:, latent] > 0
            for rank, kin in enumerate(np.argsort(-cosines[latent], kind="stable")[:TOP].tolist()):
                theirs = two.activations[:, kin]
                both, either = fires & (theirs > 0), fires | (theirs > 0)
                shared = sorted(np.flatnonzero(both).tolist(), key=lambda word: (-theirs[word], word))
                rows.append(
                    {
                        "sae": sae,
                        "latent": latent,
                        "other_sae": other,
                        "rank": rank,
                        "other_latent": kin,
                        "cosine": float(cosines[latent, kin]),
                        "overlap": both.sum() / either.sum() if either.any() else None,
                        "num_shared_words": int(both.sum()),
                        "shared_words": shared[:5],
                    }
                )
    return rows


def write_related_saes(folder: Path, *, seed: int = 0, kin: list[dict[str, Any]] | None = None) -> Path:
    """Write the suite, with `kin` in place of all kin."""
    drawn = draw(seed)
    saes = [
        Sae(sae=sae, layer=2, hook="blocks.2.hook_resid_post", width=number, n_latents=number, l0=5.0, l0_nominal=5)
        for sae, (number, *_) in SAES.items()
    ]
    measured = [
        {"sae": sae, "concept": CONCEPT, "split_latents": split, "num_candidates": len(absorbing)}
        for sae, (_, split, absorbing) in SAES.items()
    ]
    tested = [
        {
            "sae": sae,
            "concept": CONCEPT,
            "token": WORDS[place],
            "top_latent": latent,
            "top_effect": -3.0,
            "top_cosine": 0.5,
            "second_effect": 0.0,
            "latents": [latent],
            "is_absorption": True,
        }
        for sae, (_, _, absorbing) in SAES.items()
        for place, latent in enumerate(absorbing)
    ]
    facts = [
        {"sae": sae, "latent": latent, "num_vocab_tokens": int(number)}
        for sae, one in drawn.items()
        for latent, number in enumerate((one.activations > 0).sum(0))
    ]
    rows = {
        "measurements": measured,
        "tested_tokens": tested,
        "latents": facts,
        "tokens": [{"token_id": place, "token": word, "is_test": True} for place, word in enumerate(WORDS)],
        "token_concepts": [{"token_id": place, "concept": CONCEPT} for place in range(len(WORDS))],
        "kin": kin_of(drawn) if kin is None else kin,
    }
    tables = {name: pa.Table.from_pylist(listed) for name, listed in rows.items() if listed}
    tables["concepts"] = first_letters([CONCEPT], tables["token_concepts"])
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name="related",
        model=Model(name="tiny-model"),
        method=Method(metric="ig_ablation", tau=0.03, cosine_threshold=0.025, effect_margin=1.0),
        saes=saes,
        tables={},
    )
    write_suite(folder, manifest, tables)
    return folder
