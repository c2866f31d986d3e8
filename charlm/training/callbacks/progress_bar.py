"""One progress bar for the whole run: drawn in place in a terminal, else a line now and then."""

import math
import os
import sys
import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm

from charlm.training.callbacks.throughput import Throughput
from charlm.training.resume.limits import NOTHING_TRAINED
from charlm.training.watching import merely_watching

COUNTS = "{n_fmt}/{total_fmt} steps [{elapsed}<{remaining}{postfix}]"
# Between two lines where they can't be drawn over one another: a file, a notebook, CI.
SECONDS_BETWEEN_LINES = 10.0


def write_line(text: str) -> None:
    """Print a line on standard error, above the bar where one is drawn."""
    tqdm.write(text, file=sys.stderr)


def can_be_drawn_over() -> bool:
    """Whether standard error is a terminal of a known width: without one, a bar would be empty."""
    return sys.stderr.isatty() and os.get_terminal_size(sys.stderr.fileno()).columns > 0


@merely_watching()
class RunProgressBar(ProgressBar):
    """One bar for the whole run: epoch, perplexity, speed, time left.

    Several processes train, and the first alone shows a bar: so what needs all of them (the
    Trainer's metrics) is taken by all of them, at moments that all of them reach, and nothing of
    the kind is asked for when the bar is drawn. A metric's value is looked at only when it is
    drawn, since on a GPU a look is a wait.

    Args:
        seconds: between two drawings in a terminal.
    """

    def __init__(self, seconds: float = 0.5) -> None:
        super().__init__()
        self._in_place = can_be_drawn_over()
        self.seconds = seconds if self._in_place else max(seconds, SECONDS_BETWEEN_LINES)
        self._enabled = True
        self._bar: tqdm | None = None
        self._is_shown = self._has_trained = False
        self._epoch = 0
        self._metrics: dict[str, Any] = {}

    def disable(self) -> None:
        self._enabled = False

    def enable(self) -> None:
        self._enabled = True

    def print(self, *args: Any, **kwargs: Any) -> None:
        write_line(" ".join(map(str, args)))

    # In all processes

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._has_trained = False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._has_trained = True
        folder = trainer.log_dir or "no folder"
        total = trainer.estimated_stepping_batches
        if self._enabled:
            num_parameters = sum(p.numel() for p in pl_module.parameters())
            self.print(
                f"training {num_parameters:,} parameters on {pl_module.device}, "
                f"{trainer.num_training_batches} batches an epoch; logs in {folder}"
            )
            self._begin(None if math.isinf(total) else int(total), trainer.global_step)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # At the end of a run it is one too high.
        self._epoch = trainer.current_epoch
        self._take_metrics(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._take_metrics(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._take_metrics(trainer)
        self._close()

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # As where a Trainer that has reached its last epoch is to train once more.
        if self._enabled and not self._has_trained:
            self.print(f"charlm: {NOTHING_TRAINED}")

    def _take_metrics(self, trainer: L.Trainer) -> None:
        self._metrics |= trainer.callback_metrics

    # In the first process

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any
    ) -> None:
        if self._is_shown and time.monotonic() - self._drawn_at >= self.seconds:
            self._draw()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def _begin(self, total: int | None, step: int) -> None:
        self._is_shown = True
        self._began_at = time.monotonic()
        self._drawn_at = -math.inf if self._in_place else self._began_at
        self._total, self._first = total, step
        if self._in_place:
            self._bar = tqdm(
                total=total,
                initial=step,
                unit="step",
                dynamic_ncols=True,
                bar_format="{desc} |{bar}| " + COUNTS,
                # Drawn from here alone.
                mininterval=0,
                miniters=sys.maxsize,
            )

    def _close(self) -> None:
        if self._is_shown:
            self._draw()
        if self._bar is not None:
            self._bar.close()
        self._bar, self._is_shown = None, False

    def _draw(self) -> None:
        self._drawn_at = time.monotonic()
        epoch, step, figures = self._epoch_of_all(), self.trainer.global_step, self._figures()
        if self._bar is not None:
            self._bar.set_description_str(epoch, refresh=False)
            self._bar.set_postfix_str(figures, refresh=False)
            self._bar.n = step
            self._bar.refresh()
            return
        line = tqdm.format_meter(
            n=step,
            total=self._total,
            elapsed=self._drawn_at - self._began_at,
            initial=self._first,
            prefix=epoch,
            postfix=figures,
            bar_format="{desc}, " + COUNTS,
        )
        self.print(line)

    def _epoch_of_all(self) -> str:
        num_epochs = self.trainer.max_epochs
        of_how_many = "" if num_epochs in (None, -1) else f"/{num_epochs}"
        return f"epoch {self._epoch + 1}{of_how_many}"

    def _figures(self) -> str:
        forms = {"train/perplexity": "perplexity {:.3f}", "val/perplexity": "val {:.3f}"}
        shown = [
            form.format(self._metrics[key].item())
            for key, form in forms.items()
            if key in self._metrics
        ]
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Throughput) and callback.characters_per_second is not None:
                shown.append(f"{callback.characters_per_second:,.0f} characters/s")
        return ", ".join(shown)
