"""A sweep finds the best options, says what failed, and goes on after it was killed."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from helpers.resuming import in_a_process
from helpers.running import Outcome, charlm

TINY = ("--config", "debug", "--data.max_chars", "1500", "--data.num_lanes", "4")
TINY += ("--model.hidden_sizes", "[8]", "--trainer.max_epochs", "2", "--fresh_seeds", "0")
RANDOM = (*TINY, "--model.learning_rate", "log(0.01, 1)", "--sampler", "random", "--trials", "3")

pytestmark = pytest.mark.usefixtures("novel")


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    optuna.logging.set_verbosity(optuna.logging.INFO)


def sweep(*options: object) -> Outcome:
    return charlm("sweep", *options)


def results(folder: str) -> dict[float, float | None]:
    """By learning rate, of the trials that weren't lost."""
    study = optuna.load_study(storage=f"sqlite:///{folder}/sweep.db", study_name=folder)
    kept = [trial for trial in study.trials if "killed" not in trial.user_attrs]
    return {trial.params["model.learning_rate"]: trial.value for trial in kept}


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
    study = optuna.load_study(storage="sqlite:///g/sweep.db", study_name="g")
    assert min(fitted.bits) == study.best_value
    other = sweep(*TINY, *rates, "--sampler", "random", "--folder", "g")
    assert other.code == 1
    assert "another sweep" in other.err


def test_a_killed_sweep_goes_on_and_equals_an_undisturbed_one() -> None:
    assert sweep(*RANDOM, "--folder", "whole").code == 0
    child = in_a_process(lambda: sweep(*RANDOM, "--folder", "killed"))
    deadline = time.monotonic() + 60
    while len(trainings("killed")) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    outcome = sweep(*RANDOM, "--folder", "killed")
    assert outcome.code == 0, outcome.err
    assert len(results("whole")) == 3
    assert results("killed") == results("whole")


@pytest.mark.slow
def test_halving_gives_up_what_is_worse_than_its_rivals() -> None:
    rates = ("--model.learning_rate", "[1, 0.5, 0.001]", "--sampler", "grid", "--halving")
    outcome = sweep(*TINY, *rates, "--folder", "h")
    assert outcome.code == 0, outcome.err
    assert "given up" in outcome.out


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
    ],
)
def test_a_mistake_is_said_before_anything_starts(options: tuple, sentence: str) -> None:
    outcome = sweep(*(TINY if "--model.hidden_sizes" not in options else TINY[:6]), *options)
    assert outcome.code in (1, 2)
    assert sentence in outcome.err
    assert "Traceback" not in outcome.err
    assert not list(Path("sweep").glob("trial-*"))
