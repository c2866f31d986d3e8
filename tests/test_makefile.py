"""The Makefile: that it lists its targets, and what each of them would run."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")


def make(*arguments: str, folder: Path = ROOT) -> str:
    # What a make that runs the tests was given is none of this one's business.
    given = ("MAKE", "ARGS", "CONFIG", "RESUME", "CHECKPOINT", "PREFIX")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(given)}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_make_alone_lists_the_targets() -> None:
    listed = [line.split()[1] for line in make().splitlines()]
    assert {"setup", "train", "test", "generate", "tensorboard", "lint", "clean"} <= set(listed)


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["train"], "charlm fit --config rnn"),
        (
            ["train", "CONFIG=debug", "ARGS=--trainer.max_epochs 2"],
            "charlm fit --config debug --trainer.max_epochs 2",
        ),
        (["train", "RESUME=1"], "charlm fit --ckpt_path last"),
        (
            ["train", "RESUME=1", "CONFIG=gru", "ARGS=--trainer.max_epochs 9"],
            "charlm fit --ckpt_path last --config gru --trainer.max_epochs 9",
        ),
        (["tensorboard"], "tensorboard --logdir lightning_logs --port 6006"),
        (["test"], "python -m pytest --numprocesses auto --dist worksteal"),
    ],
)
def test_a_target_runs_its_command(arguments: list[str], command: str) -> None:
    last = make("--dry-run", *arguments).splitlines()[-1]
    assert " ".join(last.split()) == command


def test_a_prefix_reaches_charlm_as_it_is(tmp_path: Path) -> None:
    """Quotation marks and dollars in a prefix are no business of the shell's."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (tmp_path / ".venv" / ".installed").touch()
    spy = binaries / "charlm"
    spy.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', encoding="utf-8")
    spy.chmod(0o755)
    prefix = """it's "so" much: `$HOME`"""
    printed = make("generate", f"PREFIX={prefix.replace('$', '$$')}", folder=tmp_path)
    assert printed.splitlines() == ["generate", "--prefix", prefix]


def test_set_up_is_done_once_and_again_when_the_requirements_change(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv").mkdir()
    stamp = tmp_path / ".venv" / ".installed"
    assert "pip install" in make("--dry-run", "setup", folder=tmp_path)
    stamp.touch()
    assert "pip install" not in make("--dry-run", "train", folder=tmp_path)
    later = stamp.stat().st_mtime + 10
    os.utime(tmp_path / "constraints.txt", (later, later))
    assert "pip install" in make("--dry-run", "train", folder=tmp_path)
