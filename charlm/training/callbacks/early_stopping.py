"""Stop a run whose held-out loss falls no more."""

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.trainer.states import TrainerFn

from charlm.errors import UserError
from charlm.training.callbacks.progress_bar import write_line


class StopEarly(EarlyStopping):
    """Lightning's early stopping by ``val/loss``; ``best.ckpt`` has the model from before.

    Args:
        patience: how many validations in a row may pass without a lower loss; none: never stop.
        min_delta: by how much it must be lower, in nats per character.

    Raises:
        UserError: a patience below 1; in training, nothing that is held out for validation.
    """

    def __init__(self, patience: int | None = None, min_delta: float = 0.0) -> None:
        if patience is not None and patience < 1:
            raise UserError(
                f"early_stopping.patience is {patience}: it must be at least 1, or null never to stop."
            )
        self.is_on = patience is not None
        super().__init__("val/loss", min_delta, patience or 1, check_on_train_epoch_end=False)

    @property
    def state_key(self) -> str:
        return type(self).__name__

    def check(self, has_validation: bool) -> None:
        """Raise a UserError where there is no validation to go by."""
        if self.is_on and not has_validation:
            raise UserError(
                "early_stopping.patience goes by the validation loss, and nothing is held out: set "
                "data.val_size."
            )

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.check(trainer.enable_validation)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        is_training = trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking
        if not (self.is_on and is_training):
            return
        super().on_validation_end(trainer, pl_module)
        if self.wait_count >= self.patience and trainer.is_global_zero:
            write_line(
                f"charlm: stopped early at step {trainer.global_step}: the validation loss has not "
                f"fallen below {float(self.best_score):.4f} in {self.wait_count} validations."
            )

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() if self.is_on else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # The patience is the present run's.
        if self.is_on and state_dict:
            super().load_state_dict(state_dict | {"patience": self.patience})
