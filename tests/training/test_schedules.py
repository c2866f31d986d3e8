"""The learning rate over a run: the curves, their length, torch's schedulers, exact resume."""

import itertools
import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.resuming import Run, assert_same
from helpers.running import small_data, small_module, trainer
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch.callbacks import Callback
from training.test_resume import SignalAt

from charlm.errors import UserError
from charlm.training.schedules import SCHEDULES, Curve

pytestmark = pytest.mark.usefixtures("novel")

# Seven batches an epoch, six with validation text.
TEXT = {"max_chars": 760, "num_lanes": 4, "num_steps": 25}
ADAM = {"hidden_sizes": [8], "optimizer": "adamw", "learning_rate": 0.01}
shares = st.floats(0, 1)


class Rates(Callback):
    """The rate with which each step was done."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
        self.rates.append(optimizer.param_groups[0]["lr"])


def rates_of(folder: Path, limits: dict[str, Any], **options: Any) -> list[float]:
    """The rate of every step of a run."""
    seen = Rates()
    val = {"val_size": 60} if "check_val_every_n_epoch" in limits else {}
    data = small_data(**TEXT | val)
    module = small_module(data, **ADAM | options)
    trainer(folder, callbacks=[seen], **limits).fit(module, datamodule=data)
    return seen.rates


@given(st.sampled_from(SCHEDULES), shares, shares, shares, shares, shares)
def test_a_curve_rises_then_never_rises_again(
    schedule: str, warmup: float, cooldown: float, final: float, first: float, second: float
) -> None:
    curve = Curve(schedule, warmup, cooldown * (1 - warmup), final).check()
    first, second = sorted((first, second))
    assert 0 <= curve(first) <= 1
    if second < warmup:
        assert curve(first) <= curve(second)
    elif first >= warmup:
        assert curve(first) >= curve(second)
        assert curve(first) >= final - 1e-12
    if schedule != "constant" and warmup < 0.99 and cooldown > 0.01:
        assert curve(1.0) == pytest.approx(final)


def test_the_curves_at_points_worked_out_by_hand() -> None:
    for curve, expected in (
        (Curve("linear", final=0.2), [1.0, 0.8, 0.6, 0.4, 0.2]),
        (Curve("cosine"), [1.0, (2 + math.sqrt(2)) / 4, 0.5, (2 - math.sqrt(2)) / 4, 0.0]),
        (Curve("wsd", warmup=0.5, cooldown=0.5), [0.0, 0.5, 1.0, 0.5, 0.0]),
        (Curve("constant", warmup=0.5), [0.0, 0.5, 1.0, 1.0, 1.0]),
    ):
        assert [curve(i / 4) for i in range(5)] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("limits", "num_steps"),
    [
        ({"max_epochs": 2}, 14),
        ({"max_steps": 9, "max_epochs": -1}, 9),
        ({"max_epochs": 2, "limit_train_batches": 3}, 6),
        ({"max_epochs": 1, "accumulate_grad_batches": 2}, 4),
    ],
)
def test_a_schedule_runs_over_the_run_s_own_steps(
    tmp_path: Path, limits: dict[str, Any], num_steps: int
) -> None:
    rates = rates_of(tmp_path, limits, schedule="linear", schedule_warmup=0.5)
    middle = [(step + 0.5) / num_steps for step in range(num_steps)]
    expected = [0.01 * (2 * share if share < 0.5 else 2 - 2 * share) for share in middle]
    assert rates == pytest.approx(expected)


def test_under_max_time_the_rate_follows_the_clock_and_the_run_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = {"max_epochs": -1, "max_time": timedelta(seconds=0.6)}
    rates = rates_of(tmp_path, limits, schedule="linear")
    assert all(later < earlier for earlier, later in itertools.pairwise(rates))
    assert rates[0] > 0.005
    assert rates[-1] < 0.003
    assert "can't be repeated to the bit" in capsys.readouterr().err


def test_a_schedule_of_a_run_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no limit"):
        rates_of(tmp_path, {"max_epochs": -1}, schedule="cosine")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"schedule": "square"}, "Unknown schedule 'square'"),
        ({"schedule_warmup": 2.0}, "schedule_warmup is 2.0"),
        ({"schedule": "wsd", "schedule_warmup": 0.9, "schedule_cooldown": 0.2}, "longer"),
        ({"schedule": "linear", "lr_scheduler": "torch.optim.lr_scheduler.StepLR"}, "both set"),
    ],
)
def test_options_that_make_no_curve_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        small_module(small_data(**TEXT), **options)


# Exact resume

RESUMED: dict[str, dict[str, Any]] = {
    "cosine": {"schedule": "cosine", "schedule_warmup": 0.1},
    "wsd": {"schedule": "wsd", "schedule_final": 0.1},
    "one cycle": {
        "lr_scheduler": "torch.optim.lr_scheduler.OneCycleLR",
        "lr_scheduler_options": {"max_lr": 0.02},
        "lr_scheduler_interval": "step",
    },
    "plateau": {
        "lr_scheduler": "torch.optim.lr_scheduler.ReduceLROnPlateau",
        "lr_scheduler_options": {"patience": 0, "threshold": 0.5, "factor": 0.5},
    },
}


@pytest.mark.parametrize(
    ("name", "val_size"),
    [("cosine", 0), ("wsd", 60), ("one cycle", 0), ("plateau", 0), ("plateau", 60)],
)
def test_a_resumed_run_continues_its_curve(tmp_path: Path, name: str, val_size: int) -> None:
    case = {"data": TEXT | {"val_size": val_size}, "module": ADAM | RESUMED[name]}
    alone = Run(tmp_path / "alone", **case, trainer={"max_epochs": 3}).go()
    run = Run(tmp_path / "run", **case, trainer={"max_epochs": 3})
    for i, step in enumerate((3, 6, 14)):
        run.stopped(SignalAt(step), resume=i > 0)
    assert_same(run.go(resume=True), alone)
    rates = {value for (tag, _), value in alone.metrics.items() if tag == "train/lr"}
    assert len(rates) > 1


def test_a_run_that_is_made_longer_takes_the_longer_run_s_curve(tmp_path: Path) -> None:
    module = ADAM | {"schedule": "linear"}
    whole = Run(tmp_path / "whole", TEXT, module).go(max_epochs=3)
    run = Run(tmp_path / "run", TEXT, module).go(max_epochs=1)
    short = dict(run.metrics)
    run.go(resume=True, max_epochs=3)
    for step in range(21):
        of = short if step < 7 else whole.metrics
        assert run.metrics["train/lr", step] == of["train/lr", step]
    assert short["train/lr", 6] < run.metrics["train/lr", 7]


def test_another_learning_rate_moves_the_whole_curve(tmp_path: Path) -> None:
    module = ADAM | {"schedule": "linear"}
    run = Run(tmp_path, TEXT, module, {"max_epochs": 2}).stopped(SignalAt(5))
    run.module = module | {"learning_rate": 0.002}
    run.go(resume=True)
    for step in range(14):
        rate = 0.01 if step < 5 else 0.002
        expected = rate * (1 - (step + 0.5) / 14)
        assert run.metrics["train/lr", step] == pytest.approx(expected)


# Schedulers by class path


def test_one_cycle_is_as_long_as_the_run(tmp_path: Path) -> None:
    rates = rates_of(tmp_path, {"max_epochs": 2}, **RESUMED["one cycle"])
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.01)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=14)
    expected = []
    for _ in range(14):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        cycle.step()
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (RESUMED["one cycle"] | {"lr_scheduler_interval": None}, "say model.lr_scheduler_interval"),
        (RESUMED["one cycle"] | {"lr_scheduler_interval": "batch"}, "choose step or epoch"),
        (RESUMED["one cycle"] | {"lr_scheduler_monitor": "val/loss"}, "looks at no metric"),
        (RESUMED["plateau"] | {"lr_scheduler_interval": "step"}, "once an epoch"),
        ({"lr_scheduler": "torch.optim.lr_scheduler.Cosine"}, "can't be found"),
        (RESUMED["plateau"] | {"lr_scheduler_options": {"wait": 1}}, "can't be made"),
    ],
)
def test_a_scheduler_that_would_go_wrong_is_refused(
    tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        rates_of(tmp_path, {"max_epochs": 1}, **options)


@pytest.mark.parametrize("every", [1, 2])
def test_a_plateau_is_looked_for_where_there_was_a_validation(tmp_path: Path, every: int) -> None:
    # Nothing is ever halved at once, so that each look after the first lowers the rate.
    limits = {"max_epochs": 5, "check_val_every_n_epoch": every}
    rates = rates_of(tmp_path, limits, **RESUMED["plateau"])
    by_epoch = rates[::6]
    looks = [(epoch // every) - 1 for epoch in range(5)]
    assert by_epoch == pytest.approx([0.01 * 0.5 ** max(0, number) for number in looks])
