"""How far back a loss is felt: the norm of ∂L_t/∂h_(t-k) against k, measured during any training.

T time steps · B lanes · H hidden size · V vocabulary
"""

from collections.abc import Sequence
from typing import Any, cast

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.nn import functional as F

from charlm.data.samplers import Batch
from charlm.errors import UserError
from charlm.model import CharLM, ModelState, detach

# A norm that has vanished altogether has no logarithm.
SMALLEST = 1e-30


@torch.enable_grad()
def gradient_flow(
    model: CharLM, ids_TB: Tensor, targets_B: Tensor, state: ModelState | None = None
) -> dict[str, Tensor]:
    """‖∂L_t/∂s_(t-k)‖ of every layer's state s, at lags k = 0 .. T-1 (d2l.ai, "Backpropagation
    Through Time"; Pascanu et al. 2013).

    L_t is each lane's loss in nats at the last step alone, so that nothing but the recurrence
    brings it to an earlier state. An LSTM's memory counts with all that it does, through the
    hidden state of its own step too. The model isn't changed, nor are its gradients.

    Args:
        ids_TB: a window of symbol ids.
        targets_B: the characters after it.
        state: before the window (none: zeros).

    Returns:
        By ``layer1.hidden`` (and ``layer1.memory`` of an LSTM): the norms [T, B], k = 0 first.
    """
    _, B = ids_TB.shape
    state = model.initial_state(B) if state is None else detach(state)
    inputs = ids_TB if model.embedding is None else model.embedding(ids_TB)
    parts: dict[str, list[Tensor]] = {}
    all_outputs: list[Tensor] = []
    # The eager loop, with every state in between kept.
    for number, (cell, cell_state) in enumerate(zip(model.cells, state, strict=True), start=1):
        outputs = []
        for preactivation_BG in cell.project(inputs):
            cell_state = cell.step(preactivation_BG, cell_state)
            outputs.append(cell_state[0])
            for name, part_BH in zip(cell.state_names, cell_state, strict=True):
                parts.setdefault(f"layer{number}.{name}", []).append(part_BH)
        inputs = torch.stack(outputs)
        all_outputs.append(outputs[-1])
    read = torch.cat(all_outputs, dim=1) if model.readout == "concat" else all_outputs[-1]
    # Lanes don't meet, so the sum's gradient by a lane's state is that lane's own.
    loss = F.cross_entropy(model.output(read), targets_B, reduction="sum")
    flat = [part_BH for steps in parts.values() for part_BH in steps]
    gradients = iter(torch.autograd.grad(loss, flat))
    return {
        name: torch.stack([next(gradients).norm(dim=1) for _ in steps]).flip(0)
        for name, steps in parts.items()
    }


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
        norms = gradient_flow(model, batch.inputs_TB, batch.targets_TB[-1], state)
        self.norms[step] = {name: norms_TB.mean(dim=1).cpu() for name, norms_TB in norms.items()}
        for logger in trainer.loggers:
            if not isinstance(logger, TensorBoardLogger):
                continue
            for name, norms_TB in norms.items():
                for lag in self.lags:
                    if lag < len(norms_TB):
                        logger.experiment.add_histogram(
                            f"gradient_flow/{name}/lag_{lag:02}",
                            norms_TB[lag].clamp(min=SMALLEST).log10(),
                            step,
                        )
