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
from charlm.errors import UserError

def double(number, folder):
    mark = Path(folder) / f"begun-{number}"
    if number == 1 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number

def poison(folder):
    os.kill(os.getpid(), signal.SIGKILL)

def slow(folder):
    (Path(folder) / f"slow-{os.getpid()}").touch()
    time.sleep(1)

def mistaken():
    raise UserError("no such option")

def draw(folder):
    from tqdm import tqdm
    return len(list(tqdm(range(3), file=open(os.devnull, "w"))))

def wait(folder):
    (Path(folder) / f"waits-{os.getpid()}").touch()
    try:
        time.sleep(60)
    finally:
        (Path(folder) / f"stopped-{os.getpid()}").touch()
"""
DRAWN = """
import sys
from charlm.sweep.engine import Engine
import tasks_of_a_test as tasks

if __name__ == "__main__":
    with Engine(2) as engine:
        print(sorted(engine.do(tasks.draw, [(sys.argv[1],)] * 2)))
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
    (tmp_path / "drawn.py").write_text(DRAWN, encoding="utf-8")
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


def test_bars_drawn_by_workers_leave_nothing_behind(tasks: Path) -> None:
    command = [sys.executable, str(tasks / "drawn.py"), str(tasks)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("[(0, 3), (1, 3)]\n", "")


@pytest.mark.parametrize("jobs", [1, 2])
def test_processes_begin_with_a_call_while_this_one_does_something_else(
    tasks: Path, jobs: int
) -> None:
    with Engine(jobs) as engine:
        engine.begin("tasks_of_a_test:slow", (str(tasks),))
        engine.wait()
        assert list(tasks.glob("slow-*"))
        assert len(list(engine.do(os.getpid, [()] * 4))) == 4


def test_what_a_first_call_raised_comes_when_it_is_waited_for(tasks: Path) -> None:
    with pytest.raises(UserError, match="no such option"), Engine(2) as engine:
        engine.begin("tasks_of_a_test:mistaken", ())
        engine.wait()


def test_a_mistake_that_is_found_meanwhile_ends_the_first_call(tasks: Path) -> None:
    with pytest.raises(UserError, match="a mistake"), Engine(2) as engine:
        engine.begin("tasks_of_a_test:slow", (str(tasks),))
        while not list(tasks.glob("slow-*")):  # one has begun, and takes a second
            time.sleep(0.01)
        raise UserError("a mistake")


@pytest.mark.posix
def test_a_first_call_whose_process_was_killed_is_made_anew(tasks: Path) -> None:
    with Engine(2) as engine:
        engine.begin("tasks_of_a_test:double", (1, str(tasks)))
        engine.wait()
    assert (tasks / "begun-1").exists()
    with pytest.raises(WorkerLost), Engine(2) as engine:
        engine.begin("tasks_of_a_test:poison", (str(tasks),))
        engine.wait()


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
