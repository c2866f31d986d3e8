"""charlm from the command line: whole runs, what they leave, and what each mistake is told."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from helpers.running import CONFIGS, charlm
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

pytestmark = pytest.mark.usefixtures("novel")


@pytest.fixture(scope="module")
def debug_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The version folder of a run of debug.yaml."""
    folder = tmp_path_factory.mktemp("debug")
    outcome = charlm(
        "fit", "--config", CONFIGS / "debug.yaml", "--trainer.default_root_dir", folder
    )
    assert outcome.code == 0, outcome.err
    return folder / "lightning_logs" / "version_0"


def test_a_run_learns_and_logs_every_tag(debug_run: Path) -> None:
    events = EventAccumulator(str(debug_run)).Reload()
    tags = events.Tags()
    assert set(tags["scalars"]) >= {
        "train/loss",
        "train/perplexity",
        "train/grad_norm",
        "val/loss",
        "val/perplexity",
        "val/bits_per_character",
        "throughput/characters_per_second",
    }
    perplexity = [event.value for event in events.Scalars("train/perplexity")]
    assert len(perplexity) == 10
    assert perplexity[-1] < 12 < perplexity[0]
    assert all(event.value > 0 for event in events.Scalars("throughput/characters_per_second"))
    assert "samples/time traveller/text_summary" in tags["tensors"]
    assert "samples/traveller/text_summary" in tags["tensors"]
    assert "_hparams_/session_start_info" in events.summary_metadata


def test_the_speed_is_logged_once_a_step_while_gradients_are_accumulated(tmp_path: Path) -> None:
    outcome = charlm(
        *("fit", "--config", CONFIGS / "debug.yaml", "--trainer.default_root_dir", tmp_path),
        *("--trainer.max_epochs", 2, "--trainer.accumulate_grad_batches", 3),
        *("--trainer.log_every_n_steps", 1),
    )
    assert outcome.code == 0, outcome.err
    version = tmp_path / "lightning_logs" / "version_0"
    speeds = EventAccumulator(str(version)).Reload().Scalars("throughput/characters_per_second")
    num_steps = torch.load(version / "checkpoints" / "last.ckpt")["global_step"]
    assert [event.step for event in speeds] == list(range(num_steps))


def test_the_corpus_that_was_used_stands_in_the_hyper_parameters(debug_run: Path) -> None:
    hparams = yaml.safe_load((debug_run / "hparams.yaml").read_text(encoding="utf-8"))
    assert hparams["data/corpus_used"] == "time-machine"
    assert len(hparams["data/corpus_digest"]) == 64


def test_checkpoints_are_plain_and_hold_the_vocabulary(debug_run: Path) -> None:
    for name in ("last.ckpt", "best.ckpt"):
        content = torch.load(debug_run / "checkpoints" / name, weights_only=True)
        vocabulary = content["hyper_parameters"]["vocabulary"]
        assert vocabulary["normalisation"] == "book"
        assert len(vocabulary["characters"]) == 27
        assert content["state_dict"]["model.layers.0.weight_hh"].shape == (64, 64)
    assert content["callbacks"]["BestCheckpoint"]["monitor"] == "val/loss"


def test_generate_prints_the_text_and_nothing_else(debug_run: Path) -> None:
    checkpoint = debug_run / "checkpoints" / "last.ckpt"
    command = [sys.executable, "-m", "charlm", "generate", "--checkpoint", str(checkpoint)]
    options = ["--prefix", "Time Traveller!", "--num_chars", "30"]
    outcome = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    assert outcome.stderr == ""
    # The prefix as the corpus was normalised, and as many characters as were asked for.
    assert outcome.stdout.startswith("time traveller")
    assert len(outcome.stdout) == len("time traveller") + 30 + 1


@pytest.mark.parametrize("command", ["validate", "test"])
def test_validate_and_test_measure_a_checkpoint(debug_run: Path, command: str) -> None:
    outcome = charlm(
        command,
        "--config",
        CONFIGS / "debug.yaml",
        "--ckpt_path",
        debug_run / "checkpoints" / "best.ckpt",
        "--trainer.logger",
        "false",
    )
    assert outcome.code == 0, outcome.err
    assert f"{'val' if command == 'validate' else 'test'}/bits_per_character" in outcome.out


@pytest.mark.parametrize("config", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_configuration_runs(config: Path, tmp_path: Path) -> None:
    outcome = charlm(
        "fit",
        "--config",
        config,
        "--trainer.default_root_dir",
        tmp_path,
        "--trainer.max_steps",
        2,
        "--samples.every_n_epochs",
        1,
    )
    assert outcome.code == 0, outcome.err
    folder = tmp_path / "lightning_logs" / "version_0"
    assert (folder / "checkpoints" / "last.ckpt").exists()
    # What was written beside the run is a configuration that can be run again.
    again = charlm(
        *("fit", "--config", folder / "config.yaml", "--trainer.default_root_dir", tmp_path),
        *("--trainer.max_steps", 1),
    )
    assert again.code == 0, again.err


def test_a_file_of_one_s_own_in_any_script(tmp_path: Path) -> None:
    text = tmp_path / "mine.txt"
    text.write_text("Γνῶθι σεαυτόν — 認識你自己。\n" * 40, encoding="utf-8")
    outcome = charlm(
        "fit",
        "--config",
        CONFIGS / "debug.yaml",
        "--data.path",
        text,
        "--trainer.max_epochs",
        1,
        "--samples.every_n_epochs",
        1,
        "--trainer.default_root_dir",
        tmp_path,
    )
    assert outcome.code == 0, outcome.err
    assert "epoch 1: Γνῶθι σεαυτόν —" in outcome.err


def test_without_novel_and_network_the_quick_start_says_so_and_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline(tmp_path, monkeypatch)
    outcome = charlm(
        *("fit", "--config", CONFIGS / "rnn.yaml", "--trainer.max_steps", 1),
        *("--trainer.default_root_dir", tmp_path),
    )
    assert outcome.code == 0, outcome.err
    (loud,) = [line for line in outcome.err.splitlines() if "python-docs" in line]
    assert "INSTEAD of time-machine" in loud
    assert "CHARLM_DATA" in loud
    hparams = yaml.safe_load(
        (tmp_path / "lightning_logs/version_0/hparams.yaml").read_text(encoding="utf-8")
    )
    assert hparams["data/corpus_used"] == "python-docs"


def test_without_novel_and_network_every_other_configuration_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline(tmp_path, monkeypatch)
    outcome = charlm("fit", "--config", CONFIGS / "rnn-random.yaml")
    assert_one_sentence(outcome.code, outcome.err, "timemachine.txt into")


def offline(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No corpus on this machine, and no way to any server."""
    monkeypatch.setenv("CHARLM_DATA", str(folder / "data"))
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(folder))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    # urllib keeps the proxies of its first request.
    monkeypatch.setattr("urllib.request._opener", None)


def assert_one_sentence(code: int, err: str, told: str) -> None:
    assert code in (1, 2)
    assert told in err
    assert "Traceback" not in err
    assert err.startswith("charlm")
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--data.corpus", "time-machin"], "time-machine, war-of-the-worlds"),
        (["--data.path", "nowhere.txt"], "nowhere.txt: No such file"),
        (["--data.path", "empty.txt"], "empty.txt is empty"),
        (["--data.path", "latin.txt"], "0xe9 at offset 3"),
        (["--data.path", "latin.txt"], "--data.encoding"),
        (["--data.path", "latin.txt", "--data.encoding", "klingon"], "Unknown encoding 'klingon'"),
        (["--data.path", "short.txt"], "at least 315"),
        (["--data.num_lanes", "0"], "num_lanes is 0"),
        (["--data.num_steps", "-3"], "num_steps is -3"),
        (["--data.sampling", "shuffled"], "sequential, random"),
        (["--data.normalisation", "upper"], "book, letters, none"),
        (["--data.val_size", "1.5"], "val_size"),
        (["--config", "typo.yaml"], "data.corpuss"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--model.cell", "rnm"], "rnn, gru, lstm"),
        (["--model.hidden_sizes=[0]"], "at least 1"),
        (["--model.backend", "warp"], "Unknown backend 'warp'"),
        (["--model.dropout", "1"], "dropout is 1"),
        (["--model.optimizer", "torch.optim.Sgd"], "torch.optim.Sgd"),
        (["--model.learning_rate", "fast"], "learning_rate"),
        (
            ["--trainer.max_epochs", "many"],
            "max_epochs is many, and must be a whole number or null",
        ),
        (["--data.num_lanes", "1.5"], "data.num_lanes is 1.5, and must be a whole number ("),
        (["--data.val_size="], "data.val_size is empty, and must be a whole number or a number ("),
        (["--model.hidden_sizes", "4"], "hidden_sizes is 4, and must be a list such as [1, 2] ("),
        (["--trainer.precision", "17"], "trainer.precision is 17, and must be"),
        (["--trainer.logger", "csv"], "trainer.logger is csv, and must be the path of a class"),
        (
            ["--trainer.callbacks=ModelCheckpoint", "--trainer.callbacks.monitr=x"],
            "callbacks: lightning.pytorch.callbacks.ModelCheckpoint: Option 'monitr' is not accepted",
        ),
        (["--model.num_characters", "7"], "model.num_characters is set by the text"),
        (["--data.documents", "---"], "one that begins with - is given as --option=VALUE"),
        (
            ["--model.learning_rate", "1e38", "--trainer.gradient_clip_val", "1e38"],
            "The loss is inf in epoch 0",
        ),
    ],
)
def test_a_mistake_is_told_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").touch()
    Path("latin.txt").write_bytes(b"caf\xe9 " * 500)
    Path("short.txt").write_text("hello " * 40, encoding="utf-8")
    Path("typo.yaml").write_text("data:\n  corpuss: x\n", encoding="utf-8")
    quiet = ["--trainer.enable_progress_bar", "false"]
    outcome = charlm("fit", "--config", CONFIGS / "debug.yaml", *quiet, *options)
    assert_one_sentence(outcome.code, outcome.err, told)
    assert outcome.out == ""


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["fly"], 2), (["--help"], 0)])
def test_without_a_command_the_commands_are_listed(arguments: list[str], code: int) -> None:
    outcome = charlm(*arguments)
    assert outcome.code == code
    assert "generate" in (outcome.out if code == 0 else outcome.err)


@pytest.mark.parametrize("command", ["generate", "score", "inspect", "serve", "export", "sweep"])
def test_the_help_of_a_command_tells_of_each_thing_it_takes(command: str) -> None:
    text = charlm(command, "--help").out
    taken = r"^  (?:--\w+|[A-Z]+)(?: [A-Z_]+| \{true,false\})?\s+"
    assert len(re.findall(taken, text, re.MULTILINE)) > 3
    # Of what nothing is told, there is the type alone, in parentheses.
    assert re.findall(taken + r"\(", text, re.MULTILINE) == []
    assert "required" not in text.partition("positional arguments:")[2].partition("options:")[0]


def test_the_help_of_a_sweep_tells_how_a_range_is_written() -> None:
    assert "Ranges are uniform(A, B), log(A, B)," in charlm("sweep", "--help").out


def test_the_help_of_fit_documents_the_data() -> None:
    outcome = charlm("fit", "--help")
    assert outcome.code == 0
    for told in (
        "--data.num_lanes",
        "the rows of a training batch",
        "--model.cell",
        "--checkpoint",
    ):
        assert told in outcome.out
    assert "auto, the newest run's last" in " ".join(outcome.out.split())
