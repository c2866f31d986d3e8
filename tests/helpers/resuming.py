"""Runs that are stopped and resumed, and what is compared of them."""

import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger

from charlm.data.datamodule import CharDataModule
from charlm.errors import Stopped
from charlm.training.callbacks import BestCheckpoint, LastCheckpoint, RunProgressBar, TextSamples
from charlm.training.module import CharLMModule
from charlm.training.resume.whole_files import WholeFiles
from helpers.running import small_data, small_module, trainer


class Log(Logger):
    """Every metric that was logged, by (name, step)."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.metrics: dict[tuple[str, int], float] = {}

    @property
    def name(self) -> str:
        return "log"

    @property
    def version(self) -> str:
        return "0"

    @property
    def save_dir(self) -> str:
        return str(self.folder)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        assert step is not None
        for name, value in metrics.items():
            self.metrics[name, step] = value


class Batches(Callback):
    """The batches that were trained on to their end, by step."""

    def __init__(self) -> None:
        self.seen: dict[int, torch.Tensor] = {}

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, k: int
    ) -> None:
        self.seen[trainer.global_step] = batch.inputs_TB


class EpochStarts(Callback):
    """How often each epoch's start was told to the callbacks."""

    def __init__(self) -> None:
        self.epochs: list[int] = []

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.epochs.append(trainer.current_epoch)


@dataclass
class Run:
    """A training run in a folder, of one process after another."""

    folder: Path
    data: dict[str, Any] = field(default_factory=dict)
    module: dict[str, Any] = field(default_factory=dict)
    trainer: dict[str, Any] = field(default_factory=dict)
    every_n_train_steps: int | None = 10_000

    def __post_init__(self) -> None:
        self.metrics: dict[tuple[str, int], float] = {}
        self.batches: dict[int, torch.Tensor] = {}
        self.epoch_starts: list[int] = []
        self.result: dict[str, Any] = {}

    @property
    def last(self) -> Path:
        return self.folder / "log" / "0" / "checkpoints" / "last.ckpt"

    def go(self, *callbacks: Callback, resume: bool = False, **limits: Any) -> "Run":
        """Train with the callbacks; ``resume`` from ``last.ckpt``."""
        data: CharDataModule = small_data(**self.data)
        module: CharLMModule = small_module(data, **self.module)
        seen, log, starts = Batches(), Log(self.folder), EpochStarts()
        # As a user's run: with a bar and samples.
        shown = [RunProgressBar(), TextSamples(every_n_epochs=2, num_chars=3)]
        kept = [LastCheckpoint(self.every_n_train_steps), BestCheckpoint()]
        own = [seen, starts, *shown, *kept]
        run = trainer(
            self.folder,
            **{
                "logger": log,
                "callbacks": [*callbacks, *own],
                "plugins": [WholeFiles()],
                "enable_checkpointing": True,
                "enable_progress_bar": True,
            }
            | self.trainer
            | limits,
        )
        try:
            run.fit(module, datamodule=data, ckpt_path=self.last if resume else None)
        finally:
            self.metrics |= log.metrics
            self.batches |= seen.seen
            self.epoch_starts += starts.epochs
        self.result = {
            "weights": module.state_dict(),
            "optimizer": run.optimizers[0].state_dict(),
            "schedulers": [config.scheduler.state_dict() for config in run.lr_scheduler_configs],
            "step": run.global_step,
            "random": torch.get_rng_state(),
        }
        return self

    def stopped(self, *callbacks: Callback, **options: Any) -> "Run":
        """``go``, which is expected to be stopped by a signal."""
        try:
            self.go(*callbacks, **options)
        except Stopped:
            return self
        raise AssertionError("the run wasn't stopped")


def in_a_process(work: Callable[[], object], **environment: object) -> int:
    """Do the work in a process of its own, which has all modules already; its id."""
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.environ |= {name: str(value) for name, value in environment.items()}
        # Threads of the parent don't survive the fork; one is enough.
        torch.set_num_threads(1)
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def differences(ours: Any, theirs: Any, where: str = "") -> list[str]:
    """Where two nested results are not the same to the bit."""
    if isinstance(ours, torch.Tensor):
        return [] if torch.equal(ours, theirs) else [where]
    if isinstance(ours, (list, tuple)):
        ours, theirs = dict(enumerate(ours)), dict(enumerate(theirs))
    if not isinstance(ours, dict):
        return [] if ours == theirs else [f"{where}: {ours!r} and {theirs!r}"]
    if ours.keys() != theirs.keys():
        return [f"{where}: only one has {sorted(map(str, ours.keys() ^ theirs.keys()))}"]
    return [
        difference
        for key in ours
        for difference in differences(ours[key], theirs[key], f"{where}/{key}")
    ]


def assert_same(ours: Run, theirs: Run) -> None:
    """The same batches, weights, optimiser, schedulers, generators and logged metrics."""
    found = [
        *differences(ours.batches, theirs.batches, "batches"),
        *differences(ours.result, theirs.result, "result"),
        *differences(ours.metrics, theirs.metrics, "metrics"),
        *differences(sorted(ours.epoch_starts), sorted(theirs.epoch_starts), "epochs"),
    ]
    assert not found, "\n".join(found)
