"""``last.ckpt``: where a run stands, to resume from."""

import os
import shlex
import subprocess
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from filelock import FileLock, Timeout
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from torch import distributed

from charlm.errors import Stopped, UserError
from charlm.training.logger import flush
from charlm.training.resume.best_checkpoint import BestCheckpoint
from charlm.training.resume.exact import averages_weights
from charlm.training.resume.signals import NAMES, StopSignals

SECONDS_BETWEEN = 60.0


def quoted(argument: str) -> str:
    """An argument as it is typed in a command."""
    return subprocess.list2cmdline([argument]) if os.name == "nt" else shlex.quote(argument)


class LastCheckpoint(ModelCheckpoint):
    """``last.ckpt``: where the run stands. Ctrl-C and SIGTERM write it too, and stop the run.

    It is written between two batches, when everything that belongs to the first is done, and at
    the run's end.

    Args:
        every_n_train_steps: write it every so many steps; none: about once a minute.
    """

    def __init__(self, every_n_train_steps: int | None = None) -> None:
        if every_n_train_steps is not None and every_n_train_steps < 1:
            raise UserError(
                f"checkpoint.every_n_train_steps is {every_n_train_steps}: it must be at least 1, or "
                "null for about once a minute."
            )
        # With top_k 0 it does nothing of its own accord.
        super().__init__(filename="last", monitor=None, save_top_k=0)
        self.every_n_train_steps = every_n_train_steps
        self.signals = StopSignals()
        self._step_written = -1
        self._written_at = 0.0
        self._folder_lock: FileLock | None = None

    @property
    def state_key(self) -> str:
        # Not Lightning's, which changes with the interval: it may change between two resumes.
        return type(self).__name__

    @property
    def path(self) -> Path:
        assert self.dirpath is not None
        return Path(self.dirpath) / "last.ckpt"

    @property
    def written(self) -> list[Path]:
        """The file, if there is one."""
        return [self.path] if self.dirpath is not None and self.path.is_file() else []

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "fit" and self._is_on(trainer) and trainer.is_global_zero:
            self._lock()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._step_written = -1
        self._written_at = time.monotonic()
        if self._is_on(trainer):
            self.signals.take()  # after Lightning, which at the end gives back what it found

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # Between two steps: gradients that are being accumulated aren't saved.
        if self._is_on(trainer) and batch_idx % trainer.accumulate_grad_batches == 0:
            self._write_or_stop(trainer)

    def on_validation_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any
    ) -> None:
        # One process alone may have the signal, and all of them have to ask one another.
        is_asked = trainer.world_size > 1 or self.signals.received
        is_of_training = trainer.validating and trainer.state.fn == TrainerFn.FITTING
        # While it validates their average, the weights aren't those to go on with.
        is_in_place = not averages_weights(trainer)
        # Gradients that are being accumulated aren't saved: then it stops before the next step.
        is_between_steps = not trainer.fit_loop.epoch_loop._should_accumulate()
        if (
            is_of_training
            and is_asked
            and is_in_place
            and is_between_steps
            and self._is_on(trainer)
        ):
            self._write_or_stop(trainer, only_to_stop=True)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._is_on(trainer) and self._step_written != trainer.global_step:
            self._write(trainer)

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        # What is in memory now may be half a step: the file that there is, is the one to keep.
        self._let_go()

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._let_go()

    def _is_on(self, trainer: L.Trainer) -> bool:
        return not trainer.fast_dev_run  # type: ignore[attr-defined]

    def _write_or_stop(self, trainer: L.Trainer, only_to_stop: bool = False) -> None:
        due, received = self._wishes(trainer)
        if (due and not only_to_stop) or received:
            self._write(trainer)
        if received:
            raise Stopped(
                f"Stopped by {NAMES[received]} at step {trainer.global_step}; go on with: "  # type: ignore[index]
                f"charlm fit --ckpt_path {quoted(str(self.path))}",
                received,
            )

    def _wishes(self, trainer: L.Trainer) -> tuple[bool, int]:
        """Whether to write, and the signal to stop for (0: none): the same for all processes."""
        step = trainer.global_step
        if self.every_n_train_steps is None:
            due = time.monotonic() - self._written_at >= SECONDS_BETWEEN
        else:
            due = step > 0 and step % self.every_n_train_steps == 0
        wishes = due and step != self._step_written, self.signals.received or 0
        if trainer.world_size == 1:
            return wishes
        tensor = torch.tensor(wishes, device=trainer.strategy.root_device, dtype=torch.long)
        distributed.all_reduce(tensor, distributed.ReduceOp.MAX)
        due, received = tensor.tolist()
        return bool(due), received

    def _write(self, trainer: L.Trainer) -> None:
        # Else a run that is killed now would go on after steps that its log lacks.
        flush(trainer)
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, BestCheckpoint):
                callback.write(trainer)  # the best that this file knows of is on the disk
        self._save_checkpoint(trainer, str(self.path))
        self._step_written = trainer.global_step
        self._written_at = time.monotonic()

    # Its state: nothing to remember but the folder, which may have been moved

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        pass

    # Not Lightning's moments to write

    def on_train_batch_end(self, *args: Any) -> None:
        pass

    def on_train_epoch_end(self, *args: Any) -> None:
        pass

    def on_validation_end(self, *args: Any) -> None:
        pass

    # One run a folder: two that resume the same one would write into each other

    def _lock(self) -> None:
        self._unlock()
        folder = self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._folder_lock = FileLock(folder / ".lock", timeout=0)
            self._folder_lock.acquire()
        except Timeout as error:
            self._folder_lock = None
            raise UserError(
                f"Another process is training into {folder}: wait for it, or name another run's "
                "checkpoint with --ckpt_path."
            ) from error
        except (OSError, NotImplementedError) as error:
            self._folder_lock = None
            reason = getattr(error, "strerror", None) or error
            if not folder.is_dir():
                raise UserError(
                    f"Checkpoints can't be written into {folder} ({reason}): name a folder for "
                    "the logs with --trainer.default_root_dir."
                ) from error
            return  # a file system without locks
        for left_behind in folder.glob(".*.ckpt.*.part"):
            left_behind.unlink(missing_ok=True)  # by a process that was killed as it wrote

    def _unlock(self) -> None:
        if self._folder_lock is not None:
            self._folder_lock.release()
            self._folder_lock = None

    def _let_go(self) -> None:
        self.signals.give_back()
        self._unlock()
