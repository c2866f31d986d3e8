"""What version 0.1 and those before wrote of a run's options, read today."""

import importlib
from pathlib import Path

import pytest
import yaml
from helpers.running import charlm

from charlm.training.configuration import MOVED, in_todays_words
from charlm.training.options import options_of

# As its config.yaml had them, and, but for the plain types, its checkpoints.
OLD = {
    "seed_everything": 3,
    "trainer": {
        "max_epochs": 1,
        "callbacks": [
            {
                "class_path": "charlm.gradient_flow.GradientFlow",
                "init_args": {"every_n_steps": 7, "lags": [0, 8]},
            },
            {"class_path": "charlm.callbacks.Throughput"},
        ],
    },
    "model": {"hidden_sizes": [8], "cell": "rnn", "nonlinearity": "relu", "reset_after": True},
    "data": {"max_chars": 1200, "num_lanes": 4, "num_steps": 10},
}


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_each_class_stands_where_it_is_said_to(old: str, new: str) -> None:
    room, _, name = new.rpartition(".")
    assert getattr(importlib.import_module(room), name).__name__ == old.rpartition(".")[2]


@pytest.mark.usefixtures("novel")
def test_an_old_configuration_is_run_again(tmp_path: Path) -> None:
    logger = {"class_path": "charlm.runs.RunLogger", "init_args": {"save_dir": str(tmp_path)}}
    config = tmp_path / "old.yaml"
    trainer = OLD["trainer"] | {"logger": logger}  # type: ignore[operator]
    config.write_text(yaml.safe_dump(OLD | {"trainer": trainer}), encoding="utf-8")
    outcome = charlm("fit", "--config", config, "--samples.every_n_epochs", 0)
    assert outcome.code == 0, outcome.err
    saved = next(tmp_path.glob("lightning_logs/*/config.yaml")).read_text(encoding="utf-8")
    assert "charlm.training.callbacks.GradientFlow" in saved
    assert "nonlinearity: relu" in saved


def test_an_old_checkpoint_s_options_are_today_s() -> None:
    trainer = options_of({"options": OLD}, "fit")["trainer"]
    paths = [callback["class_path"] for callback in trainer["callbacks"]]
    assert paths == [
        "charlm.training.callbacks.GradientFlow",
        "charlm.training.callbacks.Throughput",
    ]


def test_an_old_command_line_is_today_s() -> None:
    old = ["fit", "--trainer.callbacks+=charlm.gradient_flow.GradientFlow", "--data.path=a=b"]
    assert in_todays_words(old) == [
        "fit",
        "--trainer.callbacks+=charlm.training.callbacks.GradientFlow",
        "--data.path=a=b",
    ]
