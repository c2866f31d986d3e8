"""A run that was stopped and resumed ends with the same bits as one that wasn't."""

import functools
import itertools
import os
import signal
from pathlib import Path
from typing import Any

import lightning as L
import pytest
from lightning.pytorch.callbacks import Callback
from resuming import Run, assert_same

pytestmark = pytest.mark.usefixtures("novel")

# Seven batches an epoch; limited, five.
TEXT = {"max_chars": 760, "num_lanes": 4, "num_steps": 25, "val_num_steps": 20}
MODEL = {
    "hidden_sizes": [8, 8],
    "optimizer": "torch.optim.Adam",
    "learning_rate": 0.01,
    "dropout": 0.3,
    "lr_scheduler": "torch.optim.lr_scheduler.StepLR",
    "lr_scheduler_options": {"step_size": 1, "gamma": 0.7},
}
VALIDATION: dict[str, dict[str, Any]] = {
    "no validation": {},
    "each epoch": {"data": {"val_size": 60}},
    "every 2 batches": {"data": {"val_size": 60}, "trainer": {"val_check_interval": 2}},
    "every 3, across epochs": {
        "data": {"val_size": 60},
        "trainer": {"val_check_interval": 3, "check_val_every_n_epoch": None},
    },
}
LIMITS: dict[str, dict[str, Any]] = {
    "max_epochs": {"max_epochs": 3},
    "max_steps": {"max_epochs": -1, "max_steps": 13},
    "limited batches": {"max_epochs": 3, "limit_train_batches": 5},
}
# Steps at which the run is stopped, one after another: the first of an epoch, the last one, ...
STOPS = [(1,), (3,), (4, 5), (6,), (7,), (5, 6, 7), (8, 12), (2, 10, 11)]
CASES = list(itertools.product(["sequential", "random"], VALIDATION, LIMITS))


class SignalAt(Callback):
    """Sends itself a signal in the midst of a step."""

    def __init__(self, step: int, number: int = signal.SIGINT) -> None:
        self.step = step
        self.number = number

    def on_before_zero_grad(self, trainer: L.Trainer, *args: Any) -> None:
        if trainer.global_step + 1 == self.step:
            os.kill(os.getpid(), self.number)


def options(sampling: str, validation: str, limits: str) -> dict[str, Any]:
    extra = VALIDATION[validation]
    return {
        "data": TEXT | {"sampling": sampling} | extra.get("data", {}),
        "module": MODEL,
        "trainer": extra.get("trainer", {}) | LIMITS[limits],
    }


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The run of a case that was never stopped."""
    return functools.cache(
        lambda *case: Run(tmp_path_factory.mktemp("alone"), **options(*case)).go()
    )


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_stopped_by_signals_and_resumed(tmp_path: Path, left_alone: Any, case: Any) -> None:
    alone = left_alone(*case)
    for number, steps in enumerate(STOPS):
        run = Run(tmp_path / str(number), **options(*case))
        for i, step in enumerate(steps):
            which = signal.SIGINT if i % 2 == 0 else signal.SIGTERM
            run.stopped(SignalAt(step, which), resume=i > 0)
        run.go(resume=True)
        assert_same(run, alone)
