"""A sweep on a Dask cluster of this machine, one of whose two workers is killed in mid-run."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.running import charlm
from helpers.sweeping import results

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("novel")]

OPTIONS = [
    *("--config", "debug", "--data.max_chars", "1500", "--data.num_lanes", "4"),
    *("--model.hidden_sizes", "[8]", "--trainer.max_epochs", "3", "--fresh_seeds", "0"),
    *("--model.learning_rate", "log(0.01, 1)", "--sampler", "random", "--trials", "3"),
]
# Loaded by the workers: the first run that comes to its second epoch has its process killed.
KILLING = """
import os, signal
from pathlib import Path
from lightning.pytorch.callbacks import Callback

class KillOnce(Callback):
    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            try:
                Path("killed").touch(exist_ok=False)
            except FileExistsError:
                return
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "killing.py").write_text(KILLING, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
    return tmp_path


@pytest.fixture
def cluster(folder: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """The address of a scheduler, and its two workers, each a process of one thread."""
    found = folder / "scheduler.json"
    known = ("--scheduler-file", found, "--no-dashboard")
    one = ("distributed.cli.dask_worker", *known, "--nthreads", 1, "--no-nanny")
    scheduler = ("distributed.cli.dask_scheduler", *known, "--port", 0, "--host", "127.0.0.1")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = [
        subprocess.Popen([sys.executable, "-m", *map(str, arguments)], **quiet)
        for arguments in (scheduler, one, one)
    ]
    try:
        yield address_in(found), processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def address_in(found: Path) -> str:
    """What the scheduler has written there; the file is there, and empty, a moment earlier."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            address: str = json.loads(found.read_text(encoding="utf-8"))["address"]
            return address
        time.sleep(0.05)
    raise TimeoutError(f"no scheduler has written {found}")


@pytest.mark.posix
def test_a_worker_killed_in_mid_run_changes_no_result(
    cluster: tuple[str, list[subprocess.Popen[bytes]]],
) -> None:
    address, workers = cluster
    options = [*OPTIONS, "--folder", "disturbed", "--scheduler", address]
    options += ["--trainer.callbacks", '[{"class_path": "killing.KillOnce"}]']
    command = [sys.executable, "-m", "charlm", "sweep", *options]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert outcome.returncode == 0, outcome.stderr
    assert sorted([worker.poll() for worker in workers], key=str) == [-signal.SIGKILL, None]
    whole = charlm("sweep", *OPTIONS, "--folder", "whole")
    assert whole.code == 0, whole.err
    assert len(results("whole")) == 3
    assert results("disturbed") == results("whole")
