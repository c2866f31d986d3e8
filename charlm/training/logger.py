"""Where runs keep their logs and checkpoints: ``lightning_logs/version_N``."""

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch.utils.tensorboard import SummaryWriter

from charlm.training.watching import merely_watching

LOG_FOLDER = "lightning_logs"
CHECKPOINT_FOLDER = "checkpoints"


def tensorboard_writers(trainer: L.Trainer) -> Iterator[SummaryWriter]:
    """The writers of a Trainer's TensorBoard logs; of several processes, the first alone has any."""
    if trainer.is_global_zero:
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                yield logger.experiment


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
    """TensorBoard's, in a version folder that no other run can have taken at the same time.

    Lightning has the file brought up to date after every entry, and waits for it: with a small
    model, a sixteenth of the time. Here that is done at most once a second, and before
    ``last.ckpt`` is written; TensorBoard's writer does it every two minutes by itself.
    """

    SECONDS_BETWEEN = 1.0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._saved_at = -math.inf

    def save(self) -> None:
        if time.monotonic() - self._saved_at >= self.SECONDS_BETWEEN:
            super().save()
            self._saved_at = time.monotonic()

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
