"""What is known of Gemma Scope: which of its SAEs Neuronpedia hosts, and how many latents a nominal width has."""

from __future__ import annotations

import csv
import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

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
#: An SAE as SAE Lens and SAEBench call it: release and id, slashes possibly replaced.
_NAME = re.compile(
    r"(?:.*[/_])?gemma-scope-(?P<release>[0-9]+b-[a-z]+-[a-z]+)(?:-canonical)?[/_]"
    r"layer_(?P<layer>[0-9]{1,3})[/_]width_(?P<width>[0-9]{1,4})(?P<unit>[km])[/_](?:average_l0_(?P<l0>[0-9]{1,5})|canonical)"
)
#: The residual SAEs of Gemma-2-2B, which are those that `canonical` lists.
_RESIDUAL = "2b-pt-res"
_UNITS = {"k": 1_000, "m": 1_000_000}


#: What the SAEs of a release read, by the end of its name; all are JumpReLU SAEs.
_HOOKS = {"res": "hook_resid_post", "mlp": "hook_mlp_out", "att": "attn.hook_z"}


class Place(NamedTuple):
    """Which SAE of Gemma Scope it is: where it reads, nominal width, published L0, and where Neuronpedia hosts it."""

    model: str
    layer: int
    hook: str | None
    width: int
    l0: int
    neuronpedia: Neuronpedia | None


def place(name: str) -> Place | None:
    """Find the SAE that SAEBench calls `name`, such as gemma-scope-2b-pt-res/layer_3/width_16k/average_l0_59."""
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
    """Tell whether a model, named with its organisation or without, is the one of the SAEs that are known here."""
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
    """Return the nominal width of what may be given as a number of latents: 16000 for 16384."""
    return next((nominal for nominal, count in N_LATENTS.items() if count == width), width)


def count_latents(width: int, highest_latent: int) -> int:
    """Return the number of latents of a nominal width, where no array tells it."""
    return max(N_LATENTS.get(width, width), highest_latent + 1)


def is_counted(width: int, n_latents: int) -> bool:
    """Tell whether `count_latents` knew that number: widths of whole thousands are rounded, unless they are listed."""
    return n_latents == N_LATENTS.get(width) or (n_latents == width and width % 1_000 != 0)
