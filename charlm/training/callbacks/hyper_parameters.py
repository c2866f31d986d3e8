"""The run's hyper-parameters in its logs."""

import math
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from torch.utils.tensorboard.summary import hparams as hparams_summaries

from charlm.training.logger import tensorboard_writers


class HyperParameters(Callback):
    """The run's hyper-parameters, in ``hparams.yaml`` and in TensorBoard's tab for them.

    Among them stands the corpus that was really used, with its digest.
    """

    METRICS = ("train/perplexity", "val/bits_per_character")

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        parts: dict[str, dict[str, Any]] = {"model": dict(pl_module.hparams)}
        if trainer.datamodule is not None:  # type: ignore[attr-defined]
            parts["data"] = dict(trainer.datamodule.hparams)  # type: ignore[attr-defined]
        row = {
            f"{part}/{name}": value if isinstance(value, (bool, int, float, str)) else str(value)
            for part, params in parts.items()
            for name, value in params.items()
            if value is not None and name not in ("vocabulary", "base_vocabulary", "_instantiator")
        }
        for logger in trainer.loggers:
            logger.log_hyperparams(row)
        for writer in tensorboard_writers(trainer):
            # Not through log_hyperparams(row, metrics), which plants a first value in each.
            for summary in hparams_summaries(row, dict.fromkeys(self.METRICS, math.nan)):
                writer._get_file_writer().add_summary(summary)
