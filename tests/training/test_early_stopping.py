"""Early stopping by the held-out loss, and samples by steps."""

from pathlib import Path
from typing import Any

import pytest
from helpers.resuming import Run, assert_same
from helpers.running import small_data, small_module, trainer
from training.test_resume import SignalAt

from charlm.errors import UserError
from charlm.training.callbacks import StopEarly, TextSamples

pytestmark = pytest.mark.usefixtures("novel")

TEXT = {"max_chars": 760, "num_lanes": 4, "num_steps": 25, "val_size": 60}
# What learns nothing has its lowest loss at once.
STILL = {"hidden_sizes": [8], "learning_rate": 0.0}


@pytest.mark.parametrize("patience", [1, 3])
def test_a_run_stops_after_as_many_validations_as_it_has_patience(
    tmp_path: Path, patience: int, capsys: pytest.CaptureFixture[str]
) -> None:
    data = small_data(**TEXT)
    module = small_module(data, **STILL)
    run = trainer(tmp_path, callbacks=[StopEarly(patience)], max_epochs=9)
    run.fit(module, datamodule=data)
    assert run.current_epoch == 1 + patience
    assert f"has not fallen below {run.callback_metrics['val/loss']:.4f}" in capsys.readouterr().err


def test_without_patience_a_run_goes_to_its_end(tmp_path: Path) -> None:
    data = small_data(**TEXT | {"val_size": 0})
    run = trainer(tmp_path, callbacks=[StopEarly()], max_epochs=3)
    run.fit(small_module(data, **STILL), datamodule=data)
    assert run.current_epoch == 3


def test_what_it_can_not_go_by_is_refused(tmp_path: Path) -> None:
    data = small_data(**TEXT | {"val_size": 0})
    with pytest.raises(UserError, match=r"set data\.val_size"):
        trainer(tmp_path, callbacks=[StopEarly(2)]).fit(small_module(data), datamodule=data)
    with pytest.raises(UserError, match="patience is 0"):
        StopEarly(0)


def test_a_resumed_run_has_no_more_patience_than_one_that_was_left_alone(tmp_path: Path) -> None:
    case: dict[str, Any] = {"data": TEXT, "module": STILL, "trainer": {"max_epochs": 9}}
    alone = Run(tmp_path / "alone", **case).go(StopEarly(3))
    run = Run(tmp_path / "run", **case)
    for i, step in enumerate((3, 14)):
        run.stopped(SignalAt(step), StopEarly(3), resume=i > 0)
    assert_same(run.go(StopEarly(3), resume=True), alone)
    assert run.result["step"] == 24


def test_samples_come_every_few_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = small_data(**TEXT)
    samples = TextSamples(every_n_epochs=0, every_n_steps=4, prefixes=["time"], num_chars=3)
    options = {"callbacks": [samples], "accumulate_grad_batches": 2, "max_epochs": 3}
    trainer(tmp_path, **options).fit(small_module(data), datamodule=data)
    lines = [line for line in capsys.readouterr().err.splitlines() if ": time" in line]
    assert [line.split(":")[0] for line in lines] == ["step 4", "step 8"]
