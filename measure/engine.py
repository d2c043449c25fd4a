"""Do tasks: one after the other here, or on the workers of a Dask cluster."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from measure.errors import MeasureError
from measure.tasks import in_order, perform

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from measure.tasks import Task


def perform_all(
    tasks: Sequence[Task],
    work: Path,
    *,
    workers: int = 1,
    address: str | None = None,
    say: Callable[[str], None] = lambda _: None,
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
    say : callable
        Told in a line when the cluster has no worker yet.
    progress : callable

    Raises
    ------
    MeasureError
        Where a task cannot be done, or no scheduler answers at `address`.
    """
    ahead = [task for task in in_order(*tasks) if not task.is_done(work)]
    if address is None and workers == 1:
        for task in ahead:
            perform(task, work, partial(progress, task))
            progress(task, 1)
        return
    from distributed import Client, LocalCluster

    if address is not None:
        with _join(address) as client:
            if not client.scheduler_info()["workers"]:
                say(f"{address}: no worker has joined this cluster yet; waiting for one")
            _submit(client, ahead, work, 0, progress)
        return
    threads = max((os.cpu_count() or 1) // workers, 1)
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs="ERROR") as cluster,
        Client(cluster) as client,
    ):
        _submit(client, ahead, work, threads, progress)


def _join(address: str) -> Any:
    from distributed import Client

    try:
        return Client(address)
    except (OSError, ValueError) as error:
        why = str(error).strip().splitlines()[0]
        message = f"--address {address}: no scheduler answers ({why}); give the address that `dask scheduler` names"
        raise MeasureError(message) from error


def _submit(
    client: Any, ahead: Sequence[Task], work: Path, threads: int, progress: Callable[[Task, float], None]
) -> None:
    """Hand tasks to a cluster, each after what it needs; what a lost worker was at is done by another."""
    from distributed import KilledWorker, as_completed

    futures: dict[str, Any] = {}
    tasks = {}
    for task in ahead:
        needed = [futures[need.digest] for need in task.needs.values() if need.digest in futures]
        future = client.submit(_perform, task, work, threads, needed, key=f"{task.stage}-{task.digest}", pure=False)
        futures[task.digest] = future
        tasks[future.key] = task
    for future in as_completed(list(futures.values())):
        try:
            future.result()
        except KilledWorker as error:
            message = f"{tasks[future.key].label}: lost with each worker that took it; their logs say why"
            raise MeasureError(message) from error
        progress(tasks[future.key], 1)


def _perform(task: Task, work: Path, threads: int, needed: list[str]) -> str:  # noqa: ARG001 - they come first
    if threads:
        torch.set_num_threads(threads)
    return str(perform(task, work))
