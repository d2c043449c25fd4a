"""Do tasks: one after the other here, or on the workers of a Dask cluster."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch

from measure.tasks import Task, in_order, perform

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

#: Told of a task, and what share of it is done.
Progress = "Callable[[Task, float], None]"


def perform_all(
    tasks: Sequence[Task],
    work: Path,
    *,
    workers: int = 1,
    address: str | None = None,
    progress: Callable[[Task, float], None] = lambda *_: None,
) -> None:
    """Do tasks and all that they need.

    Parameters
    ----------
    tasks : sequence of Task
    work : Path
        Where their folders lie; every worker must see it under the same path.
    workers : int
        Processes on this machine; a single one is this process itself.
    address : str, optional
        Scheduler of a Dask cluster to join instead.
    progress : callable

    Raises
    ------
    MeasureError
        Where a task cannot be done.
    """
    ahead = [task for task in in_order(*tasks) if not task.is_done(work)]
    if address is None and workers == 1:
        for task in ahead:
            perform(task, work, lambda share, task=task: progress(task, share))
            progress(task, 1)
        return
    from distributed import Client, LocalCluster, as_completed

    if address is None:
        threads = max((os.cpu_count() or 1) // workers, 1)
        cluster = LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs="ERROR"
        )
        with cluster, Client(cluster) as client:
            _submit(client, as_completed, ahead, work, threads, progress)
    else:
        with Client(address) as client:
            _submit(client, as_completed, ahead, work, 0, progress)


def _submit(client, as_completed, ahead, work, threads, progress) -> None:  # type: ignore[no-untyped-def]
    """Hand tasks to a cluster, each after what it needs; what a lost worker was at is done by another."""
    futures: dict[str, object] = {}
    by_key = {}
    for task in ahead:
        needed = [futures[need.digest] for need in task.needs.values() if need.digest in futures]
        future = client.submit(_perform, task, work, threads, needed, key=f"{task.stage}-{task.digest}", pure=False)
        futures[task.digest] = future
        by_key[future.key] = task
    for future in as_completed(list(futures.values())):
        future.result()
        progress(by_key[future.key], 1)


def _perform(task: Task, work: Path, threads: int, needed: list[str]) -> str:  # noqa: ARG001 - they come first
    if threads:
        torch.set_num_threads(threads)
    return str(perform(task, work))
