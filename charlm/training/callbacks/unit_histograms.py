"""Histograms of what the units do, written while a model trains.

T time steps · B lanes · H hidden size of a layer
"""

from typing import Any, cast

import lightning as L
from lightning.pytorch.callbacks import Callback
from torch.optim import Optimizer

from charlm.data.batch import Batch
from charlm.errors import UserError
from charlm.inspection.recording import unit_values
from charlm.model import CharLM
from charlm.training.logger import tensorboard_writers
from charlm.training.watching import merely_watching

# A gate is saturated below the one and above the other (Karpathy et al. 2015).
CLOSED, OPEN = 0.1, 0.9
NUM_BINS = 64


@merely_watching()
class UnitHistograms(Callback):
    """Write to TensorBoard what a window does to every unit, and the gradients' norms by layer.

    - ``units/layer1.hidden`` (and ``memory``, and each gate): histograms over the steps, lanes and
      units of the window that is about to be trained on;
    - ``saturation/layer1.forget_gate/open`` and ``closed``: which share of a gate's values lies
      above 0.9 or below 0.1;
    - ``gradient_norm/layer1.weight_hh`` and so on: of every parameter, before clipping.

    Training itself isn't touched. Off unless it is asked for, by
    ``--trainer.callbacks+=charlm.training.callbacks.UnitHistograms``: a look reads the window once
    more by the eager loop: of an LSTM or GRU of 256 units it takes as long as one or two steps (1.0 to
    2.4, one thread), at every 400th step below 1 %.

    Args:
        every_n_steps: how often; the first time before the first step.

    Raises:
        UserError: an interval below 1.
    """

    def __init__(self, every_n_steps: int = 400) -> None:
        if every_n_steps < 1:
            raise UserError(f"every_n_steps is {every_n_steps}: it must be at least 1.")
        self.every_n_steps = every_n_steps
        self._is_due = False

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        step = trainer.global_step
        self._is_due = step % self.every_n_steps == 0 and trainer.is_global_zero
        if not self._is_due:
            return
        module, model = cast(Any, pl_module), cast(CharLM, pl_module.model)
        is_carried = batch.continues and module.hparams["backprop_steps"] is None
        state = module.carried_state if is_carried else None
        values = unit_values(model, batch.inputs_TB, state, batch.begins_TB)
        for writer in tensorboard_writers(trainer):
            for name, values_TBH in values.items():
                # Bins of equal width: torch's own, for a wide range, show a gate as one block.
                writer.add_histogram(f"units/{name}", values_TBH, step, bins=NUM_BINS)
                if name.endswith("_gate"):
                    is_open, is_closed = (values_TBH > OPEN).float(), (values_TBH < CLOSED).float()
                    writer.add_scalar(f"saturation/{name}/open", is_open.mean(), step)
                    writer.add_scalar(f"saturation/{name}/closed", is_closed.mean(), step)

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer
    ) -> None:
        if not self._is_due:
            return
        model = cast(CharLM, pl_module.model)
        for writer in tensorboard_writers(trainer):
            for name, parameter in model.named_parameters():
                if parameter.grad is not None:
                    shown = _numbered_from_one(name)
                    writer.add_scalar(
                        f"gradient_norm/{shown}", parameter.grad.norm(), trainer.global_step
                    )


def _numbered_from_one(name: str) -> str:
    """``layers.0.weight_hh`` as ``layer1.weight_hh``: as layers are called everywhere else."""
    room, _, rest = name.partition(".")
    number, _, parameter = rest.partition(".")
    return f"layer{int(number) + 1}.{parameter}" if room == "layers" else name
