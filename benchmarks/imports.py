"""Time an import relative to a plain read of the same bytes: ``python -m benchmarks.imports SOURCE [--pages N]``."""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

from ingest import import_results
from tests.dashboard_page import dashboard_page

_PLACE = (0, 16_000, 184)
_KIB = 1024


def main() -> None:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, nargs="?", help="folder of results, e.g. written by make_full_scale.py")
    parser.add_argument("--pages", type=int, default=0, help="also import this many made-up HTML dashboards")
    parser.add_argument("--keep", type=Path, help="leave the suite of SOURCE there")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {}
    if arguments.source:
        figures["results"] = _measure(arguments.source, arguments.keep)
    if arguments.pages:
        with tempfile.TemporaryDirectory() as folder:
            source = _pages(Path(folder) / "source", arguments.pages)
            figures["dashboards"] = _measure(source)
            figures["dashboards"]["pages_per_second"] = arguments.pages / figures["dashboards"]["import_seconds"]
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")


def _measure(source: Path, keep: Path | None = None) -> dict[str, Any]:
    """Read and discard all bytes of `source`, import it, and read them again."""
    files = [file for file in source.rglob("*") if file.is_file()]
    reads = [_read(files)]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "suite"
        start = time.perf_counter()
        manifest, report = import_results(source, target)
        seconds = time.perf_counter() - start
        reads.append(_read(files))
        before, after = (
            sum(file.stat().st_size for file in root.rglob("*") if file.is_file()) for root in (source, target)
        )
        sizes = {file.stem: file.stat().st_size for file in target.glob("*.parquet")}
        if keep:
            shutil.move(target, keep)
    return {
        "files": len(files),
        "saes": len(manifest.saes),
        "bytes_before": before,
        "bytes_after": after,
        "bytes_by_table": sizes,
        "plain_read_seconds": reads,
        "import_seconds": seconds,
        "ratio_to_plain_read": seconds / reads[1],
        "megabytes_per_second": before / 1e6 / seconds,
        "peak_megabytes": {
            "this process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB,
            "largest worker": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / _KIB,
        },
        "report": report.as_dict() | {"rejected": len(report.rejected)},
    }


def _read(files: list[Path]) -> float:
    """Read `files` completely, one after the other; return the seconds."""
    start = time.perf_counter()
    for file in files:
        with file.open("rb") as stream:
            while stream.read(2**20):
                pass
    return time.perf_counter() - start


def _pages(source: Path, number: int) -> Path:
    """Write a source of one letter of one SAE, and `number` dashboards."""
    layer, width, l0 = _PLACE
    folder = source / "non_canonical_dashboards" / f"layer_{layer}" / f"width_{width // 1000}k"
    folder.mkdir(parents=True)
    for latent in range(number):
        page = dashboard_page(latent % 16_384, seed=latent)
        # If there are more pages than latents, the others are for SAEs with other L0s.
        (folder / f"average_l0_{l0 + latent // 16_384}_feature_{latent % 16_384}.html").write_text(
            page, encoding="utf-8"
        )
    rows = [
        {
            "layer": layer,
            "sae_width": width,
            "sae_l0": l0 + more,
            "letter": "a",
            "split_feats": [0],
            "num_true_positives": 1,
        }
        for more in range(1 + number // 16_384)
    ]
    pd.DataFrame(rows).to_parquet(source / "sae_split_feats.parquet")
    return source


if __name__ == "__main__":
    main()
