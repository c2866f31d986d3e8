"""Which checkpoints a run writes: the last, to resume from, and the best."""

from datetime import timedelta
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor


class LastCheckpoint(ModelCheckpoint):
    """``last.ckpt``: where the run stands.

    Args:
        every_n_train_steps: write it every so many steps; none: about once a minute. It is
            written at the run's end in any case.
    """

    def __init__(self, every_n_train_steps: int | None = None) -> None:
        super().__init__(
            filename="last",
            monitor=None,
            enable_version_counter=False,
            every_n_train_steps=every_n_train_steps,
            train_time_interval=None if every_n_train_steps else timedelta(minutes=1),
        )

    @property
    def state_key(self) -> str:
        # Not Lightning's, which changes with the interval: it may change between two resumes.
        return type(self).__name__

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        pass  # it has nothing to remember but its folder, which may have been moved

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._last_global_step_saved != trainer.global_step:
            self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))


class BestCheckpoint(ModelCheckpoint):
    """``best.ckpt``: the lowest loss so far, of validation where there is one, else of training.

    Args:
        every_n_epochs: how often a better one is looked for.
    """

    def __init__(self, every_n_epochs: int = 1) -> None:
        super().__init__(
            filename="best",
            monitor="train/loss",
            enable_version_counter=False,
            every_n_epochs=every_n_epochs,
        )

    @property
    def state_key(self) -> str:
        return type(self).__name__

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if trainer.enable_validation:
            self.monitor = "val/loss"

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # The best of a run in another folder isn't the best of this one.
        if state_dict["dirpath"] == self.dirpath:
            super().load_state_dict(state_dict)

    def _save_topk_checkpoint(
        self, trainer: L.Trainer, monitor_candidates: dict[str, Tensor]
    ) -> None:
        # In a run that ends before its first validation nothing is the best.
        if self.monitor in monitor_candidates:
            super()._save_topk_checkpoint(trainer, monitor_candidates)
