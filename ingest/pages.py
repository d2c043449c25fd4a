"""The HTML dashboards of one SAE: each page's data becomes latent evidence, the page itself is kept beside it."""

from __future__ import annotations

from collections import Counter
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ingest import limits
from ingest.files import UnreadableError, reading
from ingest.jobs import Outcome
from ingest.rules import keep_rules
from ingest.sae_dashboard import DashboardError, evidence
from queries.conform import conform
from queries.file_layout import write_file
from queries.schema import TABLES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Pages of one piece of work, and bytes of them all: a worker holds their contexts at once.
PAGES = 250
_PIECE = 64 * limits.MB
#: Bytes of a page that a suite keeps.
_LONGEST = TABLES["dashboards"].max_text
#: Where a growing suite keeps what was read of pages, a folder a piece of work; gone when it is whole.
EVIDENCE = ".evidence"
#: The tables that pages fill.
PAGE_TABLES = ("latents", "contexts", "logits", "histograms", "dashboards")


def pieces(files: Mapping[int, Path]) -> list[dict[int, Path]]:
    """Cut the pages of one SAE, in the order of their latents, into pieces of work."""
    cut: list[dict[int, Path]] = []
    size = _PIECE + 1
    for latent in sorted(files):
        size += files[latent].lstat().st_size
        if size > _PIECE or len(cut[-1]) == PAGES:
            cut.append({})
            size = files[latent].lstat().st_size
        cut[-1][latent] = files[latent]
    return cut


def write_pages(folder: Path, sae: str, piece: int, root: Path, files: Mapping[int, Path]) -> Outcome:
    """Read some pages of one SAE into parquet files that the tables are put together from.

    Parameters
    ----------
    folder : Path
        The growing suite.
    sae : str
    piece : int
        Number of this piece of the SAE's pages.
    root : Path
        The source; pages are links to nowhere else.
    files : mapping of int to Path
        The page of each latent.
    """
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in PAGE_TABLES}
    rejected: list[tuple[Path, str]] = []
    remarks = Counter[str]()
    for latent, file in sorted(files.items()):
        try:
            with (
                reading(root, file, "page", limits.PAGE) as stream,
                TextIOWrapper(stream, encoding="utf-8", errors="replace") as text,
            ):
                html = text.read()
        except UnreadableError as error:
            rejected.append((file, str(error)))
            continue
        if len(html.encode("utf-8", "replace")) > _LONGEST:
            rejected.append((file, f"has more than {_LONGEST:,} bytes; the page is omitted, its evidence is imported"))
        else:
            rows["dashboards"].append({"sae": sae, "latent": latent, "html": html})
        try:
            found = evidence(html, latent)
        except DashboardError as error:
            remarks[f"dashboards are kept as pages only, without evidence: {error}"] += 1
            continue
        for name, some in found.items():
            rows[name] += [{"sae": sae, **row} for row in some]
    written = []
    for name, some in rows.items():
        if some:
            data, good, refused = keep_rules(conform(pa.Table.from_pylist(some), TABLES[name]), TABLES[name])
            remarks.update(f"parts of dashboards, table {name}: {reason}" for reason in refused)
            kept = data.filter(good)
            written.append(write_file(evidence_file(folder, sae, piece, name), TABLES[name], [kept]))
    return Outcome(tuple(written), tuple(rejected), remarks)


def evidence_file(folder: Path, sae: str, piece: int, table: str) -> Path:
    """Return where the rows of `table` that a piece of the pages of one SAE gave are kept."""
    return folder / EVIDENCE / f"{sae}-{piece}" / f"{table}.parquet"
