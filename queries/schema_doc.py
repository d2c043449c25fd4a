"""Render ``data/SCHEMA.md`` from the contracts: ``python -m queries.schema_doc`` writes it."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from queries.manifest import Family, Manifest, Method, Model, Opening, Provenance, TableEntry
from queries.schema import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic import BaseModel

    from queries.schema import Table

SCHEMA_DOC = Path(__file__).parents[1] / "data" / "SCHEMA.md"

#: Meaning of the manifest's fields, by model. A field without one stops the rendering.
_FIELDS: dict[type[BaseModel], dict[str, str]] = {
    Manifest: {
        "format_version": "Version of the layout: 2.",
        "name": "Short name, valid in a folder name and a URL; the value of the column `suite` in queries.",
        "title": "Displayed name.",
        "model": "The language model.",
        "method": "How absorption was measured.",
        "families": "The families that concepts belong to.",
        "opening": "The initial view of a page whose address names no SAE, concept or latent.",
        "tables": "The tables beside the manifest, by name; a table not listed here is not read.",
        "provenance": "Origin of the results.",
    },
    Model: {
        "name": "Name of the model.",
        "licence": "Its licence.",
        "weights": "The weights, and their precision.",
        "d_model": "Width of the residual stream.",
        "num_layers": "Number of blocks.",
    },
    Method: {
        "metric": "`ig_ablation`, or SAEBench's `full`, `fraction`, `fraction-0.3`: different quantities, never mixed.",
        "metric_version": "Version of the program that measured it, if its definition changed.",
        "tau": "Minimum F1 gain per split latent.",
        "cosine_threshold": "Minimum cosine of an absorbing latent with the probe.",
        "effect_margin": "Minimum lead of the top latent's effect over the runner-up's, in logits.",
        "notes": "Notes on how it was measured.",
    },
    Family: {
        "family": "Its id, the part of a concept's id before the dot.",
        "title": "Displayed name.",
        "noun": "Noun for one of its concepts.",
        "exclusive": "Whether a token has at most one of its concepts.",
        "prompt": "The prompt with which it was measured.",
        "answers": "The possible answers to the prompt.",
    },
    Opening: {
        "sae": "Id of an SAE.",
        "concept": "Id of a concept.",
        "latent": "A latent that absorbs it.",
    },
    TableEntry: {
        "rows": "Number of rows, in all files together.",
        "columns": "DuckDB type by column.",
        "checksums": "SHA-256 of each file, by its path in the suite.",
    },
    Provenance: {
        "made_by": "Who computed the results.",
        "date": "When.",
        "source": "The results from which the suite was made.",
        "summary": "Contents of the suite, in one or two sentences.",
        "corpus": "Texts used for the SAEs and the contexts, one record each, with the licence.",
        "checks": "Checks that were made, and their results.",
        "limits": "Conclusions that the suite does not support.",
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
            if name != "saes"  # which are a table
        )
        lines += [f"### {model.__name__}", "", *_markdown(("field", "type", "meaning"), rows), ""]
    lines += ["## The tables", ""]
    for table in TABLES.values():
        lines += [*_section(table), ""]
    return "\n".join(lines)


def _section(table: Table) -> Iterator[str]:
    place = "one file per SAE" if table.partitioned else f"`{table.name}.parquet`"
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
    """Return a field's type without modules and without None, which is implied by the mark of optional fields."""
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
