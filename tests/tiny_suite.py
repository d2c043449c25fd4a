"""A small generated suite with everything that views and queries must cope with; `tests.tiny_sae` draws its SAEs."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ingest import write_suite
from queries.first_letters import first_letters
from queries.manifest import FORMAT_VERSION, Manifest, Method, Model, Neuronpedia, Provenance, Sae
from queries.manifest_1 import former_id
from queries.schema import concept_id
from tests.tiny_sae import COSINE_THRESHOLD, EFFECT_MARGIN, LETTERS, TAU, VOCABULARY, TinySae

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

SAES = tuple(product((0, 3), (1000, 4000), (10, 40)))
NEURONPEDIA = Neuronpedia(model="tiny-model", source="0-tiny-res-1k")
_EXAMPLES = ("contexts", "logits", "histograms")


def write_tiny_suite(
    folder: Path,
    *,
    name: str = "tiny",
    seed: int = 0,
    saes: Sequence[tuple[int, int, int]] = SAES,
    neuronpedia: bool = False,
    dashboards: bool = False,
    cosines: bool = True,
    examples: bool = True,
    activations: bool = True,
    without: Collection[str] = (),
    metric: str = "ig_ablation",
    thresholds: Mapping[str, float] | None = None,
) -> Path:
    """Write a suite that is the same for the same arguments.

    Parameters
    ----------
    folder : Path
        Must not exist.
    name : str
    seed : int
        Draws latents and cosines.
    saes : sequence of (int, int, int)
        Layer, nominal width and L0, which is not known where it is negative; the number of latents is the power of two
        next to the width.
    neuronpedia : bool
        Let the first SAE be hosted (`NEURONPEDIA`).
    dashboards : bool
        Let the last SAE have HTML pages for the latents of the letter s.
    cosines, examples, activations : bool
        Whether to write the cosines; contexts, logits and histograms; the activations on the vocabulary.
    without : collection of str
        Other tables to omit.
    metric : str
        What the manifest says was measured.
    thresholds : mapping of str to float, optional
        What the manifest says of the thresholds, in place of those that everything was made with.

    Returns
    -------
    Path
        `folder`.
    """
    places = sorted(saes)
    records = [
        Sae(
            sae=former_id(layer, width, l0),
            layer=layer,
            width=width,
            n_latents=2 ** round(math.log2(width)),
            l0=l0 + 0.25 if l0 >= 0 else None,
            l0_nominal=l0 if l0 >= 0 else None,
            seed=0,
            hook=f"blocks.{layer}.hook_resid_post",
            architecture="JumpReLU",
            variance_explained=0.8,
            loss_recovered=0.95,
            dead_fraction=0.01,
            tokens_seen=1_000_000,
        )
        for layer, width, l0 in places
    ]
    if neuronpedia:
        records[0] = records[0].model_copy(update={"neuronpedia": NEURONPEDIA})
    further = [sae.model_copy(update={"sae": f"{sae.id}-s1", "seed": 1, "repeat_of": sae.id}) for sae in records]
    tiny = [TinySae(record, place, seed) for record, place in zip(records, places, strict=True)]
    tiny.sort(key=lambda one: one.key["sae"])
    rows_of: dict[str, Callable[[TinySae], Any]] = {
        "measurements": TinySae.measurements,
        "k_sparse": TinySae.k_sparse,
        "encoder_top": TinySae.encoder_top,
        "tested_tokens": TinySae.tested_tokens,
        "latents": TinySae.latents,
        "contexts": TinySae.contexts,
        "logits": TinySae.logits,
        "histograms": TinySae.histograms,
        "token_activations": TinySae.token_activations,
        "cosines": TinySae.cosines,
    }
    tables: dict[str, Any] = {"tokens": _tokens(), "token_concepts": _token_concepts(), "prompts": _prompts()}
    tables |= {table: [_as_table(rows(sae)) for sae in tiny] for table, rows in rows_of.items()}
    if tiny:  # without SAEs the table is empty and has no parts
        tables["measurements"] = pa.concat_tables(tables["measurements"])
    tables["kin"] = [_kin(one, tiny) for one in tiny]
    tables["concepts"] = first_letters(map(concept_id, LETTERS), tables["token_concepts"])
    pages = [page for one in tiny if one.key["sae"] == records[-1].id for page in one.dashboards()]
    if pages and dashboards:
        tables["dashboards"] = pa.Table.from_pylist(pages)
    left_out = {
        *without,
        *(() if cosines else ("cosines",)),
        *(() if examples else _EXAMPLES),
        *(() if activations else ("token_activations",)),
    }
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=name,
        title=name.title(),
        model=Model(name="tiny-model", licence="CC0-1.0", d_model=64, num_layers=4),
        method=Method(
            metric=metric,
            tau=TAU,
            cosine_threshold=COSINE_THRESHOLD,
            effect_margin=EFFECT_MARGIN,
            notes=["Made up."],
        ).model_copy(update=dict(thresholds or {})),
        saes=[*records, *further],
        tables={},
        provenance=Provenance(
            made_by="tests", date="2026-01-01", summary="Numbers drawn at random.", limits=["Not real."]
        ),
    )
    write_suite(
        folder,
        manifest,
        {table: pieces for table, pieces in tables.items() if table not in left_out},
    )
    return folder


def _kin(one: TinySae, tiny: Sequence[TinySae]) -> pa.Table:
    """Find the kin of an SAE's latents on all other SAEs of its layer, including further seeds (equal to it)."""
    rows = []
    for other in tiny:
        if other.layer == one.layer:
            rows += one.kin(other, f"{other.key['sae']}-s1")
            rows += [] if other is one else one.kin(other, other.key["sae"])
    return pa.Table.from_pylist(rows)


def _as_table(rows: pa.Table | list[dict[str, Any]]) -> pa.Table:
    return rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)


def _tokens() -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "token_id": token.token_id,
                "token": token.text,
                "is_test": token.is_test,
                "model_answer": token.letter if token.is_test else None,
                "model_metric": 5.0 if token.is_test else None,
            }
            for token in VOCABULARY
        ]
    )


def _token_concepts() -> pa.Table:
    return pa.Table.from_pylist(
        [{"token_id": token.token_id, "concept": concept_id(token.letter)} for token in VOCABULARY]
    )


def _prompts() -> pa.Table:
    templates = [f"{shown} has the first letter: {shown[1].upper()}\n{{token}}" for shown in (" tall", " queen")]
    return pa.table({"prompt_id": [0, 1], "template": templates, "test_accuracy": [0.75, 0.8]})
