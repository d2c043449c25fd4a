"""Import results as a suite: detect the format, read small files, convert large ones on all cores, write the suite."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
from pydantic import ValidationError

from ingest import absorption_atlas, limits, published, sae_spelling, saebench, tables
from ingest.archive import unpacked
from ingest.cosine_arrays import write_arrays
from ingest.files import reason
from ingest.jobs import DONE, Job, run_jobs
from ingest.pages import EVIDENCE, PAGE_TABLES, evidence_file, pieces, write_pages
from ingest.rules import keep_rules
from ingest.source import Source
from queries.conform import IngestError
from queries.manifest import SuiteError, first_problem
from queries.schema import TABLES
from queries.staging import staged
from queries.suite import read_suite
from queries.writer import clear, with_metric, write_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pyarrow as pa

    from ingest.findings import Findings
    from ingest.report import Report
    from queries.manifest import Manifest

READERS = {reader.NAME: reader for reader in (published, sae_spelling, saebench, absorption_atlas, tables)}


def import_results(
    path: Path,
    target: Path,
    *,
    format: str = "auto",  # noqa: A002 - the word of the command line
    only: str | None = None,
    force: bool = False,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> tuple[Manifest, Report]:
    """Import results into a suite.

    Parameters
    ----------
    path : Path
        Folder of the results, one file of it, or an archive (zip, tar) of it.
    target : Path
        Folder of the suite; its last component is the suite's name. Results for several language models become one
        suite each, in folders of `target` named after the models.
    format : str
        Name of a reader, or "auto" to detect it.
    only : str, optional
        Import only the SAEs whose names match this glob (SAEBench).
    force : bool
        Replace an existing suite at `target`.
    progress : callable
        Called with the name of the current step, the work done, and the total.

    Returns
    -------
    tuple of Manifest and Report
        The suite's manifest as written (for several suites, one with all their SAEs and numbers of rows); and what was
        read, skipped and rejected.

    Raises
    ------
    IngestError
        If nothing can be imported; the message is one line that names the file and the fix. Nothing is left behind.
    """
    try:
        return _import(path, target, format, only, force=force, progress=progress)
    except IngestError:
        raise
    except Exception as error:
        # Errors in files are handled where they are read. Users should not see a traceback for any other error, either.
        message = f"{path}: cannot be imported ({type(error).__name__}: {reason(error)}); nothing was written"
        raise IngestError(message) from error


def _import(
    path: Path, target: Path, name: str, only: str | None, *, force: bool, progress: Callable[[str, int, int], None]
) -> tuple[Manifest, Report]:
    with ExitStack() as stack:
        source = Source(stack.enter_context(unpacked(path, target)))
        reader = READERS[detect(source) if name == "auto" else name]
        folder = stack.enter_context(staged(target, force=force))
        progress("Reading tables", 0, 1)
        try:
            found = reader.read(source, only=only)
        except ValidationError as error:
            message = f"{path}: a suite cannot store this ({first_problem(error)}); fix the source"
            raise IngestError(message) from error
        if len(found) == 1:
            manifests = [_suite(source, found[0], folder, suite_name(target.name), progress)]
        else:
            clear(folder)
            manifests = []
            for findings in found:
                model = findings.manifest.model.name
                own = suite_name(model)
                while (folder / own).exists():
                    own += "-2"
                (folder / own).mkdir()
                manifests.append(_suite(source, findings, folder / own, own, progress))
                source.report.note(f"{target / own}: the SAEs of {model}, {len(findings.manifest.saes):,} in number")
        changed = source.changed()
        if changed:
            message = f"{changed[0]}: changed while it was read; import again when nothing writes there"
            raise IngestError(message)
        progress("Done", 1, 1)
    return _merged(manifests, suite_name(target.name)), source.report


def _merged(manifests: list[Manifest], name: str) -> Manifest:
    """Return the manifest of one suite, or for several suites one with all their SAEs and numbers of rows."""
    first, *others = manifests
    if not others:
        return first
    tables = dict(first.tables)
    for table, entry in (pair for other in others for pair in other.tables.items()):
        rows = entry.rows + (tables[table].rows if table in tables else 0)
        tables[table] = entry.model_copy(update={"rows": rows})
    saes = [sae for manifest in manifests for sae in manifest.saes]
    return first.model_copy(update={"name": name, "saes": saes, "tables": tables})


def _suite(
    source: Source, findings: Findings, folder: Path, name: str, progress: Callable[[str, int, int], None]
) -> Manifest:
    """Write one suite to `folder`."""
    findings = _keep_rules(source, findings)
    jobs = _jobs(source, findings)
    remarks = Counter[str]()
    # Closed in any case, so that no worker process writes to the folder afterwards.
    with closing(run_jobs(folder, jobs)) as outcomes:
        for done, outcome in enumerate(outcomes, 1):
            for file, reason in outcome.rejected:
                source.reject(file, reason)
            remarks += Counter(outcome.remarks)
            progress("Converting cosines and dashboards", done, len(jobs))
    for remark, count in sorted(remarks.items()):
        source.report.note(f"{count:,} {remark}")
    progress("Writing tables", 0, 1)
    manifest = _write(folder, findings, name)
    shutil.rmtree(folder / DONE)
    shutil.rmtree(folder / EVIDENCE, ignore_errors=True)
    try:
        read_suite(folder)
    except SuiteError as error:
        raise IngestError(str(error)) from error
    return manifest


def detect(source: Source) -> str:
    """Return the name of the format of `source`; IngestError if there is none, or several."""
    found = [name for name, reader in READERS.items() if reader.detects(source)]
    if len(found) == 1:
        return found[0]
    if found:
        message = f"{source.root}: holds results in the formats {' and '.join(found)}; choose one with --format"
        raise IngestError(message)
    rejected = [f"{file}: {reason}" for file, reason in source.report.rejected[:1]]
    because = "".join(f" ({reason})" for reason in rejected or saebench.other_evaluations(source)[:1])
    message = (
        f"{source.root}: contains no results in a known format{because}; give the folder with sae_split_feats.parquet"
        " (published), feature_absorption/ (sae-spelling), *_eval_results.json (saebench), summary_l0*.json"
        " (absorption-atlas) or tested_tokens.csv (tables)"
    )
    raise IngestError(message)


def suite_name(text: str) -> str:
    """Turn `text` into a valid name of a suite."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._") or "suite"


def _keep_rules(source: Source, findings: Findings) -> Findings:
    """Omit rows that contradict the suite as a whole, such as latents that an SAE does not have."""
    tables = {}
    for name, rows in findings.tables.items():
        kept = keep_rules(with_metric(rows, TABLES[name], findings.manifest), TABLES[name], findings.manifest.saes)
        for message in kept.messages:
            source.report.rejected.append((f"table {name}", message))
        tables[name] = kept.rows.filter(kept.good)
    return replace(findings, tables=tables)


def _jobs(source: Source, findings: Findings) -> list[Job]:
    """List the jobs for large files: one for the cosines of each SAE, and several for its pages."""
    n_latents = {sae.id: sae.n_latents for sae in findings.manifest.saes}
    jobs = []
    for sae, arrays in findings.arrays.items():
        if number := n_latents.get(sae):
            files = source.readable(arrays, "npz file", limits.FILE)
            write = partial(write_arrays, sae=sae, n_latents=number, root=source.root, files=files)
            jobs.append(Job(f"cosines-{sae}", tuple(files.values()), write))
    for sae, pages in findings.pages.items():
        for nth, piece in enumerate(pieces(pages)):
            of_piece = source.readable(piece, "page", limits.PAGE)
            work = partial(write_pages, sae=sae, piece=nth, root=source.root, files=of_piece)
            jobs.append(Job(f"pages-{sae}-{nth}", tuple(of_piece.values()), work))
    return jobs


def _write(folder: Path, findings: Findings, name: str) -> Manifest:
    """Write the tables that the jobs did not write, and the manifest."""
    tables: dict[str, pa.Table | Iterator[pa.Table]] = dict(findings.tables)
    for table in PAGE_TABLES:
        files = [
            file
            for sae, pages in sorted(findings.pages.items())
            for number in range(len(pieces(pages)))
            if (file := evidence_file(folder, sae, number, table)).exists()
        ]
        if files and table not in tables:
            tables[table] = (pq.read_table(file, partitioning=None) for file in files)
    for path, content in findings.files.items():
        (folder / path).write_bytes(content)
    return write_tables(folder, findings.manifest.model_copy(update={"name": name}), tables)
