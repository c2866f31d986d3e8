"""The benchmark's row of the whole Trainer: ``charlm fit`` against loops without one."""

import contextlib
import os
import statistics
import tempfile
import time
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.nn import functional as F

from charlm.configs import FOLDER
from charlm.data.batch import Batch
from charlm.data.datamodule import CharDataModule
from charlm.data.loaders import TrainingBatches
from charlm.model import CharLM, ModelState, detach
from charlm.training.command_line import run
from charlm.training.trainer import quiet_lightning
from scripts.benchmarks.contestants import CHARACTERS, V, book_step, charlm_step
from scripts.benchmarks.timing import Step, half_iqr, say

CONFIG = FOLDER / "rnn.yaml"
# An epoch of the configuration.
BATCHES = 8


class Stopwatch(Callback):
    """The seconds from the first batch to the last: as little as can be between them."""

    def on_train_start(self, *args: Any) -> None:
        self.seconds = -time.perf_counter()

    def on_train_end(self, *args: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds += time.perf_counter()


class Least(L.LightningModule):
    """The least that carries a state: nothing is logged, checked or kept."""

    def __init__(self) -> None:
        super().__init__()
        self.model = CharLM(V, hidden_sizes=[512])
        self.state: ModelState | None = None

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        logits_TBV, state = self.model(batch.inputs_TB, self.state)
        self.state = detach(state)
        return F.cross_entropy(logits_TBV.flatten(0, 1), batch.targets_TB.flatten())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 1.0)


def fit_with_nothing_on(epochs: int, device: str) -> float:
    """The seconds that Lightning's own loop takes: no logs, checkpoints, callbacks or bar."""
    quiet_lightning()
    data = CharDataModule(max_chars=10_000, fallback="python-docs")
    batches = TrainingBatches(data.text.ids, data.sampler, lambda trainer: (0, 0), slice(None))
    watch = Stopwatch()
    trainer = L.Trainer(
        accelerator=device,
        max_epochs=epochs,
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[watch],
    )
    trainer.fit(Least(), batches)
    return watch.seconds


def fit(folder: str, epochs: int) -> float:
    """The seconds that rnn.yaml trains for, as it is, with logs and checkpoints in a folder."""
    options = {
        "--config": CONFIG,
        "--trainer.default_root_dir": folder,
        "--trainer.max_epochs": epochs,
    }
    watch = Stopwatch()
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stderr(nowhere):
        run(["fit", *(f"{name}={value}" for name, value in options.items())], [watch])
    return watch.seconds


def loop(step: Step, repeats: int, device: str) -> float:
    """The seconds that so many steps take."""
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def trainer_row(device: str, rounds: int, epochs: int = 50) -> dict[str, Any]:
    """The whole Trainer on rnn.yaml, everything on, against loops; the bare one before and after."""
    bare = charlm_step({"cell": "rnn"}, 512, "auto", device)
    by_the_book = book_step("rnn", 512, device)
    steps = epochs * BATCHES
    seconds: dict[str, list[float]] = {"trainer": [], "bare": [], "nothing on": [], "book": []}
    for number in range(rounds + 1):
        say(f"{number} of {rounds}: the Trainer on {device}")
        before = loop(bare, steps // 2, device)
        with tempfile.TemporaryDirectory() as folder:
            # The round 0 is to warm up.
            seconds["trainer"].append(fit(folder, epochs if number else 1))
        seconds["bare"].append(before + loop(bare, steps - steps // 2, device))
        seconds["nothing on"].append(fit_with_nothing_on(epochs if number else 1, device))
        seconds["book"].append(loop(by_the_book, steps // 4, device) * 4)

    def ratios(way: str, to: str) -> list[float]:
        return [a / b for a, b in zip(seconds[way][1:], seconds[to][1:], strict=True)]

    ratio = statistics.median(ratios("bare", "trainer"))
    return {
        "kind": "trainer",
        "cell": "rnn",
        "hidden_size": 512,
        "device": device,
        "characters_per_second": steps * CHARACTERS / statistics.median(seconds["trainer"][1:]),
        "ratio": ratio,
        "spread": half_iqr(ratios("bare", "trainer")) / ratio,
        "ratio_to_book": statistics.median(ratios("book", "trainer")),
        "ratio_of_nothing_on": statistics.median(ratios("bare", "nothing on")),
    }
