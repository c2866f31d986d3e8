"""What version 0.1 and those before wrote of a run's options, read today."""

import importlib
from pathlib import Path

import pytest
import yaml
from helpers.running import charlm

from charlm.errors import UserError
from charlm.training.configuration import MOVED, in_todays_words, read_configuration
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


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("# nothing yet\n", "is empty"),
        ("- data\n", "holds no options by their names"),
        ("rnn\n", "holds no options by their names"),
        ("data: {num_steps: 5\n", "line 2: .*; it must be YAML"),
        ("data:\n\tnum_steps: 5\n", "line 2: "),
        ("data: !!python/object/apply:os.getcwd []\n", "could not determine a constructor"),
        ("data:\n  num_steps: 5\n  num_steps: 7\n", "line 3: num_steps stands there twice"),
        ("model:\n  cell: gru\ndata: {}\nmodel:\n  dropout: 0.1\n", "line 4: model stands there"),
        ("data:\n  seed: 5\n", "data.seed is set by seed_everything"),
        ("model:\n  num_characters: 5\n", "model.num_characters is set by the text"),
    ],
)
def test_a_configuration_that_would_be_misread_is_refused(
    tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=rf"own\.yaml.*{told}"):
        read_configuration(tmp_path / "own.yaml")


@pytest.mark.parametrize(
    "text", ["trainer:\n", "seed_everything: 0\n", "a: &a {b: 1}\nc: {<<: *a}\n"]
)
def test_any_other_is_read_as_it_stands(tmp_path: Path, text: str) -> None:
    (tmp_path / "own.yaml").write_text("\ufeff" + text, encoding="utf-8")
    assert read_configuration(tmp_path / "own.yaml") == (text if ": " in text else "{}")
