"""One progress bar for the whole run."""

import math
import sys
import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm

from charlm.training.callbacks.throughput import Throughput


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
