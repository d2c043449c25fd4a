"""Do tasks: one after the other here, or on the workers of a Dask cluster."""

from __future__ import annotations

import os
import pkgutil
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from measure.errors import MeasureError
from measure.tasks import VERSION, in_order, perform

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
        Where a task cannot be done, or no cluster that can do it answers at `address`.
    """
    # Workers may have been started in another folder.
    work = work.resolve()
    ahead = [task for task in in_order(*tasks) if not task.is_done(work)]
    if address is None and workers == 1:
        for task in ahead:
            perform(task, work, partial(progress, task))
            progress(task, 1)
        return
    from distributed import Client, LocalCluster

    if address is not None:
        with _join(address) as client:
            _check_versions(client, address)
            if not client.scheduler_info()["workers"]:
                say(f"{address}: no worker has joined this cluster yet; waiting for one")
            _submit(client, ahead, work, 0, progress)
        return
    threads = max((os.cpu_count() or 1) // workers, 1)
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0", silence_logs="ERROR") as cluster,
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


def _check_versions(client: Any, address: str) -> None:
    """Refuse a cluster that could not read the tasks, or would do them otherwise."""
    asked = (pkgutil.resolve_name, "measure.tasks:VERSION")
    try:
        known = {client.run_on_scheduler(*asked), *client.run(*asked).values()}
    except (ImportError, AttributeError):
        known = set()
    if known != {VERSION}:
        message = (
            f"--address {address}: scheduler or a worker has another version of this project, or none; "
            "install this one on all of them"
        )
        raise MeasureError(message)


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
        task = tasks[future.key]
        try:
            future.result()
        except KilledWorker as error:
            message = f"{task.label}: lost with each worker that took it; their logs say why"
            raise MeasureError(message) from error
        if not task.is_done(work):
            message = f"{task.label}: done, but not in {work}; all workers must see this folder, give one that they see"
            raise MeasureError(message)
        progress(task, 1)


def _perform(task: Task, work: Path, threads: int, needed: list[str]) -> str:  # noqa: ARG001 - they come first
    if threads:
        torch.set_num_threads(threads)
    return str(perform(task, work))
