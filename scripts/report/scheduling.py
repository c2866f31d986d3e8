"""Do what is left to be done of the tasks, by the same engine as ``charlm sweep``."""

import sys
from collections.abc import Iterable, Sequence

from tqdm import tqdm

from charlm.errors import UserError
from charlm.sweep.engine import Engine, WorkerLost
from scripts.report import running
from scripts.report.tasks import ROOT, Measure, Run, Task


def left(tasks: Iterable[Task], keep: bool) -> list[Task]:
    """The tasks without a result, each once."""
    by_path = {task.path: task for task in tasks}
    return [task for task in by_path.values() if task.result(keep) is None]


def do(
    tasks: Sequence[Task], jobs: int = 2, scheduler: str | None = None, keep: bool = False
) -> None:
    """Do the tasks that have no result yet; each result is kept as soon as it is there.

    First the training runs, then the measurements on them, at last those of time, one by one in
    this process, with nothing else running.

    Args:
        jobs, scheduler: see ``Engine``.
        keep: let results count that other code has computed.

    Raises:
        UserError: a task that can't be done; results so far are kept.
        KeyboardInterrupt: likewise, at Ctrl-C or SIGTERM.
    """
    todo = left(tasks, keep)
    if not todo:
        return
    # The longest first, so that no process waits long for the others at the end.
    runs = sorted((task for task in todo if isinstance(task, Run)), key=units, reverse=True)
    measures = [task for task in todo if isinstance(task, Measure)]
    with tqdm(total=len(todo), unit="task", file=sys.stderr, smoothing=0.05) as bar:
        try:
            with Engine(jobs, scheduler) as engine:
                stage(engine, runs, keep, bar)
                stage(engine, [task for task in measures if not task.alone], keep, bar)
            with Engine() as engine:
                stage(engine, [task for task in measures if task.alone], keep, bar)
        except WorkerLost as error:
            raise UserError(str(error)) from error


def units(run: Run) -> int:
    """Of all layers and epochs, by which a run is about as long as others."""
    return run.epochs * sum(run.variant.options.get("model.hidden_sizes", [128]))


def stage(engine: Engine, tasks: Sequence[Task], keep: bool, bar: "tqdm[None]") -> None:
    calls = [(str(ROOT), *task.call(keep)) for task in tasks]
    for place, result in engine.do(running.perform, calls):
        tasks[place].save(result)
        bar.set_postfix_str(tasks[place].name)
        bar.update()
