"""Where tasks are done: in processes of this machine, or on a cluster that has a Dask scheduler."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import joblib

from charlm.errors import UserError

SECONDS_TO_CONNECT = 10


class WorkerLost(Exception):
    """A process ended before its task did, killed or out of memory."""


def do(
    function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], jobs: int, scheduler: str | None
) -> Iterator[Any]:
    """Call a function with each task's arguments; give results as they come.

    Args:
        jobs: how many at once on this machine; with 1, in this process.
        scheduler: the address of a Dask scheduler, whose workers take as many as they have threads.

    Raises:
        UserError: nothing answers at the scheduler's address.
        WorkerLost: the tasks that were not yet done are to be given again.
    """
    with connected(scheduler):
        if scheduler is not None:
            where: dict[str, Any] = {"backend": "dask"}
        elif jobs > 1:
            where = {"backend": "loky", "inner_max_num_threads": 1, "n_jobs": jobs}
        else:
            where = {"backend": "sequential"}
        parent = os.getpid() if where["backend"] == "loky" else None
        calls = (joblib.delayed(_in_worker)(parent, function, task) for task in tasks)
        # One task each: a result is told when it is there, and a lost worker loses one.
        options = {"pre_dispatch": "n_jobs", "batch_size": 1}
        with joblib.parallel_config(**where):
            try:
                yield from joblib.Parallel(return_as="generator_unordered", **options)(calls)
            except BrokenProcessPool as error:
                raise WorkerLost(str(error)) from error


@contextlib.contextmanager
def connected(scheduler: str | None) -> Iterator[None]:
    """With a Dask client where there is a scheduler."""
    if scheduler is None:
        yield
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise UserError(
            "--scheduler needs Dask: pip install 'charlm[sweep]' distributed."
        ) from error
    try:
        client = Client(scheduler, timeout=SECONDS_TO_CONNECT)
    except (OSError, ValueError) as error:
        raise UserError(
            f"No Dask scheduler answers at {scheduler}: start one with `dask scheduler`, or leave "
            "--scheduler out."
        ) from error
    with client:
        yield


def _in_worker(parent: int | None, function: Callable[..., Any], task: tuple[Any, ...]) -> Any:
    if parent is not None:
        prepare(parent)
    return function(*task)


def prepare(parent: int) -> None:
    """One thread a process, and no process that outlives the one that started it."""
    import torch

    torch.set_num_threads(1)
    # Not the options of the sweep.
    sys.argv = ["charlm"]
    if any(thread.name == "parent" for thread in threading.enumerate()):
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
