"""A configuration by its name, on the command line."""

import sys
from pathlib import Path

import pytest
import yaml
from helpers.running import charlm

from charlm import configs
from charlm.errors import UserError
from charlm.training.command_line import run


@pytest.mark.parametrize("spelling", [["--config", "debug"], ["--config=debug"], ["-c", "debug"]])
@pytest.mark.usefixtures("novel")
def test_a_run_takes_a_configuration_by_its_name(spelling: list[str], tmp_path: Path) -> None:
    short = ("--trainer.max_steps", 1, "--trainer.default_root_dir", tmp_path)
    outcome = charlm("fit", *spelling, *short)
    assert outcome.code == 0, outcome.err
    config = yaml.safe_load(
        (tmp_path / "lightning_logs/version_0/config.yaml").read_text(encoding="utf-8")
    )
    assert config["model"]["hidden_sizes"] == [64]


@pytest.mark.usefixtures("novel")
def test_validate_and_test_take_the_name_as_well(checkpoint: Path) -> None:
    for command in ("validate", "test"):
        quiet = ("--trainer.logger", "false")
        outcome = charlm(command, "--config", "debug", "--ckpt_path", checkpoint, *quiet)
        assert outcome.code == 0, outcome.err


def test_a_file_of_one_s_own_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lstm").write_text("seed_everything: 1\n", encoding="utf-8")
    assert configs.find("lstm") == Path("lstm")
    assert configs.find("gru") == configs.FOLDER / "gru.yaml"


@pytest.mark.parametrize("command", ["fit", "validate", "test"])
@pytest.mark.parametrize("name", ["rnm", "rnn.yaml", "nowhere/rnn", "", "../configs/rnn"])
def test_an_unknown_name_is_told_with_the_known_ones(command: str, name: str) -> None:
    outcome = charlm(command, "--config", name)
    assert outcome.code == 1
    assert outcome.err.startswith(f"charlm: There is no configuration {name}: ")
    assert "debug, deep-gru, deep-lstm" in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_arguments_without_a_configuration_stay_as_they_are() -> None:
    given = ["fit", "--data.path", "rnn", "--config.x", "rnn", "--config"]
    assert configs.with_paths(given) == given
    with pytest.raises(UserError, match="no configuration rnm"):
        configs.with_paths(["fit", "-c=rnm"])


def test_the_help_names_the_shipped_configurations() -> None:
    outcome = charlm("fit", "--help")
    # Wherever the lines break.
    assert ",".join(configs.names()) in "".join(outcome.out.split())


@pytest.mark.usefixtures("novel")
def test_a_program_with_arguments_of_its_own_isn_t_warned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook's kernel has arguments; warnings are errors here."""
    monkeypatch.setattr(sys, "argv", ["kernel", "-f", "connection.json"])
    root = ["--trainer.default_root_dir", str(tmp_path), "--trainer.max_steps", "1"]
    quiet = ["--trainer.enable_progress_bar", "false"]
    cli = run(["fit", "--config", "debug", *root, *quiet])
    assert cli.trainer.global_step == 1
