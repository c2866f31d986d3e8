"""The Trainer's own options: each does what its user expects, or is refused in a sentence."""

import contextlib
import io
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from helpers.resuming import Run, differences, in_a_process
from helpers.running import CONFIGS, Outcome, charlm, small_data, small_module
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging

from charlm.checkpoint import read
from charlm.errors import UserError
from charlm.sweep.checking import Parsed
from charlm.training.callbacks import BestCheckpoint, LastCheckpoint, TextSamples
from charlm.training.command_line import run as run_command
from charlm.training.options import check_serialised, drawn_seed
from charlm.training.trainer import make_trainer

pytestmark = pytest.mark.usefixtures("novel")

TINY = ("--data.max_chars", 700, "--model.hidden_sizes=[4]", "--samples.every_n_epochs", 0)


def fit(folder: Path, *arguments: object, config: bool = True) -> Outcome:
    """``charlm fit`` of a tiny model for one epoch of one step."""
    begin = ("--config", CONFIGS / "debug.yaml", *TINY, "--trainer.max_epochs", 1) if config else ()
    return charlm("fit", "--trainer.default_root_dir", folder, *begin, *arguments)


def last_of(folder: Path, version: int = 0) -> dict[str, Any]:
    return read(folder / f"lightning_logs/version_{version}/checkpoints/last.ckpt")


def assert_told(outcome: Outcome, *told: str) -> None:
    assert outcome.code == 1, outcome.err
    assert len(outcome.err.splitlines()) == 1, outcome.err
    for each in told:
        assert each in outcome.err


# Go on if there is something, else begin


def test_one_command_can_be_repeated(tmp_path: Path) -> None:
    assert_told(fit(tmp_path, "--ckpt_path", "last"), "There is no last.ckpt of any run")
    for epochs, told in ((1, "training "), (2, "going on from"), (2, "nothing is left to train")):
        outcome = fit(tmp_path, "--ckpt_path", "auto", "--trainer.max_epochs", epochs)
        assert outcome.code == 0, outcome.err
        assert told in outcome.err
    assert [path.name for path in (tmp_path / "lightning_logs").iterdir()] == ["version_0"]
    assert last_of(tmp_path)["global_step"] == 2  # an epoch has one step


def test_a_run_by_the_clock_that_is_over_says_so(tmp_path: Path) -> None:
    limit = ("--trainer.max_time", "00:00:00:01")
    outcome = fit(tmp_path, *limit, "--trainer.max_epochs", -1)
    assert "stopped at step" in outcome.err
    assert "trainer.max_time" in outcome.err
    outcome = fit(tmp_path, "--ckpt_path", "last", config=False)
    assert outcome.code == 0
    assert "nothing is left to train: it has reached trainer.max_time" in outcome.err


def test_a_run_that_trains_nothing_says_so(tmp_path: Path) -> None:
    nothing = ("--trainer.limit_train_batches", 0)
    assert fit(tmp_path, *nothing).err.count("nothing was trained") == 1
    no_bar = ("--trainer.enable_progress_bar", "false")
    assert fit(tmp_path, *nothing, *no_bar).err.count("nothing was trained") == 1
    assert "nothing" not in fit(tmp_path, "--trainer.max_epochs", 1, *no_bar).err


@pytest.mark.parametrize("command", ["validate", "test"])
def test_fresh_weights_are_not_measured(tmp_path: Path, command: str) -> None:
    options = ("--config", CONFIGS / "debug.yaml", *TINY, "--trainer.default_root_dir", tmp_path)
    assert_told(charlm(command, *options), f"charlm {command} measures a trained model")


# The seed


def test_a_drawn_seed_is_one_for_all_and_can_be_resumed(tmp_path: Path) -> None:
    outcome = fit(tmp_path, "--seed_everything", "true")
    assert outcome.code == 0, outcome.err
    seed = yaml.safe_load(
        (tmp_path / "lightning_logs/version_0/config.yaml").read_text(encoding="utf-8")
    )
    checkpoint = last_of(tmp_path)
    assert checkpoint["datamodule_hyper_parameters"]["seed"] == seed["seed_everything"] > 1
    again = (
        *("--ckpt_path", "last", "--seed_everything", "true"),
        *("--trainer.max_epochs", 2),
    )
    outcome = fit(tmp_path, *again, config=False)
    assert outcome.code == 0, outcome.err
    # The same seed given as a number is the same run.
    alone = fit(
        tmp_path / "alone", "--seed_everything", seed["seed_everything"], "--trainer.max_epochs", 2
    )
    assert alone.code == 0
    weights = last_of(tmp_path)["state_dict"]
    assert not differences(weights, last_of(tmp_path / "alone")["state_dict"])


def test_processes_draw_one_seed_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("PL_GLOBAL_SEED", "17")
    assert drawn_seed() == 17
    monkeypatch.delenv("PL_GLOBAL_SEED")
    with pytest.raises(UserError, match="draw another seed"):
        drawn_seed()


# Callbacks and loggers by class path


def test_a_finished_run_with_averaged_weights_goes_on_from_its_own(tmp_path: Path) -> None:
    averaging = lambda: EMAWeightAveraging(decay=0.9)  # noqa: E731
    data = {"max_chars": 400, "num_lanes": 4, "num_steps": 25, "val_size": 50}
    options: Any = {"data": data, "module": {"hidden_sizes": [4]}}
    alone = Run(tmp_path / "alone", **options).go(averaging(), max_epochs=4)
    run = Run(tmp_path / "run", **options).go(averaging(), max_epochs=2)
    content = read(run.last)
    assert differences(content["state_dict"], content["current_model_state"])
    assert not differences(content["state_dict"], run.result["weights"])
    run.go(averaging(), max_epochs=4, resume=True)
    assert not differences(run.result, alone.result)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ("callbacks=StochasticWeightAveraging", "callbacks.swa_lrs=0.1"),
            ("StochasticWeightAveraging", "EMAWeightAveraging"),
        ),
        (("logger=WandbLogger",), ("package wandb", "pip install")),
    ],
)
def test_what_could_not_come_back_is_refused_at_the_start(
    tmp_path: Path, options: tuple[str, ...], told: tuple[str, ...]
) -> None:
    outcome = fit(tmp_path, *(f"--trainer.{option}" for option in options))
    assert_told(outcome, *told)
    assert not list(tmp_path.rglob("*.ckpt"))


def test_an_option_that_cannot_be_saved_is_named() -> None:
    given = {"callbacks": [{"init_args": {"device": "Unable to serialize instance cpu"}}]}
    with pytest.raises(UserError, match=r"trainer\.callbacks\.init_args\.device can't be saved"):
        check_serialised({"trainer": given})


# What a run writes and shows


def test_the_best_counts_at_every_validation(tmp_path: Path) -> None:
    data = small_data(max_chars=700, val_size=100)
    module = small_module(data, hidden_sizes=[4], learning_rate=30.0)
    losses: list[float] = []

    class Watch(Callback):
        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            if not trainer.sanity_checking:
                losses.append(trainer.callback_metrics["val/loss"].item())

    callbacks = [Watch(), BestCheckpoint(every_n_epochs=20), LastCheckpoint(), TextSamples(0)]
    make_trainer(
        callbacks, default_root_dir=tmp_path, max_epochs=13, check_val_every_n_epoch=3
    ).fit(module, datamodule=data)
    folder = tmp_path / "lightning_logs/version_0/checkpoints"
    best = read(folder / "best.ckpt")
    assert len(losses) == 4
    steps = best["global_step"] // ((best["epoch"] + 1) or 1)
    assert (best["epoch"] + 1) == 3 * (losses.index(min(losses)) + 1)
    assert best["global_step"] == steps * (best["epoch"] + 1)
    assert best["callbacks"]["BestCheckpoint"]["best_model_score"].item() == min(losses)


@pytest.mark.parametrize(("val_size", "options"), [(0, {"check_val_every_n_epoch": 3}), (100, {})])
def test_any_run_that_ends_has_a_best(tmp_path: Path, val_size: int, options: Any) -> None:
    """Without validation though it is asked for; and ended before the first one."""
    data = small_data(max_chars=700, val_size=val_size)
    make_trainer(TextSamples(0), default_root_dir=tmp_path, max_steps=3, **options).fit(
        small_module(data, hidden_sizes=[4]), datamodule=data
    )
    assert read(tmp_path / "lightning_logs/version_0/checkpoints/best.ckpt")["global_step"] == 3


# Lightning's own, of loaders of its own kind; charlm fit keeps it to itself.
@pytest.mark.filterwarnings("ignore:You requested to overfit")
def test_overfitting_trains_on_the_same_batches(tmp_path: Path) -> None:
    run = Run(tmp_path, {"max_chars": 700}, {"hidden_sizes": [4]})
    run.go(max_epochs=3, overfit_batches=2)
    assert len(run.batches) == 6
    for step, batch in run.batches.items():
        assert torch.equal(batch, run.batches[(step - 1) % 2 + 1])


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (("--trainer.profiler", "simple"), "run_training_epoch"),
        (("--trainer.log_every_n_steps", 0), "epoch 1/1"),
        (("--trainer.enable_checkpointing", "false"), "epoch 1/1"),
        (("--trainer.barebones", "true"), ""),
    ],
)
def test_what_is_switched_on_or_off_is(
    tmp_path: Path, options: tuple[object, ...], shown: str
) -> None:
    outcome = fit(tmp_path, *options)
    assert outcome.code == 0, outcome.err
    assert shown in outcome.err
    assert "has failed" not in outcome.err
    keeps_none = ("--trainer.enable_checkpointing", "--trainer.barebones")
    assert bool(list(tmp_path.rglob("*.ckpt"))) == (options[0] not in keeps_none)


class FullDisk(Callback):
    """From the first epoch's end on, no file may grow."""

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        size = max(path.stat().st_size for path in Path(trainer.log_dir).glob("events*"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


# The child runs Python alone: of threads of the parent it needs none.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_disk_that_is_full_for_the_log_is_named(tmp_path: Path) -> None:
    arguments = ("--config", CONFIGS / "debug.yaml", *TINY, "--trainer.max_epochs", 400)

    def work() -> None:
        shown = io.StringIO()
        root = ("--trainer.default_root_dir", tmp_path)
        with contextlib.redirect_stderr(shown), pytest.raises(UserError) as told:
            run_command(["fit", *map(str, (*arguments, *root))], [FullDisk()])
        assert "Can't write" in str(told.value)
        assert "version_0" in str(told.value)
        assert "Traceback" not in shown.getvalue()

    assert os.waitpid(in_a_process(work), 0)[1] == 0


def test_one_command_builds_one_parser() -> None:
    cli = run_command(["fit", "--trainer.logger=false"], kind=Parsed)
    assert list(cli._subcommand_parsers) == ["fit"]
