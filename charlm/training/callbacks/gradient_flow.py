"""Histograms of the gradient flow through time, written while a model trains."""

from collections.abc import Sequence
from typing import Any, cast

import lightning as L
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from charlm.data.batch import Batch
from charlm.errors import UserError
from charlm.evaluation.gradient_flow import gradient_flow
from charlm.model import CharLM
from charlm.training.logger import tensorboard_writers
from charlm.training.watching import merely_watching

# A norm that has vanished altogether has no logarithm.
SMALLEST = 1e-30


@merely_watching()
class GradientFlow(Callback):
    """Write histograms of log10 ‖∂L_t/∂s_(t-k)‖ over the lanes to TensorBoard, and keep the norms.

    Tags: ``gradient_flow/layer1.hidden/lag_08`` and so on; training itself isn't touched.

    Args:
        every_n_steps: how often; the first time before the first step.
        lags: which k; those beyond the window are left out.

    Attributes:
        norms: by step and layer as ``gradient_flow`` returns them, the mean over lanes, [T].

    Raises:
        UserError: an interval below 1, or a negative lag.
    """

    def __init__(
        self, every_n_steps: int = 400, lags: Sequence[int] = (0, 1, 2, 4, 8, 16, 32, 64)
    ) -> None:
        if every_n_steps < 1 or min(lags, default=0) < 0:
            raise UserError(
                f"GradientFlow can't look every {every_n_steps} steps at the lags {list(lags)}: "
                "every_n_steps must be at least 1, and no lag negative."
            )
        self.every_n_steps = every_n_steps
        self.lags = tuple(lags)
        self.norms: dict[int, dict[str, Tensor]] = {}

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if step % self.every_n_steps or not trainer.is_global_zero:
            return
        module, model = cast(Any, pl_module), cast(CharLM, pl_module.model)
        # With backprop_steps the carried state isn't that of the step before the window.
        is_carried = batch.continues and module.hparams["backprop_steps"] is None
        state = module.carried_state if is_carried else None
        norms = gradient_flow(model, batch.inputs_TB, batch.targets_TB[-1], state, batch.begins_TB)
        self.norms[step] = {name: norms_TB.mean(dim=1).cpu() for name, norms_TB in norms.items()}
        for writer in tensorboard_writers(trainer):
            for name, norms_TB in norms.items():
                for lag in self.lags:
                    if lag < len(norms_TB):
                        writer.add_histogram(
                            f"gradient_flow/{name}/lag_{lag:02}",
                            norms_TB[lag].clamp(min=SMALLEST).log10(),
                            step,
                        )
