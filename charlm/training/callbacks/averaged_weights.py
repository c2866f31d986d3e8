"""An average of the weights over the last steps: what is validated, saved and used."""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

# The checkpoint's entry.
KEY = "raw_weights"


class AveragedWeights(Callback):
    """Keep an exponential moving average of the weights (Polyak & Juditsky 1992).

    Validation sees the average; every checkpoint has it as its ``state_dict``, so that generating
    and scoring use it, and the raw weights beside it, from which training goes on; when training
    has ended, the module has it, too.

    Lightning's ``WeightAveraging`` makes the average the raw weights at a run's end, from which
    a longer run would go on, and saves the two the wrong way round in mid-validation.

    Args:
        decay: the share of the average that a step leaves as it is. At first it is smaller, (1 + n)
            / (10 + n) after n steps, for the average not to remember the very first weights.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        # The weights that the module doesn't have at the moment: the average while it trains, the
        # raw ones while it is validated and after its training.
        self._others: dict[str, Tensor] | None = None
        self._module_has_average = False
        self._step = 0

    # The two, exchanged

    def _exchange(self, module: L.LightningModule) -> None:
        assert self._others is not None
        for name, parameter in module.named_parameters():
            parameter.data, self._others[name] = self._others[name], parameter.data
        self._module_has_average = not self._module_has_average

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._step = trainer.global_step
        weights = {name: p.detach() for name, p in pl_module.named_parameters()}
        if self._others is None:
            self._others = {name: weight.clone() for name, weight in weights.items()}
        self._others = {name: self._others[name].to(weights[name].device) for name in weights}
        if self._module_has_average:
            self._exchange(pl_module)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any
    ) -> None:
        step = trainer.global_step
        if step == self._step:
            return  # gradients are being accumulated
        self._step = step
        assert self._others is not None
        decay = min(self.decay, (1 + step) / (10 + step))
        average = [self._others[name] for name, _ in pl_module.named_parameters()]
        get_ema_multi_avg_fn(decay)(average, [p.detach() for p in pl_module.parameters()], step)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Lightning's check before training comes before there is an average.
        if self._is_training(trainer) and not self._module_has_average:
            self._exchange(pl_module)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._is_training(trainer) and self._module_has_average:
            self._exchange(pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._exchange(pl_module)

    def _is_training(self, trainer: L.Trainer) -> bool:
        is_fitting = trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking
        return is_fitting and self._others is not None

    # In a checkpoint

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self._others is None:
            return
        own = {name: parameter.detach() for name, parameter in pl_module.named_parameters()}
        average, raw = (own, self._others) if self._module_has_average else (self._others, own)
        checkpoint["state_dict"] = checkpoint["state_dict"] | average
        checkpoint[KEY] = dict(raw)

    def on_load_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if trainer.state.fn != TrainerFn.FITTING or KEY not in checkpoint:
            return
        # The module has been given the average, as the checkpoint's state_dict.
        raw = checkpoint[KEY]
        self._others, self._module_has_average = {}, False
        with torch.no_grad():
            for name, parameter in pl_module.named_parameters():
                self._others[name] = parameter.detach().clone()
                parameter.copy_(raw[name])
