"""A run that was stopped and resumed ends with the same bits as one that wasn't."""

import functools
import itertools
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import yaml
from helpers.resuming import Run, assert_same, differences
from helpers.running import CONFIGS, Outcome, charlm
from lightning.pytorch.callbacks import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from charlm.checkpoint import read
from charlm.training.metrics_file import read_curves

pytestmark = pytest.mark.usefixtures("novel")

# Seven batches an epoch, six with validation text; limited, five.
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
            signal.raise_signal(self.number)


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
    # Each case is stopped in some of the ways; all together, in every way.
    for number in range(CASES.index(case) % 4, len(STOPS), 4):
        run = Run(tmp_path / str(number), **options(*case))
        for i, step in enumerate(STOPS[number]):
            which = signal.SIGINT if i % 2 == 0 else signal.SIGTERM
            run.stopped(SignalAt(step, which), resume=i > 0)
        run.go(resume=True)
        assert_same(run, alone)


@pytest.mark.gpu
@pytest.mark.parametrize("sampling", ["sequential", "random"])
def test_stopped_and_resumed_on_a_gpu_with_deterministic_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampling: str
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    case = options(sampling, "each epoch", "max_epochs")
    case["trainer"] |= {"accelerator": "cuda", "deterministic": True}
    alone, run = Run(tmp_path / "alone", **case).go(), Run(tmp_path / "stopped", **case)
    for i, step in enumerate((2, 6, 9)):
        run.stopped(SignalAt(step), resume=i > 0)
    assert_same(run.go(resume=True), alone)


@pytest.mark.parametrize("case", [case for case in CASES if case[2] == "max_epochs"], ids=" ".join)
def test_a_finished_run_goes_on_with_larger_limits(
    tmp_path: Path, left_alone: Any, case: Any
) -> None:
    alone = left_alone(*case)
    for number, limits in enumerate(
        (
            [{"max_epochs": 1}, {"max_epochs": 2}],
            # In mid-epoch, before the last batch of one, at the end of one.
            [{"max_steps": 1}, {"max_steps": 6}, {"max_steps": 7}, {"max_steps": 12}],
            [{"max_steps": 14}, {"max_epochs": 2}],
            [{"limit_val_batches": 0, "max_steps": 3}],
        )
    ):
        run = Run(tmp_path / str(number), **options(*case))
        for i, limit in enumerate(limits):
            run.go(resume=i > 0, **limit)
        run.go(resume=True)
        # The shorter runs have logged the end of an epoch that the longer one goes on with.
        run.metrics = {key: run.metrics[key] for key in alone.metrics.keys() & run.metrics.keys()}
        if number == 3:
            run.metrics = alone.metrics
        assert_same(run, alone)


class Failing(Callback):
    """Raises in a step, before or after the weights have changed."""

    def __init__(self, step: int, hook: str) -> None:
        self.step = step
        setattr(self, hook, self._fail)

    def _fail(self, trainer: L.Trainer, *args: Any) -> None:
        if trainer.global_step >= self.step:
            raise ArithmeticError("half a step")


@pytest.mark.parametrize(
    "hook",
    ["on_before_backward", "on_after_backward", "on_before_optimizer_step", "on_train_batch_end"],
)
@pytest.mark.parametrize("sampling", ["sequential", "random"])
def test_an_exception_in_a_step(tmp_path: Path, left_alone: Any, sampling: str, hook: str) -> None:
    case = (sampling, "every 2 batches", "max_epochs")
    run = Run(tmp_path, **options(*case), every_n_train_steps=2)
    for step in (5, 7, 13):
        with pytest.raises(ArithmeticError):
            run.go(Failing(step, hook), resume=step > 5)
        assert read(run.last)["global_step"] in (step - 1, step)
    run.go(resume=True)
    # Epochs that were begun again from before their start are told twice.
    run.epoch_starts = sorted(set(run.epoch_starts))
    assert_same(run, left_alone(*case))


class SignalInValidation(Callback):
    """Sends itself SIGTERM after the first batch of the validation after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_validation_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        if not trainer.sanity_checking and batch_idx == 0 and trainer.global_step == self.step:
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("validation", ["each epoch", "every 2 batches"])
def test_stopped_in_the_midst_of_validation(
    tmp_path: Path, left_alone: Any, validation: str
) -> None:
    case = ("sequential", validation, "max_epochs")
    run = Run(tmp_path, **options(*case))
    for step in (6, 12):
        run.stopped(SignalInValidation(step), resume=step > 6)
        assert read(run.last)["global_step"] == step
    run.go(resume=True)
    assert_same(run, left_alone(*case))


def test_gradients_that_are_being_accumulated_are_not_cut_off(tmp_path: Path) -> None:
    case = options("sequential", "no validation", "max_epochs")
    case["trainer"] |= {"accumulate_grad_batches": 3}
    alone = Run(tmp_path / "alone", **case).go()
    run = Run(tmp_path / "run", **case)
    for step in (1, 2, 4):
        run.stopped(SignalAt(step), resume=step > 1)
    run.go(resume=True)
    assert_same(run, alone)


def test_a_validation_in_mid_accumulation_is_not_stopped_in(tmp_path: Path) -> None:
    case = options("sequential", "every 2 batches", "max_epochs")
    case["trainer"] |= {"accumulate_grad_batches": 3}
    alone = Run(tmp_path / "alone", **case).go()
    run = Run(tmp_path / "run", **case)
    # After four batches: it stops in the next validation, after two steps of three batches.
    run.stopped(SignalInValidation(1))
    assert read(run.last)["global_step"] == 2
    run.go(resume=True)
    assert_same(run, alone)


@pytest.mark.parametrize("validation", VALIDATION)
def test_the_best_checkpoint_can_be_gone_on_from(
    tmp_path: Path, left_alone: Any, validation: str
) -> None:
    case = ("sequential", validation, "max_epochs")
    # The best so far after one epoch, or after one validation in mid-epoch.
    run = Run(tmp_path, **options(*case)).go(max_epochs=1)
    run.last.with_name("best.ckpt").replace(run.last)
    run.go(resume=True)
    run.epoch_starts = sorted(set(run.epoch_starts))
    assert_same(run, left_alone(*case))


def test_every_few_steps_or_once_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Written(Callback):
        def __init__(self) -> None:
            self.steps: list[int] = []

        def on_save_checkpoint(self, trainer: L.Trainer, *args: Any) -> None:
            self.steps.append(trainer.global_step)

    case = options("sequential", "no validation", "max_epochs")
    for every, expected in ((3, [3, 6, 7, 9, 12, 14, 15, 18, 21]), (100, [7, 14, 21])):
        written = Written()
        Run(tmp_path / str(every), **case, every_n_train_steps=every).go(written)
        assert sorted(set(written.steps)) == expected  # with the best of each epoch
    monkeypatch.setattr("charlm.training.resume.last_checkpoint.SECONDS_BETWEEN", 0.0)
    written = Written()
    Run(tmp_path / "minute", **case, every_n_train_steps=None).go(written)
    assert set(written.steps) >= set(range(1, 22))


# The command line


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of two epochs."""
    folder = tmp_path_factory.mktemp("begun")
    outcome = charlm(
        *("fit", "--config", CONFIGS / "debug.yaml", "--trainer.default_root_dir", folder),
        *("--data.max_chars", 1200, "--model.hidden_sizes=[8]", "--trainer.max_epochs", 2),
        *("--samples.every_n_epochs", 3),
    )
    assert outcome.code == 0, outcome.err
    return folder


def go_on(folder: Path, *arguments: object) -> Outcome:
    """Resume the newest run in a folder."""
    root = ("--trainer.default_root_dir", folder)
    return charlm("fit", "--ckpt_path", "last", *root, *arguments)


def test_the_newest_run_goes_on_in_its_folder_with_its_options(begun: Path, tmp_path: Path) -> None:
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    version = tmp_path / "lightning_logs" / "version_0"
    # What a killed run leaves: entries of the steps after its checkpoint, and half an entry.
    done = read(version / "checkpoints" / "last.ckpt")["global_step"]
    with open(version / "metrics.csv", "a", encoding="utf-8") as file:
        file.write(f"{done},train/perplexity,2.5\n9999,train/perplexity,1.5\n10000,train/per")
    config = (version / "config.yaml").read_text(encoding="utf-8")
    outcome = go_on(tmp_path, "--trainer.max_epochs", 3)
    assert outcome.code == 0, outcome.err
    assert [path.name for path in version.parent.iterdir()] == ["version_0"]
    content = read(version / "checkpoints" / "last.ckpt")
    assert content["hyper_parameters"]["hidden_sizes"] == [8]
    assert content["options"]["samples"]["every_n_epochs"] == 3
    scalars = EventAccumulator(str(version)).Reload().Scalars("train/perplexity")
    per_epoch = content["global_step"] // 3
    assert [event.step + 1 for event in scalars] == [per_epoch, 2 * per_epoch, 3 * per_epoch]
    steps, values = read_curves(version)["train/perplexity"]
    assert steps == [event.step for event in scalars]
    assert values == pytest.approx([event.value for event in scalars])
    # The options it began with stay as they were.
    assert (version / "config.yaml").read_text(encoding="utf-8") == config
    later = yaml.safe_load(
        (version / f"config-from-step-{2 * per_epoch}.yaml").read_text(encoding="utf-8")
    )
    assert later["trainer"]["max_epochs"] == 3
    assert later["ckpt_path"] is None
    # Nothing is left to train: nothing is written.
    before = sorted(version.rglob("*"))
    assert "nothing is left to train" in go_on(tmp_path).err
    assert sorted(version.rglob("*")) == before


def test_from_any_other_checkpoint_a_new_folder_is_begun(begun: Path, tmp_path: Path) -> None:
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    version = tmp_path / "lightning_logs" / "version_0"
    before = {path: path.stat().st_mtime_ns for path in version.rglob("*")}
    best = version / "checkpoints" / "best.ckpt"
    root = ("--trainer.default_root_dir", tmp_path)
    outcome = charlm("fit", "--ckpt_path", best, *root, "--trainer.max_epochs", 3)
    assert outcome.code == 0, outcome.err
    assert (version.with_name("version_1") / "checkpoints" / "last.ckpt").is_file()
    assert {path: path.stat().st_mtime_ns for path in version.rglob("*")} == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model.hidden_sizes=[9]"], "model.hidden_sizes [8], and this run is to have [9]"),
        (["--model.cell", "gru"], "model.cell rnn, and this run is to have gru"),
        (["--model.optimizer", "torch.optim.Adam"], "model.optimizer torch.optim.SGD"),
        (["--data.num_lanes", "4"], "data.num_lanes 8, and this run is to have 4"),
        (["--data.num_steps", "20"], "data.num_steps 35, and this run is to have 20"),
        (["--data.sampling", "random"], "sequential, and this run is to have random"),
        (["--seed_everything", "3"], "seed_everything 0, and this run is to have 3"),
        (["--data.max_chars", "1300"], "data.max_chars 1200, and this run is to have 1300"),
        (["--data.val_size", "0"], "data.val_size 0.1, and this run is to have 0"),
        (["--data.corpus", "python-docs"], "time-machine, and this run reads python-docs"),
        (["--trainer.max_epochs", "1"], "reached trainer.max_epochs 1"),
    ],
)
def test_what_contradicts_the_checkpoint_is_refused(
    begun: Path, arguments: list[str], told: str
) -> None:
    before = sorted(begun.rglob("*"))
    outcome = go_on(begun, "--trainer.max_epochs", 4, *arguments)
    assert told in outcome.err
    assert "Traceback" not in outcome.err
    assert outcome.code == (0 if "max_epochs" in told else 1)
    assert sorted(begun.rglob("*")) == before


def test_without_a_checkpoint_to_go_on_from(tmp_path: Path) -> None:
    outcome = go_on(tmp_path)
    assert outcome.code == 1
    assert "no last.ckpt of any run" in outcome.err


def test_a_run_without_a_logger_goes_on_where_it_wrote(begun: Path, tmp_path: Path) -> None:
    last = tmp_path / "checkpoints" / "last.ckpt"
    last.parent.mkdir()
    shutil.copy(next(begun.rglob("last.ckpt")), last)
    before = read(last)["global_step"]
    outcome = go_on(tmp_path, "--trainer.logger", "false", "--trainer.max_epochs", 3)
    assert outcome.code == 0, outcome.err
    assert read(last)["global_step"] == before // 2 * 3
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [(None, 0.002), ("torch.optim.lr_scheduler.ExponentialLR", 0.002 * 0.5**3)],
)
def test_another_learning_rate_takes_effect(
    tmp_path: Path, scheduler: str | None, expected: float
) -> None:
    module = MODEL | {
        "lr_scheduler": scheduler,
        "lr_scheduler_options": scheduler and {"gamma": 0.5},
    }
    run = Run(tmp_path, TEXT, module, {"max_epochs": 3}).go(max_epochs=1)
    run.module = module | {"learning_rate": 0.002}
    run.stopped(SignalAt(9), resume=True)
    run.go(resume=True)  # the changed rate is the checkpoint's now: it isn't changed again
    (group,) = run.result["optimizer"]["param_groups"]
    assert group["lr"] == pytest.approx(expected)


def test_ctrl_c_twice_stops_at_once(tmp_path: Path) -> None:
    class Twice(Callback):
        def on_after_backward(self, trainer: L.Trainer, *args: Any) -> None:
            if trainer.global_step == 3:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    run = Run(tmp_path, **options("sequential", "no validation", "max_epochs"))
    run.stopped(Twice())
    assert not run.last.exists()
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.posix
def test_signals_to_the_command(begun: Path, tmp_path: Path) -> None:
    """In processes of their own: stopped with both signals, it goes on to the same end."""
    ends = []
    for signals in ([], [signal.SIGINT, signal.SIGTERM]):
        folder = tmp_path / str(len(signals))
        shutil.copytree(begun, folder)
        last = folder / "lightning_logs" / "version_0" / "checkpoints" / "last.ckpt"
        command = [sys.executable, "-m", "charlm", "fit", "--ckpt_path", str(last)]
        for number in signals:
            before = last.stat().st_mtime_ns
            endless = ["--trainer.max_epochs", "-1", "--checkpoint.every_n_train_steps", "1"]
            process = subprocess.Popen([*command, *endless], stderr=subprocess.PIPE, text=True)
            while last.stat().st_mtime_ns == before and process.poll() is None:
                time.sleep(0.01)
            process.send_signal(number)
            _, told = process.communicate(timeout=60)
            assert process.returncode == 128 + number, told
            assert f"go on with: charlm fit --ckpt_path {last}" in told
            assert "Traceback" not in told
        step = read(last)["global_step"]
        ends.append((step, last))
    (_, untouched), (steps, stopped) = ends
    limit = ("--trainer.max_steps", steps + 2, "--trainer.max_epochs", -1)
    for last in (untouched, stopped):
        outcome = charlm("fit", "--ckpt_path", last, *limit)
        assert outcome.code == 0, outcome.err
    contents = [read(last) for last in (untouched, stopped)]
    for part in ("state_dict", "optimizer_states", "charlm"):
        found = differences(*(content[part] for content in contents))
        assert not found, "\n".join(found)
