"""Render ``data/SCHEMA.md`` from the contracts: ``python -m queries.schema_doc`` writes it."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from queries import schema
from queries.layout_1 import TABLES
from queries.manifest import Family, Manifest, Method, Model, Neuronpedia, Provenance, Sae, TableEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic import BaseModel

    from queries.schema import Table

SCHEMA_DOC = Path(__file__).parents[1] / "data" / "SCHEMA.md"

#: Meaning of the manifest's fields, by model. A field without one stops the rendering.
_FIELDS: dict[type[BaseModel], dict[str, str]] = {
    Manifest: {
        "format_version": "Version of the layout: 1, or 2.",
        "name": "Short name, fit for a folder and a URL; the value of the column `suite` in queries.",
        "title": "Name shown to people.",
        "model": "The language model.",
        "method": "How absorption was measured.",
        "saes": "The SAEs, in the first layout, where layer, width and L0 name each of them; the second has a table.",
        "families": "The families that concepts belong to; in the second layout.",
        "tables": "What lies beside the manifest, by table name; a table not listed here is not read.",
        "provenance": "Where the figures come from.",
    },
    Model: {
        "name": "Name of the model.",
        "licence": "Its licence.",
        "weights": "Which weights were run, and in what precision.",
        "d_model": "Width of the residual stream.",
        "num_layers": "Number of blocks.",
    },
    Method: {
        "metric": "`ig_ablation`, or SAEBench's `full` or `fraction`: different quantities, never mixed in one chart.",
        "metric_version": "Version of the program that measured it, where its definition changed.",
        "tau": "Gain in F1 that the k-th latent must bring to count as a split latent.",
        "cosine_threshold": "Least cosine of an absorbing latent with the probe.",
        "effect_margin": "Least lead of the top latent's effect over the runner-up's, logits.",
        "notes": "Sentences on how it was measured.",
    },
    Family: {
        "family": "Its id, the part of a concept's id before the dot.",
        "title": "Name shown to people.",
        "noun": "What one of its concepts is called.",
        "exclusive": "Whether a token has one of its concepts at most.",
        "prompt": "The prompt it was measured with.",
        "answers": "The answers that the prompt asks for.",
    },
    Sae: {
        "sae": "Its id; where there is none, it is made of layer, width and L0.",
        "layer": "Block whose residual stream the SAE reads, counted from 0.",
        "width": "Nominal width as published (16000 for 16,384 latents).",
        "l0": "Mean number of active latents a token, rounded; negative where it is unknown.",
        "name": "What its publishers call it.",
        "n_latents": "Number of latents.",
        "n_latents_counted": "Whether n_latents was counted; false: it is the least that there can be.",
        "l0_measured": "L0 before rounding.",
        "hook": "Hook point in TransformerLens's terms.",
        "architecture": "JumpReLU, BatchTopK, ...",
        "neuronpedia": "Where Neuronpedia hosts the SAE; null where it does not.",
        "cosines": "Whether a file of cosines is there for it.",
        "variance_explained": "Share of the stream's variance that the reconstruction explains.",
        "loss_recovered": "Share of the model's loss that the reconstruction wins back.",
        "dead_fraction": "Share of latents that never fire.",
        "tokens_seen": "Tokens it was trained on.",
        "recipe": "How it was trained.",
        "seed": "Seed of its first weights and of the order of its data.",
        "repeat_of": "The SAE of which it is a further seed.",
        "attributes": "What else its source says of it.",
    },
    Neuronpedia: {
        "model": "Neuronpedia's name of the model, e.g. `gemma-2-2b`.",
        "source": "Its name of the SAE, e.g. `3-gemmascope-res-16k`.",
    },
    TableEntry: {
        "rows": "Number of rows, in all files together.",
        "columns": "DuckDB type by column.",
        "checksums": "SHA-256 of each file, by its path in the suite.",
    },
    Provenance: {
        "made_by": "Who computed the results.",
        "date": "When.",
        "source": "The results that the suite was made from.",
        "summary": "What the suite holds, in a sentence or two.",
        "corpus": "Texts that the SAEs and the contexts come from, one record each, with the licence.",
        "checks": "Checks that were made, and their outcome.",
        "limits": "What a reader must not conclude.",
    },
}


def render_schema() -> str:
    """Return the text of ``data/SCHEMA.md``: the hand-written part, then manifest and tables as declared."""
    lines = [files("queries").joinpath("schema_intro.md").read_text("utf-8")]
    lines += ["## The manifest", ""]
    for model, meanings in _FIELDS.items():
        rows = (
            (f"`{name}`{_mark(required=field.is_required())}", _type(field.annotation), meanings[name])
            for name, field in model.model_fields.items()
        )
        lines += [f"### {model.__name__}", "", *_markdown(("field", "type", "meaning"), rows), ""]
    for title, tables in (("The tables", TABLES), ("The tables of the second layout", schema.TABLES)):
        lines += [f"## {title}", ""]
        for table in tables.values():
            lines += [*_section(table), ""]
    return "\n".join(lines)


def _section(table: Table) -> Iterator[str]:
    place = "one file an SAE" if table.partitioned else f"`{table.name}.parquet`"
    needed = "Required" if table.required else "Optional"
    key = ", ".join(f"`{name}`" for name in table.key)
    rows = (
        (
            f"`{column.name}`{_mark(required=column.required)}",
            column.type,
            column.doc,
            column.rule.words if column.rule else "",
        )
        for column in table.columns
    )
    yield f"### {table.name}"
    yield ""
    yield f"One row: {table.grain}. Key: {key}. {needed}, {place}."
    yield ""
    yield from _markdown(("column", "type", "meaning", "values"), rows)


def _mark(*, required: bool) -> str:
    return "" if required else " ?"


def _type(annotation: Any) -> str:
    """Write a field's type without its modules; that it may be null goes with that it may be absent."""
    name = annotation.__name__ if isinstance(annotation, type) else re.sub(r"\b[a-z]+\.", "", str(annotation))
    return name.replace(" | None", "")


def _markdown(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for row in (head, ("---",) * len(head), *rows):
        yield f"| {' | '.join(row)} |"


def main() -> None:
    """Write the file."""
    SCHEMA_DOC.write_text(render_schema(), encoding="utf-8")


if __name__ == "__main__":
    main()
