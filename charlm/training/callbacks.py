"""What happens beside training: the carried state's commit, text samples, speed, progress bar."""

import math
import sys
import time
from typing import Any, cast

import lightning as L
from lightning.pytorch.callbacks import Callback, ProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.tensorboard.summary import hparams as hparams_summaries
from tqdm import tqdm

from charlm.data.samplers import Batch
from charlm.generation.generate import generate
from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary


class CarriedState(Callback):
    """Commit the hidden state when its batch has ended, and keep it in the checkpoint.

    The module stages each batch's last state. It counts only once the optimiser's step is done:
    a checkpoint then always holds weights and state of the same moment. It can't be the module's
    own hook, which runs after the checkpoint callbacks.
    """

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any
    ) -> None:
        pl_module.carried_state = pl_module.staged_state


class TextSamples(Callback):
    """Continue the book's two prefixes greedily, to TensorBoard's text tab and to the terminal.

    Args:
        every_n_epochs: how often; 0 for never.
        prefixes: what to continue.
        num_chars: by how many characters.
    """

    def __init__(
        self,
        every_n_epochs: int = 50,
        prefixes: tuple[str, ...] = ("time traveller", "traveller"),
        num_chars: int = 50,
    ) -> None:
        self.every_n_epochs = every_n_epochs
        self.prefixes = prefixes
        self.num_chars = num_chars

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        due = self.every_n_epochs and epoch % self.every_n_epochs == 0
        if not (due and trainer.is_global_zero):
            return
        model = cast(CharLM, pl_module.model)
        vocabulary = cast(Vocabulary, pl_module.vocabulary)
        for prefix in self.prefixes:
            text = generate(model, vocabulary, prefix, self.num_chars)
            tqdm.write(f"epoch {epoch}: {text}", file=sys.stderr)
            for logger in trainer.loggers:
                if isinstance(logger, TensorBoardLogger):
                    logger.experiment.add_text(f"samples/{prefix}", text, trainer.global_step)


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
        step = trainer.global_step
        if step % trainer.log_every_n_steps == 0 and step > self._step_logged:  # type: ignore[attr-defined]
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
            if value is not None and name not in ("vocabulary", "_instantiator")
        }
        for logger in trainer.loggers:
            logger.log_hyperparams(row)
            if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
                # Not through log_hyperparams(row, metrics), which plants a first value in each.
                writer = logger.experiment._get_file_writer()
                for summary in hparams_summaries(row, dict.fromkeys(self.METRICS, math.nan)):
                    writer.add_summary(summary)


class RunProgressBar(ProgressBar):
    """One bar for the whole run: epoch, perplexity, speed, time left.

    It looks at the metrics only as often as it is drawn, since on a GPU a look is a wait.

    Args:
        seconds: between two drawings.
    """

    def __init__(self, seconds: float = 0.5) -> None:
        super().__init__()
        self.seconds = seconds if sys.stderr.isatty() else max(seconds, 10.0)
        self._enabled = True
        self._bar: Any = None

    def disable(self) -> None:
        self._enabled = False

    def enable(self) -> None:
        self._enabled = True

    def print(self, *args: Any, **kwargs: Any) -> None:
        tqdm.write(" ".join(map(str, args)), file=sys.stderr)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not self._enabled:
            return
        num_parameters = sum(p.numel() for p in pl_module.parameters())
        where = trainer.log_dir or "no folder"
        self.print(
            f"training {num_parameters:,} parameters on {pl_module.device}, "
            f"{trainer.num_training_batches} batches an epoch; logs in {where}"
        )
        total = trainer.estimated_stepping_batches
        self._drawn_at = -math.inf
        self._bar = tqdm(
            total=None if math.isinf(total) else int(total),
            initial=trainer.global_step,
            unit="step",
            dynamic_ncols=True,
            # Drawn from here alone.
            mininterval=0,
            miniters=sys.maxsize,
            bar_format="{desc} |{bar}| {n_fmt}/{total_fmt} steps [{elapsed}<{remaining}{postfix}]",
        )

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any
    ) -> None:
        if self._bar is not None and time.monotonic() - self._drawn_at >= self.seconds:
            self._draw()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._close()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._update()
            self._bar.close()
            self._bar = None

    def _draw(self) -> None:
        self._drawn_at = time.monotonic()
        self._update()
        self._bar.refresh()

    def _update(self) -> None:
        trainer = self.trainer
        epochs = "" if trainer.max_epochs in (None, -1) else f"/{trainer.max_epochs}"
        self._bar.set_description_str(
            f"epoch {min(trainer.current_epoch + 1, trainer.max_epochs or math.inf)}{epochs}",
            refresh=False,
        )
        metrics = trainer.callback_metrics
        forms = {"train/perplexity": "perplexity {:.3f}", "val/perplexity": "val {:.3f}"}
        shown = [form.format(metrics[key].item()) for key, form in forms.items() if key in metrics]
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Throughput) and callback.characters_per_second is not None:
                shown.append(f"{callback.characters_per_second:,.0f} characters/s")
        self._bar.set_postfix_str(", ".join(shown), refresh=False)
        self._bar.n = trainer.global_step
