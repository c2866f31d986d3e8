"""``best.ckpt``: the best that a run has reached."""

import contextlib
import copy
import warnings
from pathlib import Path
from typing import Any, cast

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from charlm.errors import UserError


class BestCheckpoint(ModelCheckpoint):
    """``best.ckpt``: the lowest loss so far, of validation where there is one, else of training.

    Every validation counts (without validation, every epoch), and any run that ends has a
    ``best.ckpt``. A better one is kept in memory until it is written: by itself, before each
    ``last.ckpt``, and at the run's end.

    Args:
        every_n_epochs: it is written at the end of every so many epochs, and with each last.ckpt.
    """

    def __init__(self, every_n_epochs: int = 1) -> None:
        if every_n_epochs < 1:
            raise UserError(f"best.every_n_epochs is {every_n_epochs}: it must be at least 1.")
        super().__init__(
            filename="best", monitor="train/loss", enable_version_counter=False, every_n_epochs=1
        )
        self.write_every_n_epochs = every_n_epochs
        self._unwritten: dict[str, Any] | None = None

    @property
    def state_key(self) -> str:
        return type(self).__name__

    @property
    def path(self) -> Path:
        return Path(cast(str, self.dirpath)) / "best.ckpt"

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        with warnings.catch_warnings():
            # That of a run that is resumed.
            warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
            super().setup(trainer, pl_module, stage)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._unwritten = None
        if trainer.enable_validation:
            self.monitor = "val/loss"

    def on_train_batch_end(self, *args: Any) -> None:
        pass  # by epochs, not by steps

    def _should_save_on_train_epoch_end(self, trainer: L.Trainer) -> bool:
        # Lightning's waits for a validation where check_val_every_n_epoch says when, and there is
        # none.
        return not trainer.enable_validation or super()._should_save_on_train_epoch_end(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.write(trainer)
        if not self.best_model_path and not self._should_skip_saving_checkpoint(trainer):
            # Of a run that ended before its first validation, the end is the best there is.
            trainer.save_checkpoint(self.path)

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        # It was whole when it was kept. If it can't be written, the exception may say why.
        with contextlib.suppress(UserError):
            self.write(trainer)

    def write(self, trainer: L.Trainer) -> None:
        """Write the best if it isn't written yet; to be called by all processes."""
        if self._unwritten is not None:
            trainer.strategy.save_checkpoint(self._unwritten, self.path)
            self._unwritten = None
            if trainer.is_global_zero:
                for logger in trainer.loggers:
                    logger.after_save_checkpoint(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # The best of a run in another folder isn't the best of this one; but this one's folder may
        # have been moved.
        if not self.path.is_file() or not state_dict["best_model_path"]:
            return
        path, score = str(self.path), state_dict["best_model_score"]
        self.best_model_path = self.kth_best_model_path = path
        self.best_model_score = self.kth_value = score
        self.best_k_models = {path: score}

    def _save_topk_checkpoint(
        self, trainer: L.Trainer, monitor_candidates: dict[str, Tensor]
    ) -> None:
        # Before the first validation nothing is the best.
        if self.monitor in monitor_candidates:
            super()._save_topk_checkpoint(trainer, monitor_candidates)
        if (trainer.current_epoch + 1) % self.write_every_n_epochs == 0:
            self.write(trainer)

    def _save_checkpoint(self, trainer: L.Trainer, filepath: str) -> None:
        checkpoint = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
        # The weights go on changing in place.
        self._unwritten = copy.deepcopy(checkpoint)
        self._last_global_step_saved = trainer.global_step
        self._last_checkpoint_saved = filepath
