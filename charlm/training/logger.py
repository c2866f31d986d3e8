"""Where runs keep their logs and checkpoints: ``lightning_logs/version_N``."""

import math
import os
import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch.utils.tensorboard import SummaryWriter

from charlm.training.metrics_file import NAME, MetricsFile
from charlm.training.watching import merely_watching

LOG_FOLDER = "lightning_logs"
CHECKPOINT_FOLDER = "checkpoints"


def tensorboard_writers(trainer: L.Trainer) -> Iterator[SummaryWriter]:
    """The writers of a Trainer's TensorBoard logs; of several processes, the first alone has any."""
    if trainer.is_global_zero:
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                yield logger.experiment


def flush(trainer: L.Trainer) -> None:
    """Have all that was logged on the disk."""
    for writer in tensorboard_writers(trainer):
        writer.flush()
    for logger in trainer.loggers:
        if isinstance(logger, RunLogger):
            logger.metrics.flush()


def log_folder(trainer: L.Trainer) -> str:
    """Where this process's Trainer keeps its first log; no collective call, as ``log_dir`` is."""
    if not trainer.loggers:
        return trainer.default_root_dir
    logger = trainer.loggers[0]
    return str(logger.log_dir or logger.save_dir or trainer.default_root_dir)


class RunFolder(NamedTuple):
    """A run's own folder: ``root/lightning_logs/version_N``."""

    root: Path
    version: int

    @classmethod
    def of_last_checkpoint(cls, path: Path) -> "RunFolder | None":
        """The folder of the run whose ``last.ckpt`` a path is; none for any other checkpoint.

        Only from there a run may go on in its own folder: from its best or an earlier checkpoint it
        would overwrite what it has reached since.
        """
        folder = path.resolve().parent
        name, _, version = folder.parent.name.partition("_")
        if path.name != "last.ckpt" or folder.name != CHECKPOINT_FOLDER:
            return None
        if folder.parent.parent.name != LOG_FOLDER or name != "version" or not version.isdigit():
            return None
        return cls(folder.parent.parent.parent, int(version))


@merely_watching("log_metrics", "save", "finalize")
class RunLogger(TensorBoardLogger):
    """TensorBoard's, in a version folder that no other run can have taken at the same time, with
    ``metrics.csv`` beside.

    Lightning has the file brought up to date after every entry, and waits for it: with a small
    model, a sixteenth of the time. Here that is done at most once a second, and before
    ``last.ckpt`` is written; TensorBoard's writer does it every two minutes by itself.
    """

    SECONDS_BETWEEN = 1.0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._purge_step: int | None = options.get("purge_step")
        self._saved_at = -math.inf

    @cached_property
    def metrics(self) -> MetricsFile:
        # An entry of step N is of the batch that made N steps N + 1.
        purge_step = None if self._purge_step is None else self._purge_step - 1
        return MetricsFile(Path(self.log_dir) / NAME, purge_step)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        super().log_metrics(metrics, step)
        self.metrics.add(metrics, step or 0)

    @rank_zero_only
    def save(self) -> None:
        if time.monotonic() - self._saved_at >= self.SECONDS_BETWEEN:
            super().save()
            self.metrics.flush()
            self._saved_at = time.monotonic()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        super().finalize(status)
        if "metrics" in vars(self):  # else nothing was logged, and maybe no folder could be made
            self.metrics.flush()

    def _get_next_version(self) -> int:
        version = super()._get_next_version()
        is_first: bool = rank_zero_only.rank == 0  # type: ignore[attr-defined]
        while is_first:
            try:
                os.makedirs(Path(self.root_dir) / f"version_{version}")
                break
            except FileExistsError:
                if not Path(self.root_dir).is_dir():
                    raise
                version += 1
        return version
