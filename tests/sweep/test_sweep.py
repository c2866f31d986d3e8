"""A sweep finds the best options, says what failed, and goes on after it was killed."""

import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import lightning as L
import optuna
import pytest
import yaml
from helpers.resuming import in_a_process
from helpers.running import Outcome, charlm
from helpers.sweeping import results, study_in

from charlm.configs import FOLDER
from charlm.sweep.running import Watched

TINY = ("--config", "debug", "--data.max_chars", "1500", "--data.num_lanes", "4")
TINY += ("--model.hidden_sizes", "[8]", "--trainer.max_epochs", "2", "--fresh_seeds", "0")
RANDOM = (*TINY, "--model.learning_rate", "log(0.01, 1)", "--sampler", "random", "--trials", "2")
RANDOM += ("--seeds", "2", "--checkpoint.every_n_train_steps", "5")

pytestmark = pytest.mark.usefixtures("novel")


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    optuna.logging.set_verbosity(optuna.logging.INFO)


def sweep(*options: object) -> Outcome:
    return charlm("sweep", *options)


def trainings(folder: str) -> list[Path]:
    return sorted(Path(folder).rglob("version_*"))


def test_the_best_of_a_grid_is_a_configuration_and_is_measured_on_unseen_text() -> None:
    rates = ("--model.learning_rate", "[0.001, 1]", "--model.cell", "[rnn, no_such]")
    options = (*TINY, *rates, "--sampler", "grid", "--folder", "g", "--fresh_seeds", "1")
    outcome = sweep(*options)
    assert outcome.code == 0, outcome.err
    assert outcome.out.count("failed") == 2
    assert outcome.out.count("Unknown cell 'no_such'") == 2
    assert "Best: trial 2" in outcome.out
    assert "on the test text, which the search never saw" in outcome.out
    assert len(trainings("g")) == 3
    # Again: nothing is left to do, and the figures are the same.
    again = sweep(*options)
    assert len(trainings("g")) == 3
    assert again.out.splitlines()[-1] == outcome.out.splitlines()[-1]
    # best.yaml is the best run.
    from charlm.sweep.running import fit

    fitted = fit(str(Path("g/best.yaml").resolve()), {}, 0, Path("same"))
    assert min(fitted.bits) == study_in("g").best_value
    other = sweep(*TINY, *rates, "--sampler", "random", "--folder", "g")
    assert other.code == 1
    assert "another sweep" in other.err


def test_torch_is_loaded_by_those_alone_that_train() -> None:
    program = (
        "import sys; from charlm.cli import main; code = main(sys.argv[1:]);"
        "sys.exit('torch is here' if 'torch' in sys.modules else code)"
    )
    options = ["sweep", *TINY, "--model.learning_rate", "[0.1, 1]", "--sampler", "grid"]
    outcome = subprocess.run(
        [sys.executable, "-c", program, *options, "--jobs", "2"],
        capture_output=True,
        text=True,
    )
    assert outcome.returncode == 0, outcome.stderr
    assert "Best: trial" in outcome.stdout


def struck(number: int) -> None:
    """A sweep whose process gets a signal in its second trial, after the second seed's first epoch."""
    watch = Watched.on_validation_end

    def watch_and_strike(self: Watched, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        watch(self, trainer, pl_module)
        if Path(trainer.default_root_dir).match("trial-1/seed-1") and len(self.bits) == 1:
            os.kill(os.getpid(), number)

    Watched.on_validation_end = watch_and_strike
    os._exit(sweep(*RANDOM, "--folder", "struck").code)


@pytest.mark.posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (9, -9)])
def test_a_sweep_that_is_struck_goes_on_and_equals_an_undisturbed_one(
    number: int, code: int
) -> None:
    """Ctrl-C leaves a checkpoint of its step, -9 one of three steps before."""
    _, status = os.waitpid(in_a_process(lambda: struck(number)), 0)
    assert os.waitstatus_to_exitcode(status) == code
    assert len(trainings("struck")) == 4
    for folder in ("struck", "whole"):
        outcome = sweep(*RANDOM, "--folder", folder)
        assert outcome.code == 0, outcome.err
    assert results("struck") == results("whole")
    assert len(results("whole")) == 2
    told = Path("struck/trial-2/seed-1/output.txt").read_text(encoding="utf-8")
    assert f"(step {8 if code == 130 else 5})" in told
    assert len(trainings("struck")) == 4, "none is begun anew"


@pytest.mark.slow
def test_halving_gives_up_what_is_worse_than_its_rivals() -> None:
    rates = ("--model.learning_rate", "[1, 0.5, 0.001]", "--sampler", "grid", "--halving")
    outcome = sweep(*TINY, *rates, "--folder", "h")
    assert outcome.code == 0, outcome.err
    assert "given up" in outcome.out


def test_a_grid_that_is_given_more_trials_goes_on_to_the_combinations_that_are_left() -> None:
    rates = [0.001, 0.1, 1]
    options = (*TINY, "--model.learning_rate", str(rates), "--sampler", "grid")
    for trials in (("--trials", "1"), ()):
        outcome = sweep(*options, *trials)
        assert outcome.code == 0, outcome.err
    tried = [trial.params["model.learning_rate"] for trial in study_in("sweep").trials]
    assert sorted(map(float, tried)) == rates


def test_a_configuration_without_a_log_is_refused() -> None:
    options = yaml.safe_load((FOLDER / "debug.yaml").read_text(encoding="utf-8"))
    options.setdefault("trainer", {})["logger"] = False
    Path("silent.yaml").write_text(yaml.safe_dump(options), encoding="utf-8")
    outcome = sweep("--config", "silent.yaml", "--model.learning_rate", "[0.1, 1]")
    assert outcome.code == 1
    assert "leave out trainer.logger" in outcome.err


def test_a_run_whose_losses_are_no_numbers_is_no_best_one() -> None:
    watched = Watched()
    watched.bits = [math.nan, 2.0, math.inf, 1.5]
    assert watched.lowest == 1.5
    watched.bits = [math.nan]
    assert watched.lowest == math.inf


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--model.learning_speed", "[1, 2]"), "learning_speed"),
        (("--model.hidden_sizes", "[[8], [true]]"), "hidden_sizes"),
        (("--model.learning_rate", "log(0, 1)"), "above 0"),
        (("--model.learning_rate", "[1, 2]", "--sampler", "best"), "There is no sampler best"),
        (("--model.learning_rate", "[1, 2]", "--jobs", "0"), "at least 1"),
        (("--model.learning_rate", "[1, 2]", "--data.val_size", "0"), "no validation text"),
        (("--model.learning_rate", "[1, 2]", "--storage", "nowhere://x"), "can't open the storage"),
        (
            ("--model.learning_rate", "[1, 2]", "--trainer.enable_checkpointing", "false"),
            "leave out trainer.logger and trainer.enable_checkpointing",
        ),
    ],
)
def test_a_mistake_is_said_before_anything_starts(options: tuple, sentence: str) -> None:
    outcome = sweep(*(TINY if "--model.hidden_sizes" not in options else TINY[:6]), *options)
    assert outcome.code in (1, 2)
    assert sentence in outcome.err
    assert "Traceback" not in outcome.err
    assert not list(Path("sweep").glob("trial-*"))
