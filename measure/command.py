"""The command `absorption-explorer measure`."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from measure.config import read_config
from measure.cost import expect
from measure.engine import perform_all
from measure.errors import MeasureError
from measure.models.loading import model_of
from measure.plan import make_plan, without
from measure.preflight import check_all
from measure.suite import write_measured
from measure.tasks import alone, in_order
from queries.opening import store_opening

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from measure.cost import Cost
    from measure.models.base import LanguageModel
    from measure.tasks import Task

__all__ = ["MeasureError", "Outcome", "measure"]


class Outcome(NamedTuple):
    """The result of a run: lines about what was done, and a line per SAE that could not be measured."""

    lines: list[str]
    failed: list[str]


def measure(
    file: Path,
    target: Path,
    *,
    work: Path,
    workers: int = 1,
    address: str | None = None,
    dry_run: bool = False,
    force: bool = False,
    log: Callable[[str], None] = lambda _: None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Outcome:
    """Measure the SAEs of a configuration, and write the suite.

    Parameters
    ----------
    file : Path
        The configuration.
    target : Path
        Folder of the suite.
    work : Path
        Folder for intermediate results. Tasks whose results are there are not repeated.
    workers : int
        Number of processes on this machine.
    address : str, optional
        Scheduler of a Dask cluster to use instead; all its workers must see `work` under the same path.
    dry_run : bool
        Fetch the model if necessary, and only report what there is to do.
    force : bool
        Replace an existing suite at `target`.
    log : callable
        Called with lines of text: the estimated cost before the start, and what the run is waiting for.
    progress : callable
        Called with the name of the current task, the work done, and the total.

    Returns
    -------
    Outcome

    Raises
    ------
    MeasureError, IngestError
        With one line per problem, which also says how to fix it.
    """
    config = read_config(file)
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{work}: cannot be written ({error.strerror}); give another folder with --work"
        raise MeasureError(message) from error
    if target.exists() and not (force or dry_run) and (not target.is_dir() or any(target.iterdir())):
        message = f"{target}: exists already; give another folder, or --force to replace it"
        raise MeasureError(message)
    plan = make_plan(config, file.parent)
    with ExitStack() as held:
        fetched = all(need.is_done(work) for need in plan.shared["vocabulary"].needs.values())
        if not (dry_run and fetched):
            held.enter_context(alone(work))
        model = _open(plan.shared["vocabulary"], work)
        families = check_all(config, file.parent, model)
        tasks = in_order(*plan.tasks)
        pending = [task for task in tasks if not task.is_done(work)]
        cost, weights = expect(plan, pending, model, config, file.parent, workers)
        lines = [*_announce(tasks, pending, cost, work), *families]
        if dry_run:
            each = (f"  {task.label}: about {_duration(weights[task.digest])}" for task in pending)
            return Outcome([*lines, *each], [])
        for line in lines:
            log(line)
        room = shutil.disk_usage(work).free
        if room < cost.disk:
            message = (
                f"{work}: {_size(cost.disk)} are needed and {_size(room)} are free; give another folder with --work"
            )
            raise MeasureError(message)
        done = dict.fromkeys(weights, 0.0)

        def report(task: Task, share: float) -> None:
            done[task.digest] = min(share, 1.0) * weights.get(task.digest, 0)
            progress(task.label, round(1000 * sum(done.values())), round(1000 * sum(weights.values())))

        shared = {task.digest for task in in_order(*plan.common)}
        perform = partial(perform_all, work=work, workers=workers, address=address, log=log, progress=report)
        failed = perform(plan.tasks, may_fail=[task for task in tasks if task.digest not in shared])
        left = without(plan, failed)
        if not left.saes:
            raise MeasureError(*failed.values())
        kin = list(left.kin.values())
        failed |= perform(kin, may_fail=kin)
        left = without(left, failed)
        write_measured(config, left, work, target, base=file.parent, force=force, progress=progress)
        manifest = store_opening(target)
        rows = sum(table.rows for table in manifest.tables.values())
        lines = [
            f"{target}: {len(manifest.saes):,} SAEs, {rows:,} rows",
            f"{work}: contains intermediate results; remove it when you are done",
        ]
        return Outcome(lines, [f"not in the suite: {line}" for line in failed.values()])


def _open(vocabulary: Task, work: Path) -> LanguageModel:
    """Open the model; download it first if necessary."""
    perform_all(list(vocabulary.needs.values()), work)
    return model_of(vocabulary.settings, {name: need.folder(work) for name, need in vocabulary.needs.items()})


def _announce(tasks: list[Task], pending: list[Task], cost: Cost, work: Path) -> list[str]:
    return [
        f"{len(pending):,} of {len(tasks):,} tasks are to be done; the results of the others are in {work}",
        f"about {_duration(cost.seconds)} on this machine, {_size(cost.memory)} of memory, {_size(cost.disk)} of disk",
    ]


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 2:  # noqa: PLR2004 - a matter of taste
        return f"{max(seconds, 1):.0f} seconds"
    return f"{minutes:.0f} minutes" if minutes < 100 else f"{minutes / 60:.1f} hours"  # noqa: PLR2004 - a matter of taste


def _size(number: float) -> str:
    return f"{number / 1e9:.1f} GB"
