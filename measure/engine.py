"""Do tasks: one after the other here, or on the workers of a Dask cluster."""

from __future__ import annotations

import os
import pkgutil
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from measure.device import num_gpus, share_memory, take_gpu
from measure.errors import MeasureError, NoRoomError
from measure.tasks import VERSION, in_order, perform

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence
    from pathlib import Path

    from measure.tasks import Task

#: The model's layers are watched by hooks, and a process has one model.
_THREADS = (
    "--address {0}: a worker has several threads, but does one task at a time; start it by"
    " dask worker {0} --nthreads 1 --memory-limit 0"
)
_GPUS = (
    "--address {0}: workers of {1} see the same {2} GPUs, and would all take the first; start one per GPU, by"
    " CUDA_VISIBLE_DEVICES=0 dask worker {0} --nthreads 1 --memory-limit 0, the next with 1, and so on"
)
#: Dask would end a worker that takes more than its part of the memory, as one that reads a large model may.
_NO_LIMIT = 0


def perform_all(
    tasks: Sequence[Task],
    work: Path,
    *,
    workers: int = 1,
    address: str | None = None,
    may_fail: Iterable[Task] = (),
    say: Callable[[str], None] = lambda _: None,
    progress: Callable[[Task, float], None] = lambda *_: None,
) -> dict[str, str]:
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
    may_fail : iterable of Task
        Those that end neither the others nor the whole if they cannot be done; what needs them is omitted.
    say : callable
        Told in a line when the cluster has no worker yet.
    progress : callable

    Returns
    -------
    dict of str to str
        Why a task could not be done, by its digest; those that needed it are not listed.

    Raises
    ------
    MeasureError
        Where a task cannot be done that may not fail, or no cluster that can do it answers at `address`.
    """
    # Workers may have been started in another folder.
    work = work.resolve()
    ahead = [task for task in in_order(*tasks) if not task.is_done(work)]
    if not ahead:
        return {}
    optional = {task.digest for task in may_fail}
    if address is None and workers == 1:
        return _perform_here(ahead, work, optional, progress)
    from distributed import Client, LocalCluster

    if address is not None:
        with _join(address) as client:
            _check_versions(client, address)
            _check_workers(client, address)
            if not client.scheduler_info()["workers"]:
                say(f"{address}: no worker has joined this cluster yet; waiting for one")
            return _submit(client, ahead, work, 0, optional, progress)
    threads = max((os.cpu_count() or 1) // workers, 1)
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=_NO_LIMIT,
            dashboard_address=":0",
            silence_logs="ERROR",
        ) as cluster,
        Client(cluster) as client,
    ):
        return _submit(client, ahead, work, threads, optional, progress)


def _perform_here(
    ahead: Sequence[Task], work: Path, optional: Container[str], progress: Callable[[Task, float], None]
) -> dict[str, str]:
    """Do tasks one after the other."""
    failed: dict[str, str] = {}
    left_out: set[str] = set()
    for task in ahead:
        if any(need.digest in left_out for need in task.needs.values()):
            left_out.add(task.digest)
            continue
        try:
            perform(task, work, partial(progress, task))
        except Exception as error:
            if task.digest not in optional or isinstance(error, NoRoomError):
                raise
            failed[task.digest] = _told(task, error)
            left_out.add(task.digest)
        else:
            progress(task, 1)
    return failed


def _told(task: Task, error: Exception) -> str:
    """Say in a line what a task failed at."""
    why = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"{task.label}: {why if isinstance(error, MeasureError) else f'{type(error).__name__}: {why}'}"


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


def _check_workers(client: Any, address: str) -> None:
    """Refuse workers that would be in each other's way, and say how to start them."""
    known = client.scheduler_info()["workers"]
    if any(worker["nthreads"] > 1 for worker in known.values()):
        raise MeasureError(_THREADS.format(address))
    gpus = client.run(num_gpus)
    for host, number in _by_host(client).items():
        seen = max(gpus.get(name, 0) for name, worker in known.items() if worker["host"] == host)
        if number > 1 and seen > 1:
            raise MeasureError(_GPUS.format(address, host, seen))


def _by_host(client: Any) -> Counter[str]:
    """Count the workers of each machine."""
    return Counter(worker["host"] for worker in client.scheduler_info()["workers"].values())


def _submit(
    client: Any,
    ahead: Sequence[Task],
    work: Path,
    threads: int,
    optional: Container[str],
    progress: Callable[[Task, float], None],
) -> dict[str, str]:
    """Hand tasks to a cluster, each after what it needs; what a lost worker was at is done by another."""
    from distributed import as_completed

    futures: dict[str, Any] = {}
    tasks = {}
    failed: dict[str, str] = {}
    beside = _by_host(client)
    for task in ahead:
        needed = [futures[need.digest] for need in task.needs.values() if need.digest in futures]
        future = client.submit(
            _perform, task, work, threads, beside, needed, key=f"{task.stage}-{task.digest}", pure=False
        )
        futures[task.digest] = future
        tasks[future.key] = task
    for future in as_completed(list(futures.values())):
        task = tasks[future.key]
        error = _failure(future, task, work)
        if error is None:
            progress(task, 1)
        elif task.digest in optional and not isinstance(error, NoRoomError):
            failed[task.digest] = _told(task, error)
        else:
            raise MeasureError(_told(task, error)) if isinstance(error, MeasureError) else error
    # What needed a task that failed has its failure told by Dask, too.
    needing = {task.digest for task in ahead if any(need.digest in failed for need in task.needs.values())}
    return {digest: line for digest, line in failed.items() if digest not in needing}


def _failure(future: Any, task: Task, work: Path) -> Exception | None:
    """Return what ended a task, if it did not do what it should."""
    from distributed import KilledWorker

    try:
        future.result()
    except KilledWorker:
        return MeasureError(
            "lost with each worker that took it; their logs say why (a limit of memory is lifted by --memory-limit 0)"
        )
    except Exception as error:  # noqa: BLE001 - whatever a stage raises
        return error
    if task.is_done(work):
        return None
    return MeasureError(f"done, but not in {work}; all workers must see this folder, give one that they see")


def _perform(
    task: Task,
    work: Path,
    threads: int,
    beside: Mapping[str, int],
    needed: list[str],  # noqa: ARG001 - they come first
) -> str:
    from distributed import get_worker

    worker = get_worker()
    if worker.state.nthreads > 1:
        raise MeasureError(_THREADS.format(worker.scheduler.address))
    share_memory(max(beside.get(worker.ip, 1), 1))
    if threads:
        torch.set_num_threads(threads)
        take_gpu(worker.name)
    return str(perform(task, work))
