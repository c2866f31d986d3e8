"""A run killed with SIGKILL at random moments, and resumed each time, ends with the same bits."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from helpers.resuming import Run, differences, in_a_process

from charlm.checkpoint import read

pytestmark = pytest.mark.usefixtures("novel")

NUM_KILLS = 20
OPTIONS = {
    "data": {"max_chars": 760, "val_size": 60},
    "module": {
        "hidden_sizes": [8, 8],
        "dropout": 0.3,
        "optimizer": "torch.optim.Adam",
        "learning_rate": 0.01,
    },
    "trainer": {"max_epochs": 40, "val_check_interval": 3},
    # A checkpoint is being written most of the time.
    "every_n_train_steps": 1,
}


def train(run: Run) -> None:
    """Train from wherever the run stands to its end, and keep the result."""
    run.go(resume=run.last.is_file())
    torch.save(run.result, run.folder / "result")


def modified(path: Path) -> int:
    return path.stat().st_mtime_ns if path.is_file() else 0


def half_written(run: Run) -> list[Path]:
    return list(run.last.parent.glob(".*.part"))


# The child runs Python alone: of threads of the parent it needs none.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_killed_twenty_times(tmp_path: Path) -> None:
    alone, killed = (Run(tmp_path / name, **OPTIONS) for name in ("alone", "killed"))
    began = time.monotonic()
    assert os.waitpid(in_a_process(lambda: train(alone)), 0)[1] == 0
    seconds = time.monotonic() - began

    moments = random.Random(0)
    steps = [0]
    in_a_write = 0
    for number in range(NUM_KILLS):
        before = modified(killed.last)
        child = in_a_process(lambda: train(killed))
        if number % 4:  # else wherever, from its beginning on
            while modified(killed.last) == before and os.waitpid(child, os.WNOHANG) == (0, 0):
                time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.5 * seconds / NUM_KILLS))
        if number % 4 == 2:  # as it writes
            while not half_written(killed) and os.waitpid(child, os.WNOHANG) == (0, 0):
                pass
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        in_a_write += len(half_written(killed)) > 0
        if killed.last.is_file():
            steps.append(read(killed.last)["global_step"])
    assert steps == sorted(steps)
    assert len(set(steps)) > 3  # it came further between the kills
    assert in_a_write > 0

    assert os.waitpid(in_a_process(lambda: train(killed)), 0)[1] == 0
    assert {path.name for path in killed.last.parent.glob("*.ckpt*")} == {"best.ckpt", "last.ckpt"}
    results = [torch.load(run.folder / "result", weights_only=True) for run in (killed, alone)]
    found = differences(*results)
    assert not found, "\n".join(found)
