"""The speed of training, in characters per second."""

import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from charlm.data.batch import Batch
from charlm.training.watching import merely_watching


@merely_watching()
class Throughput(Callback):
    """Training characters per second: without validation, samples and checkpoints between epochs.

    Logged at each epoch's end, and in longer epochs every ``log_every_n_steps`` steps.
    """

    TAG = "throughput/characters_per_second"

    def __init__(self) -> None:
        # As last logged.
        self.characters_per_second: float | None = None
        self._step_logged = 0
        self._restart()

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._restart()

    def _restart(self) -> None:
        self._since = time.perf_counter()
        self._characters = 0

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        # Every process has as many.
        self._characters += batch.targets_TB.numel() * trainer.world_size
        step, every = trainer.global_step, trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and step % every == 0 and step > self._step_logged:
            self._log(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._characters:
            self._log(trainer)

    def _log(self, trainer: L.Trainer) -> None:
        rate = self._characters / (time.perf_counter() - self._since)
        self.characters_per_second = rate
        self._step_logged = trainer.global_step
        # Not by the module's log, which takes a third of a millisecond.
        for logger in trainer.loggers:
            logger.log_metrics({self.TAG: rate}, trainer.global_step - 1)
        self._restart()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._paused_at = time.perf_counter()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.sanity_checking:
            self._since += time.perf_counter() - self._paused_at
