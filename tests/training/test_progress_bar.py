"""The progress bar in a terminal and without one, in one process and in two."""

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.processes import in_processes
from helpers.resuming import Run
from helpers.running import CONFIGS, charlm
from lightning.pytorch.callbacks import Callback

from charlm.training.callbacks import RunProgressBar, progress_bar

pytestmark = [
    pytest.mark.usefixtures("novel"),
    pytest.mark.timeout(120),
    # Each child runs Python alone: of threads of the parent it needs none.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

# With all that a user's run has by itself: bar, samples, validation, both checkpoints.
DEBUG = (
    *("fit", "--config", CONFIGS / "debug.yaml"),
    *("--model.hidden_sizes=[8]", "--data.max_chars", 3000),
)
STEPS_OF_AN_EPOCH = 8


def test_without_a_terminal_lines_come_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_bar, "SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(RunProgressBar.__init__, "__defaults__", (0.0,))
    outcome = charlm(*DEBUG, "--trainer.default_root_dir", tmp_path, "--trainer.max_epochs", 6)
    assert outcome.code == 0, outcome.err
    lines = outcome.err.splitlines()
    assert lines[0].startswith("training ")
    assert "\r" not in outcome.err
    epochs = [int(found[1]) for line in lines if (found := re.match(r"epoch (\d+)[/:]", line))]
    assert epochs == sorted(epochs)
    steps = [int(found[1]) for line in lines if (found := re.search(r", (\d+)/48 steps", line))]
    assert steps == sorted(steps)
    assert len(steps) == 6 * STEPS_OF_AN_EPOCH + 1
    assert lines[-1].startswith("epoch 6/6, 48/48 steps [")
    assert "val " in lines[-1]


def test_without_a_terminal_a_short_run_has_two_lines(tmp_path: Path) -> None:
    options = ("--trainer.max_epochs", 1, "--samples.every_n_epochs", 0)
    outcome = charlm(*DEBUG, "--trainer.default_root_dir", tmp_path, *options)
    first, last = outcome.err.splitlines()
    assert str(tmp_path) in first
    assert last.startswith("epoch 1/1, 8/8 steps")


@pytest.mark.parametrize(
    ("limits", "shown"),
    [
        (("--trainer.max_epochs", -1, "--trainer.max_steps", 10), "epoch 2, 10/10 steps"),
        (("--trainer.max_epochs", 5, "--trainer.max_steps", 10), "epoch 2/5, 10/10 steps"),
    ],
)
def test_the_epoch_is_the_one_that_the_run_stands_in(
    tmp_path: Path, limits: tuple[object, ...], shown: str
) -> None:
    outcome = charlm(*DEBUG, "--trainer.default_root_dir", tmp_path, *limits)
    assert outcome.code == 0, outcome.err
    assert outcome.err.splitlines()[-1].startswith(shown)


@pytest.mark.parametrize(("num_processes", "in_terminal"), [(1, True), (2, True), (2, False)])
def test_a_run_with_a_users_defaults_ends(
    tmp_path: Path, num_processes: int, in_terminal: bool
) -> None:
    """Two processes, of which one alone shows a bar, don't wait for each other for ever."""
    parallel = ("--trainer.devices", num_processes, "--trainer.strategy", "ddp")
    arguments = (
        *(*DEBUG, "--trainer.default_root_dir", tmp_path, "--trainer.max_epochs", 5),
        *(parallel if num_processes > 1 else ()),
    )

    def work() -> None:
        outcome = charlm(*arguments, show=in_terminal)
        assert outcome.code == 0, outcome.err
        assert in_terminal or ("training" in outcome.err) == (os.environ["LOCAL_RANK"] == "0")

    ended = in_processes(num_processes, work, in_terminal)
    assert [each.code for each in ended] == [0] * num_processes
    if in_terminal:
        assert "epoch 5/5 |" in ended[0].shown
        assert "epoch 5: time traveller" in ended[0].shown
        assert all("training" not in other.shown for other in ended[1:])


class SignalInValidation(Callback):
    """SIGTERM to the second process, as the first epoch is validated."""

    def on_validation_batch_start(self, trainer: Any, *args: Any) -> None:
        if trainer.global_rank == 1 and trainer.validating:
            signal.raise_signal(signal.SIGTERM)


COLLECTIVES = (
    *("all_reduce", "all_gather", "all_gather_object", "broadcast", "broadcast_object_list"),
    *("barrier", "monitored_barrier", "reduce", "gather", "scatter"),
)


@pytest.mark.parametrize("stopped", [False, True])
def test_all_processes_make_the_same_collective_calls(tmp_path: Path, stopped: bool) -> None:
    """A bar drawn at every step, samples and a signal to one process ask nothing of the others."""

    def work() -> None:
        calls: list[str] = []

        def counted(name: str, function: Any) -> Any:
            def call(*args: Any, **options: Any) -> Any:
                calls.append(name)
                return function(*args, **options)

            return call

        for name in COLLECTIVES:
            setattr(torch.distributed, name, counted(name, getattr(torch.distributed, name)))
        RunProgressBar.__init__.__defaults__ = (0.0,)
        data = {"max_chars": 760, "val_size": 60, "num_lanes": 4, "num_steps": 25}
        run = Run(tmp_path, data, {"hidden_sizes": [8]}, {"max_epochs": 3}, every_n_train_steps=4)
        options = {"devices": 2, "strategy": "ddp"}
        if stopped:
            run.stopped(SignalInValidation(), **options)
        else:
            run.go(**options)
        (tmp_path / os.environ["LOCAL_RANK"]).write_text("\n".join(calls), encoding="utf-8")

    ended = in_processes(2, work, in_terminal=True)
    assert [each.code for each in ended] == [0, 0]
    first, second = ((tmp_path / rank).read_text(encoding="utf-8").split() for rank in "01")
    assert first == second
    assert {"all_reduce", "all_gather_object", "barrier"} <= set(first)


@pytest.mark.parametrize(("columns", "in_place"), [(80, True), (0, False)])
def test_a_terminal_that_does_not_know_its_width_is_given_lines(
    monkeypatch: pytest.MonkeyPatch, columns: int, in_place: bool
) -> None:
    """As that of a container or of CI may not: a bar drawn there would have no character."""
    termios = pytest.importorskip("termios")
    master, slave = os.openpty()
    termios.tcsetwinsize(slave, (24, columns))
    with os.fdopen(slave, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        assert progress_bar.can_be_drawn_over() == in_place
        monkeypatch.undo()
    os.close(master)
