"""Do what is left to be done of the tasks: two processes at a time, each for many of them."""

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import Any

from tqdm import tqdm

from scripts.report import running
from scripts.report.tasks import Measure, Result, Run, Task


def left(tasks: Iterable[Task], keep: bool) -> list[Task]:
    """The tasks without a result, each once."""
    by_path = {task.path: task for task in tasks}
    return [task for task in by_path.values() if task.result(keep) is None]


def do(tasks: Sequence[Task], processes: int = 2, keep: bool = False) -> None:
    """Do the tasks that have no result yet; each result is kept as soon as it is there.

    First the training runs, then the measurements on them, at last, one by one, those of time.

    Args:
        processes: at a time.
        keep: let results count that other code has computed.

    Raises:
        UserError: a task that can't be done; results so far are kept.
        KeyboardInterrupt: likewise, at Ctrl-C or SIGTERM.
    """
    todo = left(tasks, keep)
    runs = [task for task in todo if isinstance(task, Run)]
    measures = [task for task in todo if isinstance(task, Measure)]
    # The longest first, so that no process waits long for the other at the end.
    runs.sort(key=cost, reverse=True)
    if not todo:
        return
    # Before the processes start: OpenMP reads it when torch is loaded.
    os.environ["OMP_NUM_THREADS"] = "1"
    pool = ProcessPoolExecutor(
        processes,
        multiprocessing.get_context("spawn"),
        running.prepare_worker,
        (sys.path, os.getpid()),
    )
    bar = tqdm(total=len(todo), unit="task", file=sys.stderr, smoothing=0.05)
    try:
        with bar, terminated_as_interrupted():
            _stage(pool, runs, processes, keep, bar)
            _stage(pool, [task for task in measures if not task.alone], processes, keep, bar)
            _stage(pool, [task for task in measures if task.alone], 1, keep, bar)
    except BaseException:
        # What is under way is lost; a run in training stops at its step's end.
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def cost(run: Run) -> float:
    """About how long it takes, in units of its own."""
    options = run.variant.options
    sizes: list[int] = options.get("model.hidden_sizes", [128])
    cells: Any = options.get("model.cell", "rnn")
    names = [cells] * len(sizes) if isinstance(cells, str) else cells
    gates = {"rnn": 1, "gru": 3, "lstm": 4}
    back = options.get("model.backprop_steps", 35) / options.get("data.num_steps", 35)
    work = sum(
        (100 + size + size**2 / 100) * gates[c] for size, c in zip(sizes, names, strict=True)
    )
    return float(run.epochs * max(1.0, back) * work)


def _stage(
    pool: ProcessPoolExecutor, tasks: Sequence[Task], at_a_time: int, keep: bool, bar: Any
) -> None:
    waiting = list(reversed(tasks))
    under_way: dict[Future[Result], Task] = {}
    while waiting or under_way:
        while waiting and len(under_way) < at_a_time:
            task = waiting.pop()
            under_way[submit(pool, task, keep)] = task
        bar.set_postfix_str(", ".join(task.name for task in under_way.values()))
        for future in wait(under_way, return_when=FIRST_COMPLETED).done:
            under_way.pop(future).save(future.result())
            bar.update()


def submit(pool: ProcessPoolExecutor, task: Task, keep: bool) -> Future[Result]:
    if isinstance(task, Run):
        return pool.submit(running.train, task.arguments, str(task.folder))
    assert isinstance(task, Measure)
    results = [run.result(keep) or {} for run in task.runs]
    return pool.submit(running.measure, task.settings["function"], results, task.arguments)


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
