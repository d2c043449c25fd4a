"""The bulk of an import: independent pieces of work, on all cores, that a killed import need not do again."""

from __future__ import annotations

import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from ingest import limits
from ingest.source import stamp
from queries.conform import IngestError
from queries.staging import hold
from queries.suite import checksum

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

#: Where a growing suite keeps what is known of finished jobs; gone when it is whole.
DONE = ".done"
#: Bytes of sources up to which the work is done here: workers take longer to start.
SMALL = 16 * limits.MB


@dataclass(frozen=True)
class Outcome:
    """What a job wrote, the files of the source that it omitted with the reason, and remarks with a count each."""

    written: tuple[Path, ...]
    rejected: tuple[tuple[Path, str], ...] = ()
    remarks: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One piece of work.

    Attributes
    ----------
    name : str
        A valid file name, the same whenever the same is to be done.
    sources : tuple of Path
        The files that it reads.
    work : callable
        Takes the folder of the growing suite; may be sent to another process.
    """

    name: str
    sources: tuple[Path, ...]
    work: Callable[[Path], Outcome]


def run_jobs(folder: Path, jobs: Sequence[Job]) -> Generator[Outcome]:
    """Do `jobs` in the growing suite at `folder`, those first that were finished before an interruption.

    A finished job is kept if its sources are the same, by size and time, and what it wrote has the same checksum.

    Yields
    ------
    Outcome
        In the order in which jobs end.
    """
    (folder / DONE).mkdir(exist_ok=True)
    ahead = []
    for job in jobs:
        kept = _kept(folder, job)
        if kept is None:
            ahead.append(job)
        else:
            yield kept
    if sum(file.stat().st_size for job in ahead for file in job.sources) <= SMALL:
        yield from (_do(folder, job) for job in ahead)
    else:
        yield from _by_workers(folder, ahead)


def _by_workers(folder: Path, jobs: Sequence[Job]) -> Generator[Outcome]:
    """Do `jobs` on all cores."""
    # Not forked: this process has threads (DuckDB's, the progress bar's), whose locks a fork would copy.
    context = multiprocessing.get_context("spawn")
    workers = min(os.cpu_count() or 1, len(jobs))
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(folder,)) as pool:
        try:
            for future in as_completed([pool.submit(_do, folder, job) for job in jobs]):
                yield future.result()
        except BrokenProcessPool as error:
            message = f"{folder}: a process that writes there was ended, most likely for want of memory; make more free"
            raise IngestError(message) from error
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _start(folder: Path) -> None:
    """Begin a worker, which must not outlive the process that started it: it would write into a resumed import."""
    hold(folder)  # first: an import that begins after this waits for the end of this process
    parent = multiprocessing.parent_process()
    if parent is None or not parent.is_alive():
        os._exit(1)
    Thread(target=_follow, args=[parent], daemon=True).start()


def _follow(parent: multiprocessing.process.BaseProcess) -> None:
    """End this process with the one that started it, be that killed."""
    parent.join()
    os._exit(1)


def _do(folder: Path, job: Job) -> Outcome:
    """Do one job and note it as done."""
    stamps = [stamp(file) for file in job.sources]
    outcome = job.work(folder)
    record = {
        "sources": [[str(file), *was] for file, was in zip(job.sources, stamps, strict=True)],
        "written": [[file.relative_to(folder).as_posix(), checksum(file)] for file in outcome.written],
        "rejected": [[str(file), reason] for file, reason in outcome.rejected],
        "remarks": dict(outcome.remarks),
    }
    note = folder / DONE / f"{job.name}.json"
    growing = note.with_suffix(".part")
    growing.write_text(json.dumps(record), encoding="utf-8")
    growing.replace(note)
    return outcome


def _kept(folder: Path, job: Job) -> Outcome | None:
    """Return what a job did before, if all of it is still true."""
    try:
        record = json.loads((folder / DONE / f"{job.name}.json").read_text(encoding="utf-8"))
        written = {folder / name: known for name, known in record["written"]}
        same = record["sources"] == [[str(file), *stamp(file)] for file in job.sources]
        if not same or any(checksum(file) != known for file, known in written.items()):
            return None
        rejected = tuple((Path(file), reason) for file, reason in record["rejected"])
        return Outcome(tuple(written), rejected, record["remarks"])
    except (OSError, ValueError, KeyError):  # no note, or one that was cut off
        return None
