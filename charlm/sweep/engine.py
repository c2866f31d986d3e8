"""Where tasks are done: in processes of this machine, or on a cluster that has a Dask scheduler."""

import contextlib
import os
import pkgutil
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import FrameType
from typing import Any

import joblib
from joblib.externals.loky import get_reusable_executor
from tqdm import tqdm

from charlm.errors import Stopped, UserError

SECONDS_TO_CONNECT = 5
Function = Callable[..., Any] | str
# So often in a row processes may be lost before a single task is done.
MAX_LOST = 3
STOPPED = "stopped"
# Of the processes of a cluster: a training has its process's random numbers and output for itself.
ONE_AT_A_TIME = threading.Lock()


class WorkerLost(Exception):
    """A process ended before its task did, killed or out of memory."""


class Engine:
    """Does tasks, within a ``with`` block; Ctrl-C and SIGTERM stop trainings at a step's end.

    Args:
        jobs: how many at once on this machine, each with one thread; with 1, in this process.
        scheduler: the address of a Dask scheduler, whose workers do them in place of this machine.

    Raises:
        UserError: nothing answers at the scheduler's address.
    """

    def __init__(self, jobs: int = 1, scheduler: str | None = None) -> None:
        self.where: dict[str, Any] = {"backend": "sequential"}
        if scheduler is not None:
            self.where = {"backend": "dask"}
        elif jobs > 1:
            self.where = {"backend": "loky", "inner_max_num_threads": 1, "n_jobs": jobs}
        self.scheduler = scheduler
        self.is_stopping = False
        self._open = contextlib.ExitStack()
        self._beginning: Any = iter(())
        self._first: tuple[Function, list[tuple[Any, ...]]]

    def __enter__(self) -> "Engine":
        with contextlib.ExitStack() as opened:
            if self.scheduler is not None:
                opened.enter_context(connect(self.scheduler))
            if threading.current_thread() is threading.main_thread():
                for number in (signal.SIGINT, signal.SIGTERM):
                    before = signal.signal(number, self._stop)
                    opened.callback(signal.signal, number, before)
            if self.where["backend"] == "loky":
                folder = opened.enter_context(tempfile.TemporaryDirectory())
                self._stop_file = Path(folder) / "stop"
                # Idle processes would else be waited for as this one exits.
                opened.callback(
                    lambda: get_reusable_executor(reuse=True).shutdown(kill_workers=True)
                )
            self._open = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        again, self.is_stopping = self.is_stopping, True
        if self.where["backend"] != "loky" or again:
            raise KeyboardInterrupt
        self._stop_file.touch()

    def begin(self, function: Function, task: tuple[Any, ...]) -> None:
        """Have every process of this machine begin with a call, while this one does something else.

        What the call loads and keeps then serves the process's tasks. A cluster's make one call.

        Args:
            function: as of ``do``.
        """
        self._first = function, [task]
        is_local = self.where["backend"] == "loky"
        call = joblib.delayed(_in_worker)(self._parent(), 0, function, task)
        with joblib.parallel_config(**self.where):
            calls = joblib.Parallel(return_as="generator_unordered")
            self._beginning = calls([call] * (self.where["n_jobs"] if is_local else 1))
        self._open.callback(self._end_beginning)

    def wait(self) -> None:
        """For the first of the calls that ``begin`` made, made anew where its process was lost.

        Raises:
            KeyboardInterrupt, WorkerLost: as of ``do``.
            Exception: what a call raised.
        """
        try:
            next(self._beginning, None)
        except Exception as error:
            if not is_lost(error):
                raise
            for _ in self.do(*self._first):
                pass
        if self.is_stopping:
            raise KeyboardInterrupt

    def _end_beginning(self) -> None:
        """A mistake that was found meanwhile doesn't wait for it."""
        with warnings.catch_warnings(action="ignore"):  # joblib's, that it is too early
            self._beginning.close()

    def do(self, function: Function, tasks: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        """Call a function with each task's arguments.

        Args:
            function: or its name, such as ``package.module:function``, by which only the process
                that calls it loads the module.

        Returns:
            The tasks' places and results, as they come. A task whose process was lost is done anew.

        Raises:
            KeyboardInterrupt: Ctrl-C or SIGTERM; trainings in hand stopped at a step's end.
            WorkerLost: again and again.
        """
        left = dict(enumerate(tasks))
        lost = 0
        while left:
            try:
                for place, result in self._once(function, left):
                    if result == STOPPED:
                        self.is_stopping = True
                        continue
                    del left[place]
                    lost = 0
                    yield place, result
            except Exception as error:
                if not is_lost(error):
                    raise
                lost += 1
                if lost == MAX_LOST and not self.is_stopping:
                    raise WorkerLost(f"Processes were lost {lost} times: out of memory?") from error
            if self.is_stopping:
                break
        if self.is_stopping:
            raise KeyboardInterrupt

    def _parent(self) -> tuple[int, Path] | None:
        """What its workers watch, where they are of this machine."""
        return (os.getpid(), self._stop_file) if self.where["backend"] == "loky" else None

    def _once(
        self, function: Function, tasks: dict[int, tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        calls = (
            joblib.delayed(_in_worker)(self._parent(), place, function, task)
            for place, task in list(tasks.items())
            if not self.is_stopping
        )
        # One task each: a result is told when it is there, and a lost worker loses one.
        options: dict[str, Any] = {"pre_dispatch": "n_jobs", "batch_size": 1}
        with joblib.parallel_config(**self.where):
            yield from joblib.Parallel(return_as="generator_unordered", **options)(calls)


def connect(scheduler: str) -> Any:
    """A Dask client, to be closed."""
    try:
        from distributed import Client
    except ImportError as error:
        raise UserError("--scheduler needs Dask: pip install 'charlm[cluster]'.") from error
    try:
        return Client(scheduler, timeout=SECONDS_TO_CONNECT)
    except (OSError, ValueError) as error:
        raise UserError(
            f"No Dask scheduler answers at {scheduler}: start one with `dask scheduler`, or leave "
            "--scheduler out."
        ) from error


def is_lost(error: Exception) -> bool:
    """Whether it tells of a process that ended before its task."""
    # Dask's own, by name: it needn't be installed.
    return isinstance(error, BrokenProcessPool) or type(error).__name__ == "KilledWorker"


def _in_worker(
    parent: tuple[int, Path] | None,
    place: int,
    function: Function,
    task: tuple[Any, ...],
) -> tuple[int, Any]:
    if parent is not None:
        prepare(*parent)
    call = pkgutil.resolve_name(function) if isinstance(function, str) else function
    with ONE_AT_A_TIME:
        try:
            return place, call(*task)
        except (Stopped, KeyboardInterrupt):
            return place, STOPPED


def prepare(parent: int, stop_file: Path) -> None:
    """No Ctrl-C in a worker but the parent's, and no worker that outlives it.

    Args:
        stop_file: which the parent makes when it is to stop.
    """
    # Not the options of the parent.
    sys.argv = ["charlm"]
    # For one process alone: tqdm's own lock, killed with its process, is told to a user as a leak.
    tqdm.set_lock(threading.RLock())
    if any(thread.name == "parent" for thread in threading.enumerate()):
        return
    if hasattr(os, "setpgrp"):
        os.setpgrp()

    def watch() -> None:
        asked = False
        while os.getppid() == parent:
            if not asked and stop_file.exists():
                asked = True
                if os.name == "nt":
                    signal.raise_signal(signal.SIGINT)  # where os.kill would end the process
                else:
                    os.kill(os.getpid(), signal.SIGINT)  # to the main thread, which may sleep
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
