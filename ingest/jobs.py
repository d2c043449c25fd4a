"""Run the independent jobs of an import on all cores; an import that was killed does not repeat finished jobs."""

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

#: Folder with records of finished jobs in an unfinished suite; removed when the suite is complete.
DONE = ".done"
#: Total size of sources, in bytes, up to which jobs run in this process, because starting workers takes longer.
SMALL = 16 * limits.MB


@dataclass(frozen=True)
class Outcome:
    """The files that a job wrote, source files that it omitted with the reason, and numbers of remarks by text."""

    written: tuple[Path, ...]
    rejected: tuple[tuple[Path, str], ...] = ()
    remarks: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """A unit of work.

    Attributes
    ----------
    name : str
        A valid file name that identifies the job across runs.
    sources : tuple of Path
        The files that it reads.
    work : callable
        Called with the folder of the unfinished suite; must be picklable.
    """

    name: str
    sources: tuple[Path, ...]
    work: Callable[[Path], Outcome]


def run_jobs(folder: Path, jobs: Sequence[Job]) -> Generator[Outcome]:
    """Run `jobs` on the unfinished suite at `folder`, except those that were finished before an interruption.

    A finished job is not repeated if the size and time of its sources and the checksums of its output are unchanged.

    Yields
    ------
    Outcome
        First those of finished jobs, then the others in the order of completion.
    """
    (folder / DONE).mkdir(exist_ok=True)
    pending = []
    for job in jobs:
        outcome = _previous_outcome(folder, job)
        if outcome is None:
            pending.append(job)
        else:
            yield outcome
    if sum(file.stat().st_size for job in pending for file in job.sources) <= SMALL:
        yield from (_run(folder, job) for job in pending)
    else:
        yield from _run_parallel(folder, pending)


def _run_parallel(folder: Path, jobs: Sequence[Job]) -> Generator[Outcome]:
    """Run `jobs` on all cores."""
    # Not forked, because a fork would copy the locks of this process's threads (DuckDB's, the progress bar's).
    context = multiprocessing.get_context("spawn")
    workers = min(os.cpu_count() or 1, len(jobs))
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(folder,)) as pool:
        try:
            for future in as_completed([pool.submit(_run, folder, job) for job in jobs]):
                yield future.result()
        except BrokenProcessPool as error:
            message = f"{folder}: a worker process was killed, most likely for lack of memory; free some memory"
            raise IngestError(message) from error
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _start(folder: Path) -> None:
    """Initialise a worker, which must not outlive its parent, because it would write into a resumed import."""
    hold(folder)  # first, so that an import that starts after this waits for the end of this process
    parent = multiprocessing.parent_process()
    if parent is None or not parent.is_alive():
        os._exit(1)
    Thread(target=_exit_with, args=[parent], daemon=True).start()


def _exit_with(parent: multiprocessing.process.BaseProcess) -> None:
    """End this process when its parent ends, even if that is killed."""
    parent.join()
    os._exit(1)


def _run(folder: Path, job: Job) -> Outcome:
    """Run one job and record it as done."""
    stamps = [stamp(file) for file in job.sources]
    outcome = job.work(folder)
    record = {
        "sources": [[str(file), *was] for file, was in zip(job.sources, stamps, strict=True)],
        "written": [[file.relative_to(folder).as_posix(), checksum(file)] for file in outcome.written],
        "rejected": [[str(file), reason] for file, reason in outcome.rejected],
        "remarks": dict(outcome.remarks),
    }
    file = folder / DONE / f"{job.name}.json"
    part = file.with_suffix(".part")
    part.write_text(json.dumps(record), encoding="utf-8")
    part.replace(file)
    return outcome


def _previous_outcome(folder: Path, job: Job) -> Outcome | None:
    """Return the recorded outcome of a job, if its sources and output have not changed since."""
    try:
        record = json.loads((folder / DONE / f"{job.name}.json").read_text(encoding="utf-8"))
        written = {folder / name: known for name, known in record["written"]}
        same = record["sources"] == [[str(file), *stamp(file)] for file in job.sources]
        if not same or any(checksum(file) != known for file, known in written.items()):
            return None
        rejected = tuple((Path(file), reason) for file, reason in record["rejected"])
        return Outcome(tuple(written), rejected, record["remarks"])
    except (OSError, ValueError, KeyError):  # no record, or an incomplete one
        return None
