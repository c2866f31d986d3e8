"""Tasks in worker processes: lost ones are done anew, Ctrl-C stops what is under way."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from charlm.errors import UserError
from charlm.sweep.engine import Engine, WorkerLost

# Worker processes load a task's module by its name: a program of its own, in the test's folder.
TASKS = """
import os, signal, sys, time
from pathlib import Path

def double(number, folder):
    mark = Path(folder) / f"begun-{number}"
    if number == 1 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number

def poison(folder):
    os.kill(os.getpid(), signal.SIGKILL)

def wait(folder):
    (Path(folder) / f"waits-{os.getpid()}").touch()
    try:
        time.sleep(60)
    finally:
        (Path(folder) / f"stopped-{os.getpid()}").touch()
"""
LOADED = """
import os, time
from pathlib import Path

(Path({!r}) / f"loaded-{{os.getpid()}}").touch()
time.sleep(1)
"""
STOPPED = """
import sys
from charlm.sweep.engine import Engine
import tasks_of_a_test as tasks

if __name__ == "__main__":
    try:
        with Engine(2) as engine:
            list(engine.do(tasks.wait, [(sys.argv[1],)] * 3))
    except KeyboardInterrupt:
        print("stopped")
"""


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tasks_of_a_test.py").write_text(TASKS, encoding="utf-8")
    (tmp_path / "stopped.py").write_text(STOPPED, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    return tmp_path


@pytest.mark.posix
def test_a_task_whose_process_was_killed_is_done_anew(tasks: Path) -> None:
    import tasks_of_a_test

    with Engine(2) as engine:
        done = engine.do(tasks_of_a_test.double, [(number, str(tasks)) for number in range(4)])
        assert sorted(done) == [(0, 0), (1, 2), (2, 4), (3, 6)]
        assert (tasks / "begun-1").exists()
        with pytest.raises(WorkerLost, match="out of memory"):
            list(engine.do(tasks_of_a_test.poison, [(str(tasks),)]))


@pytest.mark.posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_parent_stops_its_workers_once(tasks: Path, number: int) -> None:
    command = [sys.executable, str(tasks / "stopped.py"), str(tasks)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        deadline = time.monotonic() + 60
        while len(list(tasks.glob("waits-*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        parent.send_signal(number)
        out, _ = parent.communicate(timeout=60)
    assert (out, parent.returncode) == ("stopped\n", 0)
    # The third is never begun.
    assert len(list(tasks.glob("waits-*"))) == len(list(tasks.glob("stopped-*"))) == 2


def test_processes_load_a_module_while_this_one_does_something_else(tasks: Path) -> None:
    (tasks / "loaded.py").write_text(LOADED.format(str(tasks)), encoding="utf-8")
    with Engine(2) as engine:
        engine.load("loaded")
        assert len(list(engine.do(os.getpid, [()] * 4))) == 4
        assert len(list(tasks.glob("loaded-*"))) in (1, 2)
    # A mistake that is found meanwhile ends it.
    with pytest.raises(UserError, match="a mistake"), Engine(2) as engine:
        earlier = set(tasks.glob("loaded-*"))
        engine.load("loaded")
        while set(tasks.glob("loaded-*")) == earlier:  # one has begun, and takes a second
            time.sleep(0.01)
        raise UserError("a mistake")


def test_a_function_that_is_named_is_loaded_where_it_is_called(tasks: Path) -> None:
    sys.modules.pop("tasks_of_a_test", None)
    with Engine(2) as engine:
        call = "tasks_of_a_test:double"
        assert sorted(engine.do(call, [(2, str(tasks)), (3, str(tasks))])) == [(0, 4), (1, 6)]
    assert "tasks_of_a_test" not in sys.modules


def test_without_workers_tasks_are_done_in_this_process() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Engine() as engine:
        assert list(engine.do(os.getpid, [()])) == [(0, os.getpid())]
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_scheduler_that_is_not_there_is_a_sentence() -> None:
    for address in ("tcp://127.0.0.1:9", "nowhere"):
        with (
            pytest.raises(UserError, match=f"No Dask scheduler answers at {address}"),
            Engine(1, address),
        ):
            pass
