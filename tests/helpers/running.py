"""Run charlm as a user does: the command line in this process, and short training runs."""

import contextlib
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import lightning as L

from charlm.cli import main
from charlm.configs import FOLDER
from charlm.data.datamodule import CharDataModule
from charlm.training.module import CharLMModule

CONFIGS = FOLDER


@dataclass
class Outcome:
    """What a command left behind: its exit code and what it printed."""

    code: int
    out: str
    err: str


def charlm(*arguments: object, show: bool = False) -> Outcome:
    """``charlm ARGUMENTS`` in this process: quick, but no test of imports or signals.

    With ``show`` its standard error is this process's own, and isn't returned.
    """
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.nullcontext() if show else contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", ["charlm"]),
    ):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
    return Outcome(code, out.getvalue(), err.getvalue())


def small_data(**options: Any) -> CharDataModule:
    """The novel's beginning in few, short lanes."""
    return CharDataModule(
        **{"corpus": "time-machine", "max_chars": 1200, "num_lanes": 4, "num_steps": 25} | options
    )


def small_module(data: CharDataModule, **options: Any) -> CharLMModule:
    """A model of 16 hidden units, drawn from seed 0, for the vocabulary of ``data``."""
    L.seed_everything(0, verbose=False)
    return CharLMModule(data.vocabulary, **{"hidden_sizes": [16]} | options)


def trainer(folder: Path, **options: Any) -> L.Trainer:
    """A Trainer that writes nothing outside ``folder``, and little there."""
    defaults: dict[str, Any] = {
        "default_root_dir": folder,
        "accelerator": "cpu",
        "max_epochs": 2,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "gradient_clip_val": 1.0,
        "log_every_n_steps": 1,
    }
    return L.Trainer(**defaults | options)
