"""What is known of Gemma Scope: which of its SAEs Neuronpedia hosts, and how many latents a nominal width has."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

from queries.manifest import Neuronpedia

MODEL = "gemma-2-2b"
#: Latents by nominal width.
N_LATENTS = {
    16_000: 16_384,
    32_000: 32_768,
    65_000: 65_536,
    131_000: 131_072,
    262_000: 262_144,
    524_000: 524_288,
    1_000_000: 1_048_576,
}


@cache
def canonical() -> dict[tuple[int, int, int], Neuronpedia]:
    """Return the residual SAEs that Neuronpedia hosts, by layer, width and L0."""
    text = files("ingest").joinpath("gemma_scope_canonical.csv").read_text("utf-8")
    return {
        (int(row["layer"]), int(row["width"]), int(row["l0"])): Neuronpedia(
            model=row["model"], source=row["neuronpedia_source"]
        )
        for row in csv.DictReader(text.splitlines())
    }


def nominal_width(width: int) -> int:
    """Return the nominal width of what may be given as a number of latents: 16000 for 16384."""
    return next((nominal for nominal, count in N_LATENTS.items() if count == width), width)


def count_latents(width: int, highest_latent: int) -> int:
    """Return the number of latents of a nominal width, where no array tells it."""
    return max(N_LATENTS.get(width, width), highest_latent + 1)
