"""Import the HTML dashboards of one SAE: the evidence in each page's data, and the page itself."""

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

#: Maximum number and total size of the pages of one job, whose contexts are in memory at once.
PAGES = 250
_PIECE = 64 * limits.MB
#: Maximum size of a page in a suite, in bytes.
_LONGEST = TABLES["dashboards"].max_text
#: Folder in an unfinished suite with the tables from pages, one folder per job; removed when the suite is complete.
EVIDENCE = ".evidence"
#: The tables with data from pages.
PAGE_TABLES = ("latents", "contexts", "logits", "histograms", "dashboards")


def pieces(files: Mapping[int, Path]) -> list[dict[int, Path]]:
    """Divide the pages of one SAE, in the order of latents, into jobs."""
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
    """Convert some pages of one SAE to parquet files, which are later merged into tables.

    Parameters
    ----------
    folder : Path
        The unfinished suite.
    sae : str
    piece : int
        Index of this job among those of the SAE.
    root : Path
        Folder of the source; pages must not be links to outside of it.
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
            data, good, messages = keep_rules(conform(pa.Table.from_pylist(some), TABLES[name]), TABLES[name])
            remarks.update(f"parts of dashboards, table {name}: {message}" for message in messages)
            kept = data.filter(good)
            written.append(write_file(evidence_file(folder, sae, piece, name), TABLES[name], [kept]))
    return Outcome(tuple(written), tuple(rejected), remarks)


def evidence_file(folder: Path, sae: str, piece: int, table: str) -> Path:
    """Return the path of a job's rows of `table`."""
    return folder / EVIDENCE / f"{sae}-{piece}" / f"{table}.parquet"
