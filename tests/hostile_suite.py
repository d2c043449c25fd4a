"""A suite in which every text tries to break out of the surrounding markup, and a parser that finds those that do."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Each would be detected in the page if it were not escaped: as a tag, or as an attribute.
HOSTILE = {
    's"quoted"': 's" ax-evil="1" x="',
    " s'apostrophe": "s' ax-evil='1' x='",
    "s,comma": "s<ax-evil x=1></button></textarea></title><ax-evil>",
    " <b>strong</b>": " s ax-evil=1 ",
    "s%;--$": "s--><ax-evil>{{ 7 * 191 }}",
}
EVIL = "\"'><ax-evil></iframe></script><script>alert(1)</script>"
SAES = ((0, 1000, 10), (3, 1000, 10), (3, 1000, 40))


def _replace_texts(values: pa.ChunkedArray, texts: Mapping[str, str]) -> pa.ChunkedArray:
    def replace(value: Any) -> Any:
        return [replace(part) for part in value] if isinstance(value, list) else texts.get(value, value)

    return pa.chunked_array([pa.array([replace(value) for value in values.to_pylist()], values.type)])


def write_hostile_suite(folder: Path, texts: Mapping[str, str] = HOSTILE, evil: str = EVIL) -> Path:
    """Replace every text of a tiny suite that is not an id by hostile ones: tokens by `texts`, others by `evil`."""
    write_tiny_suite(folder, saes=SAES, neuronpedia=True, dashboards=True)
    for name in ("tokens", "tested_tokens", "contexts", "logits", "dashboards"):
        data = pq.read_table(folder / f"{name}.parquet")
        for place, field in enumerate(data.schema):
            if "string" in str(field.type):
                data = data.set_column(place, field, _replace_texts(data.column(place), texts))
            if field.name in ("source", "html"):
                data = data.set_column(place, field, pa.array([evil] * len(data)))
        pq.write_table(data, folder / f"{name}.parquet")
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest["title"] = manifest["model"]["name"] = manifest["model"]["licence"] = manifest["method"]["metric"] = evil
    manifest["method"]["notes"] = [evil]
    manifest["provenance"] = {
        **dict.fromkeys(("made_by", "date", "source", "summary"), evil),
        "limits": [evil],
        "checks": {evil: evil},
        "corpus": [{evil: evil}],
    }
    saes = pq.read_table(folder / "saes.parquet").to_pylist()
    for sae in saes:
        sae |= {"hook": evil, "architecture": evil, "title": evil, "recipe": evil}
        if sae["neuronpedia_model"]:
            sae |= {"neuronpedia_model": evil, "neuronpedia_source": evil}
    pq.write_table(pa.Table.from_pylist(saes, pq.read_schema(folder / "saes.parquet")), folder / "saes.parquet")
    concepts = pq.read_table(folder / "concepts.parquet").to_pylist()
    for concept in concepts:
        concept["phrase"] = f"{concept['phrase']} {evil}"
    pq.write_table(
        pa.Table.from_pylist(concepts, pq.read_schema(folder / "concepts.parquet")), folder / "concepts.parquet"
    )
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return folder


class Reader(HTMLParser):
    """Parses markup like a browser, and collects what must not occur."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.texts: list[str] = []
        self.frames: list[dict[str, str | None]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "ax-evil"):
            self.found.append(f"<{tag}>")
        for name, value in attrs:
            self.texts.append(value or "")
            if name.startswith(("on", "ax-evil")) or (name in ("href", "src") and not _is_address(value or "")):
                self.found.append(f"{tag} {name}={value!r}")
        if tag == "iframe":
            self.frames.append(dict(attrs))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.found.append(f"<!--{data}-->")


def _is_address(value: str) -> bool:
    return value.startswith(("https://neuronpedia.org/", "https://arxiv.org/", "?page="))
