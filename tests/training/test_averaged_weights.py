"""The weights' moving average: what is validated, saved, generated from, and resumed."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.resuming import Run, assert_same, differences
from helpers.running import small_data, small_module, trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from training.test_resume import SignalAt, SignalInValidation

from charlm.checkpoint import load, read
from charlm.errors import UserError

pytestmark = pytest.mark.usefixtures("novel")

TEXT = {"max_chars": 760, "num_lanes": 4, "num_steps": 25, "val_size": 60, "val_num_steps": 20}
MODULE = {"hidden_sizes": [8], "optimizer": "adamw", "learning_rate": 0.02, "ema_decay": 0.8}
CASE: dict[str, Any] = {"data": TEXT, "module": MODULE, "trainer": {"max_epochs": 3}}


class Weights(Callback):
    """The module's weights after every step, and at each validation."""

    def __init__(self) -> None:
        self.after_step: list[list[Tensor]] = []
        self.validated: list[list[Tensor]] = []

    def on_train_batch_end(self, trainer: Any, module: Any, *args: Any) -> None:
        self.after_step.append([p.detach().clone() for p in module.parameters()])

    def on_validation_batch_start(self, trainer: Any, module: Any, *args: Any) -> None:
        if not trainer.sanity_checking:
            self.validated.append([p.detach().clone() for p in module.parameters()])


def averages(first: list[Tensor], steps: list[list[Tensor]]) -> list[list[Tensor]]:
    """The average after each step, by its definition."""
    found, average = [], first
    for n, weights in enumerate(steps, start=1):
        decay = min(0.8, (1 + n) / (10 + n))
        average = [decay * a + (1 - decay) * w for a, w in zip(average, weights, strict=True)]
        found.append(average)
    return found


def test_the_average_is_validated_and_is_what_the_module_ends_with(tmp_path: Path) -> None:
    data = small_data(**TEXT)
    module = small_module(data, **MODULE)
    first = [p.detach().clone() for p in module.parameters()]
    seen = Weights()
    trainer(tmp_path, callbacks=[seen], val_check_interval=3).fit(module, datamodule=data)
    expected = averages(first, seen.after_step)
    per_validation = len(data.val_dataloader())
    for number, weights in enumerate(seen.validated):
        step = 3 * (number // per_validation + 1)
        for ours, theirs in zip(weights, expected[step - 1], strict=True):
            torch.testing.assert_close(ours, theirs)
    assert seen.validated
    for ours, theirs in zip(module.parameters(), expected[-1], strict=True):
        torch.testing.assert_close(ours.detach(), theirs)


def test_without_validation_training_goes_as_if_there_were_no_average(tmp_path: Path) -> None:
    raw = []
    for decay in (0.0, 0.8):
        data = small_data(**TEXT)
        module = small_module(data, **MODULE | {"ema_decay": decay})
        seen = Weights()
        trainer(tmp_path, callbacks=[seen]).fit(module, datamodule=data)
        raw.append(seen.after_step)
    assert not differences(*raw)


def test_both_checkpoints_hold_the_average_and_the_raw_weights(tmp_path: Path) -> None:
    seen = Weights()
    data = small_data(**TEXT)
    first = [p.detach().clone() for p in small_module(data, **MODULE).parameters()]
    run = Run(tmp_path, **CASE).go(seen)
    expected = averages(first, seen.after_step)
    for name in ("last", "best"):
        path = run.last.with_name(f"{name}.ckpt")
        content = read(path)
        step = content["global_step"]
        assert step in (6, 12, 18)
        for ours, theirs in zip(content["state_dict"].values(), expected[step - 1], strict=True):
            torch.testing.assert_close(ours, theirs)
        raw = list(content["raw_weights"].values())
        assert not differences(raw, seen.after_step[step - 1])
        # What generate and score load.
        model, _ = load(path)
        for ours, theirs in zip(model.parameters(), expected[step - 1], strict=True):
            torch.testing.assert_close(ours.detach(), theirs)


@pytest.mark.parametrize("where", ["in a step", "in validation"])
def test_a_run_is_resumed_exactly(tmp_path: Path, where: str) -> None:
    alone = Run(tmp_path / "alone", **CASE).go()
    run = Run(tmp_path / "run", **CASE)
    stop = SignalAt if where == "in a step" else SignalInValidation
    for i, step in enumerate((6, 12) if where == "in validation" else (2, 9)):
        run.stopped(stop(step), resume=i > 0)
    assert_same(run.go(resume=True), alone)


def test_a_finished_run_and_the_best_are_gone_on_from_exactly(tmp_path: Path) -> None:
    alone = Run(tmp_path / "alone", **CASE).go()
    for name in ("last", "best"):
        run = Run(tmp_path / name, **CASE).go(max_epochs=1)
        if name == "best":
            shutil.copy(run.last.with_name("best.ckpt"), run.last)
        run.go(resume=True)
        run.epoch_starts = sorted(set(run.epoch_starts))
        assert_same(run, alone)


def test_a_second_fit_trains_the_raw_weights_on(tmp_path: Path) -> None:
    data = small_data(**TEXT)
    module = small_module(data, **MODULE)
    seen = Weights()
    run = trainer(tmp_path, callbacks=[seen], max_epochs=1)
    run.fit(module, datamodule=data)
    ended_with = seen.after_step[-1]
    (averaged,) = [each for each in run.callbacks if type(each).__name__ == "AveragedWeights"]  # type: ignore[attr-defined]
    averaged.on_train_start(run, module)  # as a second fit of this Trainer begins
    assert not differences([p.detach() for p in module.parameters()], ended_with)


def test_a_decay_of_one_is_refused() -> None:
    with pytest.raises(UserError, match=r"ema_decay is 1.0"):
        small_module(small_data(**TEXT), ema_decay=1.0)
