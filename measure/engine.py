"""Run tasks: one after the other in this process, or on the workers of a Dask cluster."""

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

#: Hooks on the model's layers are not thread-safe, and the threads of a process would share its model.
_THREADS = (
    "--address {0}: a worker has several threads, but does one task at a time; start it by"
    " dask worker {0} --nthreads 1 --memory-limit 0"
)
_GPUS = (
    "--address {0}: workers of {1} see the same {2} GPUs, and would all take the first; start one per GPU, by"
    " CUDA_VISIBLE_DEVICES=0 dask worker {0} --nthreads 1 --memory-limit 0, the next with 1, and so on"
)
#: Dask would kill a worker that exceeds its share of the memory, as loading a large model may.
_NO_LIMIT = 0


def perform_all(
    tasks: Sequence[Task],
    work: Path,
    *,
    workers: int = 1,
    address: str | None = None,
    may_fail: Iterable[Task] = (),
    log: Callable[[str], None] = lambda _: None,
    progress: Callable[[Task, float], None] = lambda *_: None,
) -> dict[str, str]:
    """Run tasks and their dependencies.

    Parameters
    ----------
    tasks : sequence of Task
    work : Path
        Folder of the tasks' outputs; every worker must see it under the same path.
    workers : int
        Number of processes on this machine; 1 means this process.
    address : str, optional
        Scheduler of a Dask cluster to use instead.
    may_fail : iterable of Task
        Tasks whose failure does not end the run; tasks that depend on them are skipped.
    log : callable
        Called with a line of text if the cluster has no worker yet.
    progress : callable
        Called with a task and the share of it that is done.

    Returns
    -------
    dict of str to str
        An error message per failed task, by digest; skipped tasks are not listed.

    Raises
    ------
    MeasureError
        If a task fails that is not in `may_fail`, or there is no usable cluster at `address`.
    """
    # Workers may have been started in another folder.
    work = work.resolve()
    pending = [task for task in in_order(*tasks) if not task.is_done(work)]
    if not pending:
        return {}
    optional = {task.digest for task in may_fail}
    if address is None and workers == 1:
        return _perform_here(pending, work, optional, progress)
    from distributed import Client, LocalCluster

    if address is not None:
        with _join(address) as client:
            _check_versions(client, address)
            _check_workers(client, address)
            if not client.scheduler_info()["workers"]:
                log(f"{address}: no worker has joined this cluster yet; waiting for one")
            return _submit(client, pending, work, 0, optional, progress)
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
        return _submit(client, pending, work, threads, optional, progress)


def _perform_here(
    pending: Sequence[Task], work: Path, optional: Container[str], progress: Callable[[Task, float], None]
) -> dict[str, str]:
    """Run tasks one after the other."""
    failed: dict[str, str] = {}
    skipped: set[str] = set()
    for task in pending:
        if any(need.digest in skipped for need in task.needs.values()):
            skipped.add(task.digest)
            continue
        try:
            perform(task, work, partial(progress, task))
        except Exception as error:
            if task.digest not in optional or isinstance(error, NoRoomError):
                raise
            failed[task.digest] = _error_line(task, error)
            skipped.add(task.digest)
        else:
            progress(task, 1)
    return failed


def _error_line(task: Task, error: Exception) -> str:
    """Describe a task's failure in one line."""
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
    """Reject a cluster whose scheduler or workers have another version of the tasks, or none."""
    call = (pkgutil.resolve_name, "measure.tasks:VERSION")
    try:
        known = {client.run_on_scheduler(*call), *client.run(*call).values()}
    except (ImportError, AttributeError):
        known = set()
    if known != {VERSION}:
        message = (
            f"--address {address}: scheduler or a worker has another version of this project, or none; "
            "install this one on all of them"
        )
        raise MeasureError(message)


def _check_workers(client: Any, address: str) -> None:
    """Reject workers with several threads, and several workers that would all use the same GPU."""
    known = client.scheduler_info()["workers"]
    if any(worker["nthreads"] > 1 for worker in known.values()):
        raise MeasureError(_THREADS.format(address))
    gpus = client.run(num_gpus)
    for host, number in _workers_per_host(client).items():
        seen = max(gpus.get(name, 0) for name, worker in known.items() if worker["host"] == host)
        if number > 1 and seen > 1:
            raise MeasureError(_GPUS.format(address, host, seen))


def _workers_per_host(client: Any) -> Counter[str]:
    """Count the workers of each machine."""
    return Counter(worker["host"] for worker in client.scheduler_info()["workers"].values())


def _submit(
    client: Any,
    pending: Sequence[Task],
    work: Path,
    threads: int,
    optional: Container[str],
    progress: Callable[[Task, float], None],
) -> dict[str, str]:
    """Run tasks on a cluster, each after its dependencies; the tasks of a lost worker are run by another one."""
    from distributed import as_completed

    futures: dict[str, Any] = {}
    tasks = {}
    failed: dict[str, str] = {}
    per_host = _workers_per_host(client)
    for task in pending:
        needed = [futures[need.digest] for need in task.needs.values() if need.digest in futures]
        future = client.submit(
            _perform, task, work, threads, per_host, needed, key=f"{task.stage}-{task.digest}", pure=False
        )
        futures[task.digest] = future
        tasks[future.key] = task
    for future in as_completed(list(futures.values())):
        task = tasks[future.key]
        error = _failure(future, task, work)
        if error is None:
            progress(task, 1)
        elif task.digest in optional and not isinstance(error, NoRoomError):
            failed[task.digest] = _error_line(task, error)
        else:
            raise MeasureError(_error_line(task, error)) if isinstance(error, MeasureError) else error
    # Dask reports the failure of a task for all that depend on it, too.
    dependent = {task.digest for task in pending if any(need.digest in failed for need in task.needs.values())}
    return {digest: line for digest, line in failed.items() if digest not in dependent}


def _failure(future: Any, task: Task, work: Path) -> Exception | None:
    """Return why a task failed, or None if its output is there."""
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
    per_host: Mapping[str, int],
    needed: list[str],  # noqa: ARG001 - Dask runs these first
) -> str:
    from distributed import get_worker

    worker = get_worker()
    if worker.state.nthreads > 1:
        raise MeasureError(_THREADS.format(worker.scheduler.address))
    share_memory(max(per_host.get(worker.ip, 1), 1))
    if threads:
        torch.set_num_threads(threads)
        take_gpu(worker.name)
    return str(perform(task, work))
