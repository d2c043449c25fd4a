"""Facts about Gemma Scope: its SAEs on Neuronpedia, and the number of latents of each nominal width."""

from __future__ import annotations

import csv
import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from queries.manifest import Neuronpedia

MODEL = "gemma-2-2b"
#: Number of latents by nominal width.
N_LATENTS = {
    16_000: 16_384,
    32_000: 32_768,
    65_000: 65_536,
    131_000: 131_072,
    262_000: 262_144,
    524_000: 524_288,
    1_000_000: 1_048_576,
}
#: Name of an SAE in SAELens and SAEBench: release and id, with slashes possibly replaced.
_NAME = re.compile(
    r"(?:.*[/_])?gemma-scope-(?P<release>[0-9]+b-[a-z]+-[a-z]+)(?:-canonical)?[/_]"
    r"layer_(?P<layer>[0-9]{1,3})[/_]width_(?P<width>[0-9]{1,4})(?P<unit>[km])[/_](?:average_l0_(?P<l0>[0-9]{1,5})|canonical)"
)
#: The release with the residual SAEs of Gemma-2-2B, which `canonical` lists.
_RESIDUAL = "2b-pt-res"
_UNITS = {"k": 1_000, "m": 1_000_000}


#: Hook points by the end of a release's name; all are JumpReLU SAEs.
_HOOKS = {"res": "hook_resid_post", "mlp": "hook_mlp_out", "att": "attn.hook_z"}


class Place(NamedTuple):
    """An SAE of Gemma Scope: model, layer, hook point, nominal width, published L0, and its id on Neuronpedia."""

    model: str
    layer: int
    hook: str | None
    width: int
    l0: int
    neuronpedia: Neuronpedia | None


def place(name: str) -> Place | None:
    """Parse SAEBench's name of an SAE, as in gemma-scope-2b-pt-res/layer_3/width_16k/average_l0_59; None if unknown."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    layer, width = int(found["layer"]), int(found["width"]) * _UNITS[found["unit"]]
    known = canonical() if found["release"] == _RESIDUAL else {}
    hosted = next((l0 for at, of, l0 in known if (at, of) == (layer, width)), None)
    l0 = int(found["l0"]) if found["l0"] else hosted
    if l0 is None:
        return None
    size, kind, site = found["release"].split("-")
    model = f"gemma-2-{size}" + ("-it" if kind == "it" else "")
    hook = f"blocks.{layer}.{_HOOKS[site]}" if site in _HOOKS else None
    return Place(model, layer, hook, width, l0, known.get((layer, width, l0)))


def is_model(name: str) -> bool:
    """Return whether a model, named with or without its organisation, is Gemma-2-2B."""
    return name.rpartition("/")[2] == MODEL


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
    """Return the nominal width of a number of latents, as 16000 for 16384; other numbers are returned unchanged."""
    return next((nominal for nominal, count in N_LATENTS.items() if count == width), width)


def count_latents(width: int, highest_latent: int) -> int:
    """Estimate the number of latents from the nominal width and the highest known latent."""
    return max(N_LATENTS.get(width, width), highest_latent + 1)


def is_counted(width: int, n_latents: int) -> bool:
    """Return whether the number from `count_latents` is exact; unlisted multiples of 1,000 are rounded widths."""
    return n_latents == N_LATENTS.get(width) or (n_latents == width and width % 1_000 != 0)
